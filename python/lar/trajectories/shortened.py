"""Calls with a shortened history: the end of another call's conversation, perhaps behind its beginning.

A client sends the last messages alone, a sliding window; or the first ones, a note or a summary, and the last
ones. Such a call goes on from the call whose reply ends what both have. What it has of that conversation
counts there, and its task is that call's.
"""

import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import digest_of, repeated_text
from lar.trajectories.dialects.messages import is_spoken
from lar.trajectories.report import LONG
from lar.trajectories.schema import Message, Trajectory
from lar.trajectories.waiting import Rows
from lar.utils.files import temporary_files

_MOST = 64  # calls with the same reply that are compared with a history, the nearest in the log

_NONE, _ODD = np.uint64(0), np.uint64(1)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of a digest is lost; of the golden ratio

_Digests = NDArray[np.uint64]


class ShortenedHistories:
    """Which of the calls with these numbers, int64 (n), ascending, go on from others that they have in part.

    What both have must be at least `LONG` characters: less may be equal by chance.
    """

    def __init__(self, rows: Rows, numbers: NDArray[np.int64]) -> None:
        self._rows = rows
        self._places: dict[int, list[int]] = {}  # of each such call, the turns that another one has
        self._before: dict[int, int] = {}  # the number of that other one
        if len(numbers) < 2:
            return
        with temporary_files(), tempfile.TemporaryFile() as file:
            calls = _Calls(rows, numbers, file)
            for at, number in enumerate(numbers.tolist()):
                for joint in calls.joints(at):
                    said = _said(rows.read(number)[0])
                    if _is_long(said[joint.start : joint.end]):
                        shared = said[: joint.head] + said[joint.start : joint.end]
                        self._places[number] = [place for place, message in shared if is_spoken(message)]
                        self._before[number] = int(numbers[joint.other])
                        break

    @property
    def numbers(self) -> list[int]:
        """The numbers of these calls."""
        return list(self._places)

    def places(self, number: int) -> list[int]:
        """The places of the agent's turns that count in another call."""
        return self._places.get(number, [])

    def tasks(self) -> dict[int, str]:
        """Of each of these calls, the task of the one that the first before it goes on from."""
        firsts = self._firsts()
        tasks = {first: self._rows.read(first)[0].task for first in sorted(set(firsts.values()))}
        return {number: tasks[first] for number, first in firsts.items()}

    def _firsts(self) -> dict[int, int]:
        firsts: dict[int, int] = {}
        for number in self._before:
            path: dict[int, None] = {}
            at = number
            while at in self._before and at not in firsts and at not in path:
                path[at] = None
                at = self._before[at]
            firsts.update(dict.fromkeys(path, firsts.get(at, at)))
        return firsts


@dataclass(frozen=True, slots=True)
class _Joint:
    """What a history has of the call at `other`: the first `head` messages, and those from `start` to `end`.

    The former are the first of that call's conversation, the latter its last, without the system's message.
    """

    head: int
    start: int
    end: int
    other: int


class _Calls:
    """Digests of the messages of some calls, but the system's, in a file; and the calls by their replies."""

    def __init__(self, rows: Rows, numbers: NDArray[np.int64], file: IO[bytes]) -> None:
        self._starts, replies = array("q", [0]), array("Q")
        for number in numbers.tolist():
            digests = np.array([_digest(message) for _, message in _said(rows.read(number)[0])], np.uint64)
            file.write(digests.tobytes())
            self._starts.append(self._starts[-1] + len(digests))
            replies.extend(_keys(digests)[-1].tolist())
        file.flush()
        self._digests = np.memmap(file, np.uint64, mode="r")
        found = np.frombuffer(replies, np.uint64)
        order = np.argsort(found, kind="stable")
        self._replies, self._calls = found[order], order // 2

    def joints(self, at: int) -> Iterator[_Joint]:
        """Yield where the history of a call goes on from another one, the last place first."""
        history = self._of(at)
        keys = _keys(history)[:-1]
        left, right = (np.searchsorted(self._replies, keys, side=side) for side in ("left", "right"))
        for last, key in np.argwhere((left < right) & (keys != _NONE))[::-1].tolist():
            for other in _nearest(self._calls[left[last, key] : right[last, key]], at):
                if (joint := _joint(history[: last + 1], self._of(other), other)) is not None:
                    yield joint

    def _of(self, at: int) -> _Digests:
        return self._digests[self._starts[at] : self._starts[at + 1]]


def _digest(message: Message) -> int:
    """A digest of a message; it is odd if the message alone is long enough for a joint."""
    digest = digest_of(f"{message['role']}\0{repeated_text(message)}", 8)
    return int.from_bytes(digest, "little") & ~1 | _is_long([(0, message)])


def _keys(digests: _Digests) -> _Digests:
    """What messages are looked up by, uint64 (n, 2): alone where they are long, and with the one before."""
    keys = np.stack([np.where(digests & _ODD, digests, _NONE), digests], axis=1)
    keys[1:, 1] += digests[:-1] * _FACTOR
    return keys


def _nearest(calls: NDArray[np.int64], at: int) -> list[int]:
    """Those of `calls`, ascending, that are compared: nearest before `at` in the log, then those behind."""
    here = int(np.searchsorted(calls, at))
    before, behind = calls[max(0, here - _MOST) : here][::-1], calls[here : here + _MOST + 1]
    return [other for other in [*before.tolist(), *behind.tolist()] if other != at][:_MOST]


def _joint(history: _Digests, whole: _Digests, other: int) -> _Joint | None:
    """The joint of a history that ends as the conversation `whole` of the call at `other`, by their digests.

    None if it neither begins in the midst of that conversation nor as it does.
    """
    most = min(len(history), len(whole))
    tail = _equal(history[::-1][:most], whole[::-1][:most])
    start = len(history) - tail
    head = _equal(history[:most][:start], whole[:most][:start])
    begins_within = start == 0 and len(whole) > tail
    return _Joint(head, start, len(history), other) if head or begins_within else None


def _equal(one: _Digests, other: _Digests) -> int:
    """How many of the first digests are equal."""
    differing = np.flatnonzero(one != other)
    return int(differing[0]) if len(differing) else len(one)


def _is_long(said: list[tuple[int, Message]]) -> bool:
    return sum(len(repeated_text(message)) for _, message in said) >= LONG


def _said(trajectory: Trajectory) -> list[tuple[int, Message]]:
    """The messages but the system's, with their places."""
    return [one for one in enumerate(trajectory.messages) if one[1]["role"] != "system"]
