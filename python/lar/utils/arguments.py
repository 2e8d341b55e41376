"""Arguments of public functions that are an object or the path of its folder."""

import os
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def opened(kind: type[Kind], value: Any, call: str) -> Kind:
    """`value` if it is a `kind`, else the `kind` that is loaded from the path `value`.

    Raises:
        TypeError: it is neither, which is so where two arguments change places; the message shows `call`.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str | os.PathLike):
        loaded: Kind = kind.load(value)  # type: ignore[attr-defined]
        return loaded
    name = kind.__name__
    raise TypeError(f"{call} takes a {name} or the path of its folder, not a {type(value).__name__}")
