"""Trajectories of the built-in types alone, whatever types a program's records had.

A text of numpy, a member of an Enum or an OrderedDict passes for what it looks like, and then is written as
something else, or not at all.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from lar.errors import TrajectoryError
from lar.trajectories.schema import Trajectory


def exact(trajectory: Trajectory) -> Trajectory:
    """The trajectory with str for every kind of text, dict for every kind of mapping, and so on.

    Raises:
        TrajectoryError: JSON cannot hold a value: its type is none of JSON's, or it is half a character.
    """
    try:
        found = Trajectory(**msgspec.to_builtins(trajectory, enc_hook=_built_in))
        if found.tools is not None:
            msgspec.json.encode(found.tools)
    except (TypeError, ValueError, RecursionError) as error:
        raise TrajectoryError(f"a value that JSON cannot hold: {error}") from None
    return found


def _built_in(value: Any) -> Any:
    """A value of a type that msgspec does not convert itself."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a value of type {type(value).__name__}")
