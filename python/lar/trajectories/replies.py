"""What dropped trajectories give to the kept ones: replies as the model wrote them, and texts they lack."""

import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.audit import Audit
from lar.trajectories.chains import chain, chain_without_results
from lar.trajectories.origins import Origin, closest, origin_of
from lar.trajectories.report import Report
from lar.trajectories.schema import Message, Trajectory
from lar.trajectories.waiting import Rows

_MOST_HELD = 10_000  # messages of dropped trajectories that are in memory while one is restored
REPEATED = "(repeated)"  # instead of a format's name, for texts of dropped trajectories


@dataclass(frozen=True, slots=True)
class Dropped:
    """Dropped trajectories, d of them.

    Their numbers, digests (bytes) and origins (ORIGIN), and whether each is the beginning of another one, and
    not only equal to one (bool).
    """

    numbers: NDArray[np.int64]
    digests: NDArray[np.bytes_]
    origins: NDArray[np.void]
    begins: NDArray[np.bool_]


class Replies:
    """The replies of dropped trajectories, which are as the model wrote them.

    A later request repeats a reply as its client has stored it: without reasoning, perhaps written anew. It
    may also leave out what the first request had: the system's text and the tools.

    `calls` are the digests of all model calls of the log, without results of tools.
    """

    def __init__(self, rows: Rows, dropped: Dropped, calls: NDArray[np.bytes_], report: Report) -> None:
        self._rows = rows
        self._report = report
        order = np.argsort(dropped.digests, kind="stable")
        self._numbers, self._digests = dropped.numbers[order], dropped.digests[order]
        self._origins: list[Origin] = dropped.origins[order].tolist()
        self._begins = dropped.begins[order]
        self._calls = calls
        self._counted = np.zeros(len(order), dtype=np.bool_)
        self._taken = np.zeros(len(order), dtype=np.bool_)

    def restored(
        self, trajectory: Trajectory, place_in_log: str, *, is_call: bool
    ) -> tuple[Trajectory, dict[int, bool]]:
        """The trajectory with the replies in the place of their repetitions, and what it lacks.

        Beside it, by their places, the turns of a call's history of which the log has the reply, and whether
        they count elsewhere: those that another conversation has taken, or that stand in another call's
        history with other results of tools.
        """
        reader = _Reader(self._rows, self._numbers)
        messages = list(trajectory.messages)
        without = dict(chain_without_results(messages)) if is_call else {}
        found: list[int] = []
        counts_elsewhere: dict[int, bool] = {}
        links = chain(messages)
        for place, digest in links:
            dropped = _range(self._digests, digest)
            found += dropped
            if messages[place]["role"] != "assistant" or place == links[-1][0]:
                continue
            reply, is_taken = self._take(dropped, trajectory, place)
            if reply is not None:
                messages[place] = _as_written(messages[place], _last_said(reader.read(reply)[0]))
            if is_call and (reply is not None or _range(self._calls, without[place])):
                counts_elsewhere[place] = reply is None or is_taken
        if not found:
            return trajectory, counts_elsewhere
        kept = _completed(replace(trajectory, messages=messages), reader.read(found[0])[0])
        lost = _Lost(kept)
        self._count_lost(lost, trajectory, place_in_log)
        for at in found:
            if not self._counted[at]:
                self._counted[at] = True
                beginning, place_of_beginning = reader.read(at)
                self._count_lost(lost, beginning, place_of_beginning)
                _give_back(kept.messages, beginning.messages)
        moved = len(kept.messages) - len(messages)  # by the system's text
        return kept, {place + moved: elsewhere for place, elsewhere in counts_elsewhere.items()}

    def _take(self, dropped: range, trajectory: Trajectory, place: int) -> tuple[int | None, bool]:
        """Which of the dropped ones has the reply at `place`, and whether another conversation took it."""
        known = [at for at in dropped if self._begins[at]]
        free = [at for at in known if not self._taken[at]]
        origins = {self._origins[at]: None for at in free or known}
        if not origins:
            return None, False
        origin = next(iter(origins))
        if len(origins) > 1:
            origin = closest(origins, origin_of(trajectory, place))
        same = [at for at in known if self._origins[at] == origin]
        self._taken[same] = True
        return same[0], not free

    def _count_lost(self, lost: "_Lost", trajectory: Trajectory, place: str) -> None:
        if texts := lost.of(trajectory):
            self._report.leave_out(REPEATED, texts, place)


class _Reader:
    """Reads dropped trajectories for one that is restored, each once, as long as there is room."""

    def __init__(self, rows: Rows, numbers: NDArray[np.int64]) -> None:
        self._rows = rows
        self._numbers = numbers
        self._known: dict[int, tuple[Trajectory, str]] = {}
        self._room = _MOST_HELD

    def read(self, at: int) -> tuple[Trajectory, str]:
        """The trajectory, and its place in the log."""
        if at in self._known:
            return self._known[at]
        found = self._rows.read(int(self._numbers[at]))
        self._room -= len(found[0])
        if self._room >= 0:
            self._known[at] = found
        return found


class _Lost:
    """What `kept` lacks of the trajectories that it stands for, as another text of the system or outcome."""

    def __init__(self, kept: Trajectory) -> None:
        self._kept = kept
        self._audit = Audit([kept])
        self._system = [message for message in kept.messages if message["role"] == "system"]
        self._said = [message for message in kept.messages if message["role"] != "system"]

    def of(self, trajectory: Trajectory) -> dict[str, int]:
        """The texts of a trajectory that are missing: {path: characters}."""
        tools = None if trajectory.tools == self._kept.tools else trajectory.tools
        texts = self._audit.left_out({"messages": self._others(trajectory.messages), "tools": tools})
        if trajectory.success not in (None, self._kept.success):
            texts["success"] = len(json.dumps(trajectory.success))
        return texts

    def _others(self, messages: list[Message]) -> list[Message]:
        """The messages that are not the same in the same place; of these nothing is missing."""
        said = iter(self._said)
        return [
            message
            for message in messages
            if (message not in self._system if message["role"] == "system" else message != next(said, None))
        ]


def _range(ordered: NDArray[np.bytes_], digest: bytes) -> range:
    """Where a digest stands among ordered ones."""
    wanted = np.bytes_(digest)
    start = np.searchsorted(ordered, wanted, side="left")
    end = np.searchsorted(ordered, wanted, side="right")
    return range(int(start), int(end))


def _last_said(trajectory: Trajectory) -> Message:
    """The message whose digest is that of the whole conversation: a notice of the system may follow it."""
    return next(message for message in reversed(trajectory.messages) if message["role"] != "system")


def _as_written(repeated: Message, reply: Message) -> Message:
    """The reply in the place of its repetition, and context only where the repetition is.

    Its calls keep the ids that they have in the repetition: the results that follow name these. What is no
    turn of the agent replaces none.
    """
    if reply["role"] != "assistant":
        return repeated
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
