"""The settings of a folder of results: all runs that write to it have the same."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lar.errors import OptionError
from lar.utils.files import read_json, write_json


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings (JSON-ready values) to FOLDER/settings.json, or compare them with those there.

    Raises:
        OptionError: the folder holds results of other settings; the message names those that differ.
    """
    file = folder / "settings.json"
    settings = json.loads(json.dumps(settings))
    if not file.exists():
        write_json(file, settings)
        return
    there, given = dict(_flat(read_json(file))), dict(_flat(settings))
    names = [name for name in {**there, **given} if there.get(name) != given.get(name)]
    if names:
        changes = ", ".join(f"{name} was {there.get(name)}, is {given.get(name)}" for name in names)
        raise OptionError(f"{file}: results of other settings ({changes}); choose another folder with -o")


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The settings with dotted names."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
