"""Calls that name the reply before them: what was said until then stands in other records of the log.

A request of OpenAI's Responses with `previous_response_id` holds only what is new, as does one of Google's
Interactions with `previous_interaction_id`. The service puts the conversation that the named reply ended
before it, without that one's instructions.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import chain
from lar.trajectories.digests import Digests
from lar.trajectories.openings import CALL, OPENING, beginning
from lar.trajectories.report import Report
from lar.trajectories.schema import Trajectory
from lar.trajectories.waiting import Rows

_KEPT = 1024  # conversations in memory: so many agents may write a log in turns without rereading
_NONE = -1


class Histories:
    """The trajectories in `rows`, each call that names a reply behind the conversation that this one ended.

    openings: OPENING (n), of the trajectories as they are read here. joined: bool (n), which calls are behind
    others. Where the log does not have the reply that a call names, the call stays as it is, and is counted
    in `report`.
    """

    def __init__(self, rows: Rows, openings: bytes, report: Report) -> None:
        self._rows = rows
        self.openings = np.frombuffer(bytearray(openings), OPENING)
        self._named = self.openings["task"] != 0
        self._before = _before(self.openings)
        self._recent: dict[int, Trajectory] = {}
        self.joined = self._before != _NONE
        for number in np.flatnonzero((self.openings["previous"] != 0) & ~self.joined).tolist():
            report.miss_history(rows.read(number)[1])
        for number in np.flatnonzero(self.joined).tolist():
            first, second, links = beginning(self.read(number)[0].messages)
            row = self.openings[number]
            row["first"], row["second"] = np.frombuffer(first + second, np.uint64)
            row["links"] = links

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory with this number, counted from 0, behind its history; and its place in the log."""
        own, place = self._rows.read(number)
        return (self._whole(number, own) if self.joined[number] else own), place

    def digests(self, number: int) -> Digests:
        """The digests of the trajectory with this number, behind its history."""
        stored = None if self.joined[number] else self._rows.digests(number)
        if stored is not None:
            return stored
        return Digests.of(self.read(number)[0], is_call=self.openings[number]["kind"] == CALL)

    def tasks(self, numbers: NDArray[np.bool_]) -> dict[int, str]:
        """Of each joined call among `numbers`, bool (n), that names no task: the task of its conversation."""
        unnamed = np.flatnonzero(self.joined & ~self._named & numbers)
        return {number: self.read(number)[0].task for number in unnamed.tolist()}

    def _whole(self, number: int, own: Trajectory) -> Trajectory:
        path = list(self._path(number))
        whole = self._recent.pop(path[-1], None) or self._rows.read(path[-1])[0]
        for at in path[-2::-1]:
            call = own if at == number else self._rows.read(at)[0]
            whole = _behind(whole, call, names_task=self._named[at])
        self._recent[number] = whole
        if len(self._recent) > _KEPT:
            del self._recent[next(iter(self._recent))]
        return whole

    def _path(self, number: int) -> Iterator[int]:
        """Yield a call and those before it, down to the first, or to one whose conversation is in memory."""
        seen: set[int] = set()
        while number != _NONE and number not in seen:  # a broken log may name replies in a circle
            yield number
            if seen and number in self._recent:
                return
            seen.add(number)
            number = int(self._before[number])


def _before(openings: NDArray[np.void]) -> NDArray[np.int64]:
    """Int64 (n): the number of the call whose reply each call goes on from, the first of several; else -1."""
    before = np.full(len(openings), _NONE, np.int64)
    calls = np.flatnonzero(openings["previous"])
    if len(calls):
        order = np.argsort(openings["reply"], kind="stable")
        replies, wanted = openings["reply"][order], openings["previous"][calls]
        at = np.minimum(np.searchsorted(replies, wanted), len(order) - 1)
        is_there = (replies[at] == wanted) & (order[at] != calls)
        before[calls[is_there]] = order[at[is_there]]
    return before


def _behind(before: Trajectory, own: Trajectory, *, names_task: bool) -> Trajectory:
    """A call behind the conversation `before`; as it is where it repeats this itself."""
    task = own.task if names_task else before.task
    said = chain(before.messages)
    if not said or said[-1][1] in [digest for _, digest in chain(own.messages)]:
        return replace(own, task=task)
    is_instructed = own.messages[0]["role"] == "system"
    forgets = is_instructed and before.messages[0]["role"] == "system"
    messages = own.messages[:is_instructed] + before.messages[forgets:] + own.messages[is_instructed:]
    return replace(own, task=task, messages=messages)
