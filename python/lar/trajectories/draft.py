"""A trajectory as a format's reader makes it, before it gets its default id and task."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_spoken
from lar.trajectories.dialects.utf8 import is_utf8, repair_text, repaired
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import text_at, text_of, value_at
from lar.trajectories.schema import Message, Tool, Trajectory
from lar.trajectories.tasks import first_message_task

NO_AGENT = "no turn of the agent"
# How logs write the outcome of a run, beside truth values and numbers.
_SUCCEEDED = ("true", "yes", "success", "succeeded", "pass", "passed")
_FAILED = ("false", "no", "failure", "failed", "fail")
_SHOWN = 40  # most characters of a value in an error
_DEPTH = 4  # how many objects deep an error looks for a field


@dataclass(frozen=True, slots=True)
class Keys:
    """The dotted paths of a raw record's fields; None: as the format says.

    task, success: the task and the outcome. messages, reply: the conversation and what the model answered,
    in a log of no known format.
    """

    task: str | None = None
    success: str | None = None
    messages: str | None = None
    reply: str | None = None


NO_KEYS = Keys()


@dataclass(slots=True)
class Draft:
    """A trajectory as a format reads it from a record; fields without a value get a default."""

    messages: list[Message]
    id: str | None = None
    task: str | None = None
    success: bool | None = None
    model: str | None = None
    source: str | None = None
    keep_source: bool = False  # the format has a field for the source, so None means none
    tools: list[Tool] | None = None
    is_call: bool = False  # one call of a model, with its history, not a whole run (see `no_content`)
    reply_id: str | None = None  # which the provider gave the reply of a call
    previous_id: str | None = None  # of the reply whose conversation a call goes on from, and does not hold
    is_rendered: bool = False  # its question is a conversation that a chat template has rendered
    is_cut: bool = False  # the reply of a call is a stream without an end
    is_unanswered: bool = False  # the reply of a call is not in the log, its history with the agent is
    is_fork: bool = False  # its beginning may be copied from another session, which it names
    is_part: bool = False  # its beginning may be copied from another file with the same text of the system
    is_session: bool = False  # the task is a session, which a session of another name may go on from
    problems: list[str] = field(default_factory=list)  # parts that could not be read and are left out
    entries: Sequence[Any] = ()  # the entries that it is made of, where its record is a file of several runs
    fused_by: tuple[str, int] | None = None  # a field that may name several conversations in it, their number
    is_repaired: bool = False  # half a character of a text that is not the agent's became U+FFFD


def no_content(id: str | None = None, task: str | None = None) -> Draft:  # noqa: A002 (as the field)
    """What stands for a call of a model whose answer is not in the log: it is counted, and no trajectory."""
    return Draft([], id, task, is_call=True)


def has_content(draft: Draft) -> bool:
    """Whether a draft is not `no_content`."""
    return bool(draft.messages) or not draft.is_call


def finish(draft: Draft, record: Record, label: str, keys: Keys, place: str = "") -> Trajectory:
    """Return the draft as a trajectory with its defaults.

    `label` names the record's source; `place` tells the drafts of one record apart. Texts that are not valid
    UTF-8 are repaired in the draft, but for the agent's.

    Raises:
        TrajectoryError: there are no messages or no turn of the agent, a text of the agent or a name is not
            valid UTF-8, the task key is missing, or no outcome is at the success key.
    """
    if not draft.messages:
        raise TrajectoryError("no messages")
    if not is_spoken(draft.messages[-1]) and not any(map(is_spoken, draft.messages)):
        raise TrajectoryError(NO_AGENT)
    draft.is_repaired = repair_text(draft.messages)
    if keys.task is not None:
        task = _look_up(record, keys.task, draft.entries)
    else:
        task = repaired(draft.task or first_message_task(draft.messages))
    name = draft.id if draft.id is not None else f"{label}:{record.key or record.number}{place}"
    source = draft.source if draft.source is not None or draft.keep_source else label
    if not all(text is None or is_utf8(text) for text in (task, name, source, draft.model)):
        raise TrajectoryError("its id, task, source or model is not valid UTF-8")
    success = draft.success
    if keys.success is not None:
        success = _look_up_success(record, keys.success, draft.entries)
    return Trajectory(name, task, draft.messages, success, draft.model, source, draft.tools)


def _look_up(record: Record, path: str, entries: Sequence[Any] = ()) -> str:
    """Return the value at the dotted `path` of an entry, the raw record or its file's context, as text."""
    roots = (*entries, record.value, record.context)
    found = next((text for root in roots if (text := text_at(root, path)) is not None), None)
    if found is None:
        hint = _elsewhere(record.value, path, text_of)
        raise TrajectoryError(f"no text or number at the task key {path!r}{hint}")
    return found


def _elsewhere(value: Any, path: str, read: Callable[[Any], Any]) -> str:
    """Where the last step of a path that leads nowhere has what `read` takes, in words; empty without one."""
    places = _places_of(value, path.rpartition(".")[2])
    found = next((place for place in places if read(value_at(value, place)) is not None), None)
    return f" (there is one at {found!r})" if found else ""


def outcome_elsewhere(value: Any, path: str) -> str:
    """Where the last step of a success key that leads nowhere has an outcome, in words; empty without one."""
    return _elsewhere(value, path, outcome_of)


def _places_of(value: Any, name: str, depth: int = _DEPTH) -> Iterator[str]:
    """The dotted paths of the members called `name` in an object and the objects in it, without lists."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key == name:
            yield name
        if depth > 1:
            yield from (f"{key}.{place}" for place in _places_of(inner, name, depth - 1))


def _look_up_success(record: Record, path: str, entries: Sequence[Any] = ()) -> bool | None:
    """Return the outcome at the dotted `path`, that of the last entry that has one; None where there is none.

    Raises:
        TrajectoryError: the value is no outcome.
    """
    roots = (*reversed(entries), record.value, record.context)
    value = next((value for root in roots if (value := value_at(root, path)) not in (None, "")), None)
    success = outcome_of(value)
    if success is None and value is not None and value == value:  # NaN stands for nothing
        shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[: _SHOWN - 1]}…"
        raise TrajectoryError(
            f"no outcome at the success key {path!r}: {shown} (true, false, a number of which 1 or more is"
            f" success, {', '.join((*_SUCCEEDED[1:], *_FAILED[1:]))})"
        )
    return success


def outcome_of(value: Any) -> bool | None:
    """What `solved` gives, and whether a text is a word for success; None where it is no word for either.

    >>> [outcome_of(value) for value in ("Yes", "FAILED", "0.5", True, "running")]
    [True, False, False, True, None]
    """
    word = value.strip().lower() if isinstance(value, str) else None
    return True if word in _SUCCEEDED else False if word in _FAILED else solved(value)


def solved(reward: Any) -> bool | None:
    """Whether a reward is at least 1, the full reward; None where there is none, or it is no number (NaN).

    Text counts as what it says, because a table as text has no other values.

    >>> [solved(reward) for reward in (True, 0.5, "1", "False", "many", None)]
    [True, False, True, False, None, None]
    """
    if isinstance(reward, str):
        reward = _value_of(reward.strip().lower())
    if isinstance(reward, bool):
        return reward
    if isinstance(reward, float) and reward != reward:
        return None
    return reward >= 1 - 1e-6 if isinstance(reward, int | float) else None


def first_solved(rewards: Iterable[Any]) -> bool | None:
    """What `solved` gives for the first of `rewards` that is an outcome; None without one."""
    return next((success for success in map(solved, rewards) if success is not None), None)


def _value_of(text: str) -> bool | float | None:
    """The truth value or the number that a text stands for."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return None
