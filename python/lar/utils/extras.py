"""Packages that only some uses need: imported where they are used, with the command that installs them."""

import importlib
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
        raise MissingExtraError(f"{doing} needs {name}: pip install {name}") from None
