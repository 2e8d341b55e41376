"""What is in memory of each trajectory of a log: by it those that may belong together are found."""

import numpy as np

from lar.trajectories.chains import chain, digest_of
from lar.trajectories.record import Found
from lar.trajectories.schema import Message

NO_NAME = bytes(8)  # in place of the digest of a name that the log does not have

OPENING = np.dtype(
    [
        ("first", np.uint64),  # a digest of the first message but the system's
        ("second", np.uint64),  # a digest of the first two
        ("task", np.uint64),  # a digest of the task, 0 where the log names none
        ("links", np.uint8),  # how many of the two messages there are
        ("kind", np.uint8),  # one of the four below
        ("is_open", np.bool_),  # whether it has a message and no recorded result
        ("reply", np.uint64),  # a digest of the id of a call's reply, 0 where none is known
        ("previous", np.uint64),  # of the id of the reply that a call goes on from, 0 where it names none
    ]
)
"""Trajectories that begin differently are not compared further."""

RUN, CALL, FORK, PART = range(4)


def opening(found: Found) -> bytes:
    """What `Repeats` must know of a trajectory: the bytes of one `OPENING`."""
    trajectory = found.trajectory
    first, second, links = beginning(trajectory.messages)
    # A run whose result is recorded is an attempt of its own, whatever others begin with. The flag of a call
    # may tell no more than that the service answered, so it hides no history that another call repeats.
    is_open = trajectory.success is None and links > 0
    kind = CALL if found.is_call else FORK if found.is_fork else PART if found.is_part else RUN
    task = _name(trajectory.task if found.names_task else None)
    names = [_name(name if found.is_call else None) for name in (found.reply_id, found.previous_id)]
    return b"".join((first, second, task, bytes((links, kind, is_open)), *names))


def beginning(messages: list[Message]) -> tuple[bytes, bytes, int]:
    """Digests of the first message but the system's and of the first two, and how many of them there are."""
    links = [digest[:8] for _, digest in chain(messages, most=2)]
    first, second = (*links, NO_NAME, NO_NAME)[:2]
    return first, second, len(links)


def _name(name: str | None) -> bytes:
    return digest_of(name, 8) if name else NO_NAME
