"""Trajectories that are the beginning of another one are kept once.

A log of single model calls has n records for a conversation of n calls, and each holds all messages before
it. Kept is the longest. Which one that is shows only at the end of the log, also across its files, so all
trajectories wait in a temporary file. In memory are 48 bytes for each of them.
"""

import hashlib
import marshal
import re
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.record import Found
from lar.trajectories.schema import Message, Trajectory

_DIGEST = 16  # bytes
_CHUNK = 1 << 15  # digests that are looked up at a time
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)

_Digests = NDArray[np.bytes_]


def chain(messages: list[Message]) -> list[tuple[int, bytes]]:
    """The place of each message but the system's, with a digest of the conversation up to it.

    Two conversations with the same digest differ at most in what clients change when they send a history
    again: the system's text, reasoning, white space at the ends, names and ids.
    """
    digest, links = b"", []
    for place, message in enumerate(messages):
        if message["role"] != "system":
            digest = hashlib.blake2b(_repeated(message), key=digest, digest_size=_DIGEST).digest()
            links.append((place, digest))
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


class Repeats:
    """Trajectories that wait for the end of the log: `add` each one, then read those to keep with `kept`."""

    def __init__(self) -> None:
        self._rows = _Rows()
        self._prefixes: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._own = bytearray()  # of each trajectory the digest of all its messages
        self._tasks = array("q")  # of each the hash of its task
        self._calls = bytearray()  # of each whether it is a single model call
        self._open = bytearray()  # of each whether it may be a repetition

    def add(self, found: Found, place: str) -> None:
        """Hold a trajectory until the end; `place` is where it stands in the log."""
        trajectory = found.trajectory
        links = chain(trajectory.messages)
        self._prefixes.write(b"".join(digest for _, digest in links[:-1]))
        self._own += links[-1][1] if links else bytes(_DIGEST)
        self._tasks.append(hash(trajectory.task))
        self._calls.append(found.is_call)
        # A run whose result is recorded is an attempt of its own, whatever others begin with.
        self._open.append(trajectory.success is None and bool(links))
        self._rows.add(trajectory, place)

    def kept(self) -> Iterator[tuple[Trajectory, bool, str]]:
        """Yield each trajectory in its order, whether it is kept, and its place."""
        drop = self._to_drop()
        replies = _Replies(self._rows, self._digests(), drop)
        for number, repeats in enumerate(drop.tolist()):
            trajectory, place = self._rows.read(number)
            if not repeats and replies.any:
                trajectory = replies.restored(trajectory)
            yield trajectory, not repeats, place

    def close(self) -> None:
        """Remove the temporary files."""
        self._prefixes.close()
        self._rows.close()

    def _digests(self) -> _Digests:
        return np.frombuffer(bytes(self._own), dtype=f"S{_DIGEST}")

    def _to_drop(self) -> NDArray[np.bool_]:
        own, is_open = self._digests(), np.frombuffer(bytes(self._open), dtype=np.bool_)
        return np.asarray(is_open & (self._begins_another(own) | self._is_second(own)))

    def _begins_another(self, own: _Digests) -> NDArray[np.bool_]:
        order = np.argsort(own, kind="stable")
        inside = np.zeros(len(own), dtype=np.bool_)
        self._prefixes.seek(0)
        while data := self._prefixes.read(_CHUNK * _DIGEST):
            wanted = np.frombuffer(data, dtype=own.dtype)
            inside |= _contained(own, order, wanted)
        return inside

    def _is_second(self, own: _Digests) -> NDArray[np.bool_]:
        """Whether it is a model call that was there before; two equal runs are two attempts at a task."""
        tasks, calls = np.frombuffer(self._tasks, np.int64), np.frombuffer(bytes(self._calls), np.bool_)
        order = np.lexsort((np.arange(len(own)), tasks, own))
        order = order[calls[order]]
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

    def __init__(self, rows: "_Rows", own: _Digests, drop: NDArray[np.bool_]) -> None:
        self._rows = rows
        dropped = np.flatnonzero(drop)
        order = np.argsort(own[dropped], kind="stable")
        self._numbers, self._digests = dropped[order], own[dropped][order]
        self.any = bool(len(dropped))

    def restored(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with the replies in the place of their repetitions, and what it lacks."""
        messages = list(trajectory.messages)
        lacks = trajectory.tools is None or messages[0]["role"] != "system"
        found: list[int] = []
        for place, digest in chain(messages)[:-1]:
            if messages[place]["role"] == "assistant" and (number := self._find(digest)) is not None:
                messages[place] = {**messages[place], **self._rows.reply(number)}
                found.append(number)
        trajectory = replace(trajectory, messages=messages)
        return _completed(trajectory, self._rows.read(found[0])[0]) if lacks and found else trajectory

    def _find(self, digest: bytes) -> int | None:
        at = int(np.searchsorted(self._digests, np.bytes_(digest)))
        found = at < len(self._digests) and self._digests[at] == digest.rstrip(b"\0")
        return int(self._numbers[at]) if found else None


def _completed(trajectory: Trajectory, beginning: Trajectory) -> Trajectory:
    """The trajectory with the tools and the system's text of its `beginning`, where it has none."""
    first = beginning.messages[0]
    if first["role"] == "system" and trajectory.messages[0]["role"] != "system":
        trajectory = replace(trajectory, messages=[first, *trajectory.messages])
    return trajectory if trajectory.tools is not None else replace(trajectory, tools=beginning.tools)


class _Rows:
    """Trajectories in a temporary file, to be read by number."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._starts = array("q", [0])
        self._replies = array("q")  # where the last message of each begins

    def close(self) -> None:
        self._file.close()

    def add(self, trajectory: Trajectory, place: str) -> None:
        fields = {**trajectory.to_dict(), "messages": trajectory.messages[:-1], "place": place}
        head, reply = marshal.dumps(fields), marshal.dumps(dict(trajectory.messages[-1]))
        self._file.write(head)
        self._file.write(reply)
        self._replies.append(self._starts[-1] + len(head))
        self._starts.append(self._starts[-1] + len(head) + len(reply))

    def read(self, number: int) -> tuple[Trajectory, str]:
        data = self._bytes(self._starts[number], self._starts[number + 1])
        cut = self._replies[number] - self._starts[number]
        fields: dict[str, Any] = marshal.loads(data[:cut])
        place = fields.pop("place")
        fields["messages"].append(marshal.loads(data[cut:]))
        return Trajectory(**fields), place

    def reply(self, number: int) -> Message:
        message: Message = marshal.loads(self._bytes(self._replies[number], self._starts[number + 1]))
        return message

    def _bytes(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)
