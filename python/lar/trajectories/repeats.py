"""Trajectories that are the beginning of another one are kept once.

A log of single model calls has n records for a conversation of n calls, and each holds all messages before
it. Kept is the longest. Which one that is shows only at the end of the log, also across its files, so all
trajectories wait in a temporary file. In memory are 27 bytes for each of them, and 48 bytes more for those
that begin as others do.
"""

import hashlib
import marshal
import re
import tempfile
from array import array
from dataclasses import replace
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.audit import left_out
from lar.trajectories.record import Found
from lar.trajectories.report import Report
from lar.trajectories.schema import Message, Trajectory
from lar.utils.files import temporary_files

_DIGEST = 16  # bytes
_CHUNK = 1 << 15  # digests that are looked up at a time
_NO_TASK = bytes(8)
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)

REPEATED = "(repeated)"  # instead of a format's name, for texts of dropped trajectories
_Digests = NDArray[np.bytes_]


def chain(messages: list[Message], most: int | None = None) -> list[tuple[int, bytes]]:
    """The place of each message but the system's, with a digest of the conversation up to it; `most` of them.

    Two conversations with the same digest differ at most in what clients change when they send a history
    again: the system's text, reasoning, white space at the ends, names and ids.
    """
    digest, links = b"", []
    for place, message in enumerate(messages):
        if message["role"] != "system":
            digest = hashlib.blake2b(_repeated(message), key=digest, digest_size=_DIGEST).digest()
            links.append((place, digest))
            if len(links) == most:
                break
    return links


def _repeated(message: Message) -> bytes:
    """What of a message a later request repeats."""
    content = message["content"].strip()
    parts = [message["role"], content]
    if message["role"] == "assistant":
        if content.startswith("<think>"):
            parts[1] = _THOUGHT.sub("", content, count=1).strip()
        for call in message.get("tool_calls", ()):
            parts += [call["function"]["name"], "".join(call["function"]["arguments"].split())]
    return "\0".join(parts).encode("utf-8", "surrogatepass")


OPENING = np.dtype(
    [
        ("first", np.uint64),  # a digest of the first message but the system's
        ("second", np.uint64),  # a digest of the first two
        ("task", np.uint64),  # a digest of the task, 0 where the log names none
        ("links", np.uint8),  # how many of the two messages there are
        ("is_call", np.bool_),
        ("is_open", np.bool_),  # whether it may be a repetition
    ]
)
"""What is in memory of each trajectory: trajectories that begin differently are not compared further."""

_Openings = NDArray[np.void]


def opening(found: Found) -> bytes:
    """What `Repeats` must know of a trajectory: the bytes of one `OPENING`."""
    trajectory = found.trajectory
    links = [digest[:8] for _, digest in chain(trajectory.messages, most=2)]
    first, second = (*links, bytes(8), bytes(8))[:2]
    # A run whose result is recorded is an attempt of its own, whatever others begin with.
    is_open = trajectory.success is None and bool(links)
    task = _NO_TASK
    if found.names_task:
        task = hashlib.blake2b(trajectory.task.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return b"".join((first, second, task, bytes((len(links), found.is_call, is_open))))


class Rows(Protocol):
    """Trajectories that wait, in an order."""

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory with this number, counted from 0, and its place in the log."""


class Repeats:
    """Which of the trajectories in `rows` are the beginning of another one, by their `openings`.

    repeated: bool (n), which are dropped. touched: bool (n), which of the others may have been repeated by
    one that is dropped: see `restored`, which counts in `report` the texts that only dropped ones have.
    """

    def __init__(self, rows: Rows, openings: bytes, report: Report) -> None:
        known = np.frombuffer(openings, OPENING)
        self._rows = rows
        self.repeated = np.zeros(len(known), dtype=np.bool_)
        self.touched = np.zeros(len(known), dtype=np.bool_)
        numbers = np.flatnonzero(_related(known))
        own, ends = bytearray(), bytearray()
        with temporary_files(), tempfile.TemporaryFile() as prefixes:
            for number in numbers.tolist():
                links = chain(rows.read(number)[0].messages)
                task = known["task"][number].tobytes()
                prefixes.write(b"".join(digest + _of_task(digest, task) for _, digest in links[:-1]))
                end = links[-1][1] if links else bytes(_DIGEST)
                own += end
                ends += _in_longer(end, task, is_call=bool(known["is_call"][number]))
            digests, wanted = (np.frombuffer(bytes(data), dtype=f"S{_DIGEST}") for data in (own, ends))
            begins_another = _begins_another(wanted, prefixes).reshape(-1, 2).any(axis=1)
            again = known["is_open"][numbers] & (begins_another | _is_second(digests, known[numbers]))
        self.repeated[numbers] = again
        self.touched[numbers] = ~again & bool(again.any())
        self._replies = _Replies(rows, digests[again], numbers[again], report)

    def restored(self, trajectory: Trajectory, place: str) -> Trajectory:
        """The trajectory with the replies as the model wrote them, and with what its repetitions lack."""
        return self._replies.restored(trajectory, place)


def _related(known: _Openings) -> NDArray[np.bool_]:
    """Which trajectories share their beginning with others of which one may be a repetition."""
    links, is_open = known["links"], known["is_open"]
    related = np.zeros(len(known), dtype=np.bool_)
    two = np.flatnonzero(links == 2)
    if len(two):
        _, group, size = np.unique(known["second"][two], return_inverse=True, return_counts=True)
        some_open = np.bincount(group, weights=is_open[two], minlength=len(size)) > 0
        related[two] = ((size > 1) & some_open)[group]
    # A conversation of one message may be the beginning of any that begins with it.
    short = known["first"][(links == 1) & is_open]
    return related | (np.isin(known["first"], short) & (links > 0))


def _of_task(digest: bytes, task: bytes) -> bytes:
    """The digest of a conversation at a task."""
    return hashlib.blake2b(task, key=digest, digest_size=_DIGEST).digest()


def _in_longer(end: bytes, task: bytes, *, is_call: bool) -> bytes:
    """Two digests, of which a conversation that goes on from this one has at least one among its prefixes.

    A run that names its task goes on at this task, or where no task is named: two runs may begin alike. A
    call goes on anywhere.
    """
    if is_call or task == _NO_TASK:
        return end + end
    return _of_task(end, task) + _of_task(end, _NO_TASK)


def _begins_another(own: _Digests, prefixes: IO[bytes]) -> NDArray[np.bool_]:
    order = np.argsort(own, kind="stable")
    inside = np.zeros(len(own), dtype=np.bool_)
    prefixes.seek(0)
    while data := prefixes.read(_CHUNK * _DIGEST):
        inside |= _contained(own, order, np.frombuffer(data, dtype=own.dtype))
    return inside


def _is_second(own: _Digests, known: _Openings) -> NDArray[np.bool_]:
    """Whether it is a model call that was there before; two equal runs are two attempts at a task."""
    tasks = known["task"]
    order = np.lexsort((np.arange(len(own)), tasks, own))
    order = order[known["is_call"][order]]
    same = (own[order][1:] == own[order][:-1]) & (tasks[order][1:] == tasks[order][:-1])
    second = np.zeros(len(own), dtype=np.bool_)
    second[order[1:]] = same
    return second


def _contained(own: _Digests, order: NDArray[np.int64], wanted: _Digests) -> NDArray[np.bool_]:
    """Which of `own` (sorted by `order`) are among `wanted`."""
    inside = np.zeros(len(own), dtype=np.bool_)
    ordered = own[order]
    left = np.searchsorted(ordered, wanted, side="left")
    right = np.searchsorted(ordered, wanted, side="right")
    for start, end in {(int(a), int(b)) for a, b in zip(left, right, strict=True) if a < b}:
        inside[order[start:end]] = True
    return inside


class _Replies:
    """The replies of dropped trajectories, which are as the model wrote them.

    A later request repeats a reply as its client has stored it: without reasoning, perhaps written anew. It
    may also leave out what the first request had: the system's text and the tools.
    """

    def __init__(self, rows: Rows, digests: _Digests, numbers: NDArray[np.int64], report: Report) -> None:
        self._rows = rows
        self._report = report
        order = np.argsort(digests, kind="stable")
        self._numbers, self._digests = numbers[order], digests[order]
        self._counted = np.zeros(len(digests), dtype=np.bool_)

    def restored(self, trajectory: Trajectory, place_in_log: str) -> Trajectory:
        """The trajectory with the replies in the place of their repetitions, and what it lacks."""
        messages = list(trajectory.messages)
        found: list[int] = []
        for place, digest in chain(messages):
            dropped = self._find(digest)
            if dropped and messages[place]["role"] == "assistant" and place < len(messages) - 1:
                messages[place] = _as_written(messages[place], self._read(dropped[0])[0].messages[-1])
            found += dropped
        if not found:
            return trajectory
        kept = _completed(replace(trajectory, messages=messages), self._read(found[0])[0])
        self._count_lost(trajectory, place_in_log, kept)
        for at in found:
            if not self._counted[at]:
                self._counted[at] = True
                beginning, place_of_beginning = self._read(at)
                self._count_lost(beginning, place_of_beginning, kept)
                _give_back(kept.messages, beginning.messages)
        return kept

    def _count_lost(self, trajectory: Trajectory, place: str, kept: Trajectory) -> None:
        """Count the texts of a trajectory that `kept` has not: another text of the system, say."""
        if texts := left_out({"messages": trajectory.messages, "tools": trajectory.tools}, [kept]):
            self._report.leave_out(REPEATED, texts, place)

    def _read(self, at: int) -> tuple[Trajectory, str]:
        return self._rows.read(int(self._numbers[at]))

    def _find(self, digest: bytes) -> range:
        """The dropped trajectories with this digest, by their places in the order of digests."""
        wanted = np.bytes_(digest)
        start = np.searchsorted(self._digests, wanted, side="left")
        end = np.searchsorted(self._digests, wanted, side="right")
        return range(int(start), int(end))


def _as_written(repeated: Message, reply: Message) -> Message:
    """The reply in the place of its repetition, and context only where the repetition is.

    Its calls keep the ids that they have in the repetition: the results that follow name these.
    """
    written: Message = {**repeated, **reply}
    if "weight" not in repeated:
        written.pop("weight", None)
    pairs = zip(reply.get("tool_calls", ()), repeated.get("tool_calls", ()), strict=False)  # as many
    if calls := [call | {"id": again["id"] or call["id"]} for call, again in pairs]:
        written["tool_calls"] = calls
    return written


def _give_back(messages: list[Message], dropped: list[Message]) -> None:
    """Make turns of the agent out of those that `messages` has as context and `dropped`, its beginning, not.

    A log may count each turn once: where the conversation that goes on repeats it, it has the weight 0.
    """
    places = (place for place, message in enumerate(messages) if message["role"] != "system")
    begun = (message for message in dropped if message["role"] != "system")
    for place, message in zip(places, begun, strict=False):
        if message.get("weight") != 0 and "weight" in messages[place]:
            messages[place] = messages[place].copy()
            del messages[place]["weight"]


def _completed(trajectory: Trajectory, beginning: Trajectory) -> Trajectory:
    """The trajectory with the tools and the system's text of its `beginning`, where it has none."""
    first = beginning.messages[0]
    if first["role"] == "system" and trajectory.messages[0]["role"] != "system":
        trajectory = replace(trajectory, messages=[first, *trajectory.messages])
    return trajectory if trajectory.tools is not None else replace(trajectory, tools=beginning.tools)


class WaitingRows:
    """Trajectories in a temporary file, to be read by number."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._starts = array("q", [0])

    def close(self) -> None:
        """Remove the temporary file."""
        with temporary_files():  # what is not written yet is written now
            self._file.close()

    def add(self, trajectory: Trajectory, place: str) -> None:
        """Hold a trajectory; `place` is where it stands in the log."""
        # The fastest of all ways; it takes exact built-in types alone, as `exact` has made them.
        data = marshal.dumps({**trajectory.to_dict(), "place": place})
        with temporary_files():
            self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory with this number, counted from 0, and its place in the log."""
        start, end = self._starts[number], self._starts[number + 1]
        with temporary_files():  # what was added is written before
            self._file.seek(start)
        fields: dict[str, Any] = marshal.loads(self._file.read(end - start))
        place = fields.pop("place")
        return Trajectory(**fields), place
