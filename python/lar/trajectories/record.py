"""One record of a log -> one trajectory, by the format that recognises it."""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import finish
from lar.trajectories.formats import known_formats, recognise
from lar.trajectories.formats.base import Format
from lar.trajectories.json_stream import Record
from lar.trajectories.schema import Trajectory

# What Python raises where a record lacks the shape of its format.
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


def read_record(
    record: Record, label: str, *, forced: Format | None = None, task_key: str | None = None
) -> Trajectory:
    """Return the trajectory of a record, read by the format `forced` or the one that recognises it.

    `label` names the record's source.

    Raises:
        TrajectoryError: no format recognises the record, or it is malformed.
    """
    format_ = forced or recognise(record.value)
    if format_ is None:
        raise TrajectoryError(f"{_describe(record.value)} is of no known format; known: {known_formats()}")
    try:
        return finish(format_.read(record), record, label, task_key)
    except TrajectoryError:
        raise  # also a ValueError, but its message is complete already
    except _MALFORMED as error:
        raise TrajectoryError(
            f"not a well-formed record of its format ({type(error).__name__}: {error})"
        ) from None


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(map(str, list(value)[:6]))
        return f"an object with the keys {keys}" if keys else "an empty object"
    return f"a value of type {type(value).__name__}"
