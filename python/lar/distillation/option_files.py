"""Options from a YAML or JSON file, or from the record of a result."""

import json
import re
from pathlib import Path
from typing import Any

from lar.corpus.selection import Split
from lar.errors import OptionError
from lar.utils.paths import StrPath

# The key of the options in the records of `lar distill` and `lar adapt`.
_RECORDED = "options"


def read_options(file: StrPath) -> dict[str, Any]:
    """The names and values in a file of options; neither is checked.

    The file is a mapping of names to values, or a result's record (`distillation.json`, `adaptation.json`),
    whose `options` are returned. So a run can be repeated from its result.

    Raises:
        OptionError: the file holds no such mapping.
    """
    path = Path(file)
    content = _content(path)
    if isinstance(content, dict) and isinstance(content.get(_RECORDED), dict):
        content = content[_RECORDED]
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise OptionError(f"{path}: not a mapping of options to values")
    return content


def recorded_split(file: StrPath) -> tuple[Split | None] | None:
    """The split in a result's record, in a tuple; None for a file of options, and for an older record.

    Raises:
        OptionError: the file cannot be read, or its split is broken.
    """
    path = Path(file)
    content = _content(path)
    if not isinstance(content, dict) or _RECORDED not in content or "split" not in content:
        return None
    try:
        return (Split.of_json(content["split"]),)
    except ValueError as error:
        raise OptionError(f"{path}: {error}") from None


def _content(path: Path) -> Any:
    import yaml  # type: ignore[import-untyped]

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads 5e-4 as a number, which YAML 1.1 reads as text: it requires a point and a sign."""

    number = re.compile(r"[-+]?[0-9]*\.?[0-9]+[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    text = path.read_bytes()
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f"{path}, line {place.line + 1}" if place else str(path)
        raise OptionError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'broken'})") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
