"""Packages that only some uses need: imported where they are used, with the command that installs them."""

import importlib
import importlib.metadata
import re
from typing import Any

from lar.errors import MissingExtraError


def import_extra(name: str, doing: str) -> Any:
    """Import the package `name`.

    Raises:
        MissingExtraError: it is not installed; the message names what needs it and how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtraError(f"{doing} needs {name}: {_installer()} {name}") from None


def install_command(extra: str) -> str:
    """Return the shell command that installs what `extra`, an extra of `lar`, needs.

    It names the packages themselves, in the ranges that the installed `lar` declares, so it works however
    `lar` was installed. `lar[train]` would be looked up on an index, which need not have this `lar`.
    """
    of_extra = re.compile(rf"""(?P<package>[^;]*[^; ]) *; *extra *== *['"]{extra}['"]""")
    try:
        requirements = importlib.metadata.requires("lar") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    packages = [f"'{found['package']}'" for found in map(of_extra.fullmatch, requirements) if found]
    if not packages:  # sources on PYTHONPATH, or newer than their installation
        return f"{_installer()} '.[{extra}]' in the checkout"
    return " ".join([_installer(), *packages])


def _installer() -> str:
    """The command that installed `lar`: an environment of uv has no pip."""
    try:
        name = importlib.metadata.distribution("lar").read_text("INSTALLER") or ""
    except importlib.metadata.PackageNotFoundError:
        name = ""
    return "uv pip install" if name.strip() == "uv" else "pip install"
