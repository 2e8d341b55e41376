"""Trajectories that are the beginning of another one are kept once.

A log of single model calls has n records for a conversation of n calls, and each holds all messages before
it. Kept is the longest. Which one that is shows only at the end of the log, also across its files, so all
trajectories wait in a temporary file. In memory are 43 bytes for each of them, and 96 bytes more for those
that begin as others do.
"""

import hashlib
import tempfile
from dataclasses import replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import DIGEST, chain
from lar.trajectories.copies import Copies
from lar.trajectories.histories import Histories
from lar.trajectories.openings import CALL, FORK, NO_NAME, PART, RUN
from lar.trajectories.origins import ORIGIN, closest, origin_of, unified
from lar.trajectories.replies import Dropped, Replies
from lar.trajectories.report import Report
from lar.trajectories.schema import Trajectory
from lar.trajectories.shortened import ShortenedHistories
from lar.trajectories.waiting import Rows
from lar.utils.files import temporary_files

_CHUNK = 1 << 15  # digests that are looked up at a time

_Digests = NDArray[np.bytes_]
_Openings = NDArray[np.void]


class Repeats:
    """Which of the trajectories in `rows` are the beginning of another one, by their `openings`.

    repeated: bool (n), which are dropped. touched: bool (n), which of the others may repeat turns, or may
    have been repeated by one that is dropped: see `restored`, which counts in `report` what is repeated.
    tasks: by number, of calls that go on from another one and name no task, the task of that other one. Such
    calls have a shortened history, or none (see `Histories`).
    """

    def __init__(self, rows: Rows, openings: bytes, report: Report) -> None:
        self._histories = rows = Histories(rows, openings, report)
        known = rows.openings
        self._report = report
        self._kinds = known["kind"]
        self.repeated = np.zeros(len(known), dtype=np.bool_)
        self.touched = np.zeros(len(known), dtype=np.bool_)
        numbers = np.flatnonzero(_related(known))
        kinds, is_open = self._kinds[numbers], known["is_open"][numbers]
        may_begin = is_open | (kinds == CALL)
        ends = _Ends(rows, numbers, known)
        self._copies = Copies(rows, numbers[kinds != CALL], self._kinds, forks=FORK, parts=PART)
        second = _is_second(ends, known[numbers]) | np.isin(numbers, self._copies.second)
        begins = may_begin & ends.begins_another
        begins &= ~_of_others(rows, numbers, ends, begins & (kinds == CALL))
        again = begins | (is_open & second)
        self.repeated[numbers] = again
        self.touched[numbers] = ~again & (bool(again.any()) | (kinds != RUN))
        self._copies.take(numbers[~again & (kinds == RUN)])
        dropped = Dropped(numbers[again], ends.own[again], ends.origins[again], begins[again])
        self._replies = Replies(rows, dropped, np.unique(ends.replies), report)
        are_kept_calls = ~self.repeated & (self._kinds == CALL) & (known["links"] > 0)
        self._shortened = ShortenedHistories(rows, np.flatnonzero(are_kept_calls))
        self.touched[self._shortened.numbers] = True
        self.touched |= rows.joined & ~self.repeated
        shortened = self._shortened.tasks().items()
        self.tasks = rows.tasks(~self.repeated)
        self.tasks |= {number: task for number, task in shortened if not known["task"][number]}

    def is_call(self, number: int) -> bool:
        """Whether the trajectory with this number is a call of a model."""
        return bool(self._kinds[number] == CALL)

    def restored(self, number: int, trajectory: Trajectory, place: str) -> Trajectory:
        """The trajectory with this number with what its repetitions lack, and each turn counted once.

        The replies are as the model wrote them. A turn that counts in another trajectory has weight 0.
        """
        if not self.touched[number]:
            return trajectory
        if self._histories.joined[number]:
            trajectory = self._histories.read(number)[0]
        kind = self._kinds[number]
        shared = self._shortened.places(number)
        if kind in (FORK, PART):
            shared = self._copies.shared(trajectory, is_part=kind == PART)
        restored, elsewhere = self._replies.restored(trajectory, place, is_call=kind == CALL)
        moved = len(restored) - len(trajectory)  # by the system's text
        elsewhere = {at + moved: True for at in shared} | elsewhere
        kept = self._without_turns(restored, elsewhere, place)
        return replace(kept, task=self.tasks.get(number, kept.task))

    def _without_turns(self, trajectory: Trajectory, elsewhere: dict[int, bool], place: str) -> Trajectory:
        """The trajectory with the turns that count elsewhere, by their places, as context."""
        messages = list(trajectory.messages)
        for at, is_elsewhere in elsewhere.items():
            if is_elsewhere and messages[at].get("weight") != 0:
                messages[at] = messages[at] | {"weight": 0}
                self._report.repeat_turn(place)
        return replace(trajectory, messages=messages)


class _Ends:
    """The ends of trajectories that may repeat others, in the order of `numbers`, r of them.

    own: bytes (r), the digest of each whole conversation. begins_another: bool (r). origins: ORIGIN (r), of
    its last message. replies: bytes, the digests of all that are calls, without the results of tools.
    """

    def __init__(self, rows: Histories, numbers: NDArray[np.int64], known: _Openings) -> None:
        own, wanted, origins, replies = bytearray(), bytearray(), bytearray(), bytearray()
        with temporary_files(), tempfile.TemporaryFile() as prefixes:
            for number in numbers.tolist():
                digests = rows.digests(number)  # a trajectory without a link is related to none
                task, is_call = known["task"][number].tobytes(), known["kind"][number] == CALL
                prefixes.write(b"".join(one + _of_task(one, task) for one in digests.beginnings()))
                own += digests.end
                wanted += _in_longer(digests.end, task, is_call=bool(is_call))
                origins += digests.origin
                if is_call:
                    replies += digests.reply
            self.own, self.replies = _digests(own), _digests(replies)
            begins = _begins_another(_digests(wanted), prefixes)
        self.begins_another = begins[::2] | begins[1::2]
        calls = np.flatnonzero(known["kind"][numbers] == CALL)
        self.origins = unified(np.frombuffer(bytes(origins), ORIGIN), self.own, calls)


def _digests(data: bytearray) -> _Digests:
    return np.frombuffer(bytes(data), dtype=f"S{DIGEST}")


def _related(known: _Openings) -> NDArray[np.bool_]:
    """Which trajectories share their beginning with others of which one may be a repetition."""
    links = known["links"]
    may_begin = known["is_open"] | ((known["kind"] == CALL) & (links > 0))
    related = np.zeros(len(known), dtype=np.bool_)
    two = np.flatnonzero(links == 2)
    if len(two):
        _, group, size = np.unique(known["second"][two], return_inverse=True, return_counts=True)
        some_begin = np.bincount(group, weights=may_begin[two], minlength=len(size)) > 0
        related[two] = ((size > 1) & some_begin)[group]
    # A conversation of one message may be the beginning of any that begins with it.
    short = known["first"][(links == 1) & may_begin]
    return related | (np.isin(known["first"], short) & (links > 0))


def _of_task(digest: bytes, task: bytes) -> bytes:
    """The digest of a conversation at a task."""
    return hashlib.blake2b(task, key=digest, digest_size=DIGEST).digest()


def _in_longer(end: bytes, task: bytes, *, is_call: bool) -> bytes:
    """Two digests, of which a conversation that goes on from this one has at least one among its prefixes.

    A run that names its task goes on at this task, or where no task is named: two runs may begin alike. A
    call goes on anywhere.
    """
    if is_call or task == NO_NAME:
        return end + end
    return _of_task(end, task) + _of_task(end, NO_NAME)


def _begins_another(own: _Digests, prefixes: IO[bytes]) -> NDArray[np.bool_]:
    order = np.argsort(own, kind="stable")
    inside = np.zeros(len(own), dtype=np.bool_)
    prefixes.seek(0)
    while data := prefixes.read(_CHUNK * DIGEST):
        inside |= _contained(own, order, np.frombuffer(data, dtype=own.dtype))
    return inside


def _is_second(ends: _Ends, known: _Openings) -> NDArray[np.bool_]:
    """Whether it is a model call that was there before; two equal runs are two attempts at a task.

    Calls whose replies have different ids are different ones. A call without an id may be any of them.
    """
    keys = [*(ends.origins[name] for name in ORIGIN.names or ()), known["task"], ends.own]
    replies = known["reply"]
    order = np.lexsort((np.arange(len(known)), replies, replies == 0, *keys))
    order = order[known["kind"][order] == CALL]
    same = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
    same &= (replies[order][1:] == replies[order][:-1]) | (replies[order][1:] == 0)
    second = np.zeros(len(known), dtype=np.bool_)
    second[order[1:]] = same
    return second


def _of_others(
    rows: Histories, numbers: NDArray[np.int64], ends: _Ends, calls: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of `calls`, bool (r), have the texts of a beginning of a longer conversation by chance.

    Of several with equal texts the longer conversation goes on from the one with its model, its system's text
    and its reasoning, as far as it has them. The replies of the others are no repetitions.
    """
    places = np.flatnonzero(calls)
    groups: dict[bytes, dict[tuple[int, ...], bool]] = {}  # of each text: whether the call was gone on from
    for place in places.tolist():
        groups.setdefault(ends.own[place], {}).setdefault(tuple(ends.origins[place].tolist()), False)
    groups = {digest: group for digest, group in groups.items() if len(group) > 1}
    # What goes on from one of them begins as it does.
    firsts = rows.openings["first"][numbers]
    in_groups = [place for place in places.tolist() if ends.own[place] in groups]
    for number in numbers[np.isin(firsts, firsts[in_groups])].tolist():
        if not any(_text(digest) in groups for digest in rows.digests(number).beginnings()):
            continue
        trajectory = rows.read(number)[0]
        for at, digest in chain(trajectory.messages)[:-1]:
            if group := groups.get(_text(digest)):
                group[closest(group, origin_of(trajectory, at))] = True
    others = np.zeros(len(numbers), dtype=np.bool_)
    for place in places.tolist():
        if group := groups.get(ends.own[place]):
            others[place] = not group[tuple(ends.origins[place].tolist())]
    return others


def _text(digest: bytes) -> bytes:
    """A digest as NumPy gives it back: without zeros at its end."""
    return digest.rstrip(b"\0")


def _contained(own: _Digests, order: NDArray[np.int64], wanted: _Digests) -> NDArray[np.bool_]:
    """Which of `own` (sorted by `order`) are among `wanted`."""
    inside = np.zeros(len(own), dtype=np.bool_)
    ordered = own[order]
    left = np.searchsorted(ordered, wanted, side="left")
    right = np.searchsorted(ordered, wanted, side="right")
    for start, end in {(int(a), int(b)) for a, b in zip(left, right, strict=True) if a < b}:
        inside[order[start:end]] = True
    return inside
