"""One record of a log -> its trajectories, by the format that recognises it."""

from dataclasses import dataclass, replace
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import NO_AGENT, NO_KEYS, Draft, Keys, finish, has_content
from lar.trajectories.formats import NO_LIST, WHERE_LISTED, recognise_record
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import MALFORMED
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import from_json_text
from lar.trajectories.schema import Trajectory


@dataclass(frozen=True, slots=True)
class Found:
    """A trajectory as it was found in a log.

    is_call: it is one call of a model and not a whole run. names_task: the log says which task it is about.
    is_fork, is_part, reply_id, is_cut, previous_id and is_rendered: see `Draft`. entry: its place among
    the entries of the record, where these count as records.
    """

    trajectory: Trajectory
    is_call: bool = False
    names_task: bool = False
    is_fork: bool = False
    is_part: bool = False
    reply_id: str | None = None
    is_cut: bool = False
    previous_id: str | None = None
    is_rendered: bool = False
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record holds: trajectories, and what is wrong with those that could not be read.

    without_content: calls of a model whose answer is not in the log. first_without: the entry of the first of
    them. places: number and line of each entry, where these count as records.
    """

    format: str
    found: list[Found]
    problems: list[str]
    is_plain: bool = False  # all text of the record's `messages` is in its trajectory
    fused_by: tuple[str, int] | None = None  # see `Draft`
    without_content: int = 0
    first_without: int | None = None
    places: tuple[tuple[int, int | None], ...] = ()


def read_record(record: Record, label: str, *, forced: Format | None = None, keys: Keys = NO_KEYS) -> Reading:
    """Read a record by the format `forced`, or by the first that recognises it.

    `label` names the record's source.

    Raises:
        TrajectoryError: no format recognises the record, it is malformed, or it holds no turn of the agent.
    """
    if forced is None and record.format is None:
        record = recognise_record(record, None)
    format_ = forced or record.format
    if format_ is None:
        no_list = "" if _may_hold_messages(record.value) else NO_LIST
        raise TrajectoryError(f"{_describe(record.value)} is of no known format ({WHERE_LISTED}){no_list}")
    if record.whole_file and keys.task is not None:
        record = replace(record, task_key=keys.task)
    drafts = _drafts(format_, record)
    found: list[Found] = []
    problems: list[str] = []
    places = record.places if format_.counts_entries else ()
    entries = {id(entry): at for at, entry in enumerate(record.value)} if places else {}
    unanswered = [draft for draft in drafts if draft.is_unanswered or not has_content(draft)]
    problems += [problem for draft in drafts if not has_content(draft) for problem in draft.problems]
    drafts = list(filter(has_content, drafts))
    for place, draft in enumerate(drafts):
        problems.extend(draft.problems)
        try:
            trajectory = finish(draft, record, label, keys, f"/{place}" if place else "")
        except TrajectoryError as error:
            problems.append(str(error))
        else:
            found.append(_found(draft, trajectory, keys, _entry_of(draft, entries)))
    if not found and not unanswered and (problems or not format_.may_be_empty):
        raise TrajectoryError(problems[0] if problems else NO_AGENT)
    is_plain = record.plain is not None and not any(draft.is_repaired for draft in drafts)
    fused_by = next((draft.fused_by for draft in drafts if draft.fused_by), None)
    first_without = _entry_of(unanswered[0], entries) if unanswered else None
    return Reading(format_.name, found, problems, is_plain, fused_by, len(unanswered), first_without, places)


def _drafts(format_: Format, record: Record) -> list[Draft]:
    """What a format reads of a record; raises TrajectoryError where the record is malformed."""
    try:
        return format_.read(record)
    except TrajectoryError:
        raise  # also a ValueError, but its message is complete already
    except MALFORMED as error:
        raise TrajectoryError(
            f"not a well-formed record of its format ({type(error).__name__}: {error})"
        ) from None


def _found(draft: Draft, trajectory: Trajectory, keys: Keys, entry: int | None) -> Found:
    names_task = keys.task is not None or (bool(draft.task) and not draft.is_session)
    return Found(
        trajectory,
        is_call=draft.is_call,
        names_task=names_task,
        is_fork=draft.is_fork,
        is_part=draft.is_part,
        reply_id=draft.reply_id,
        is_cut=draft.is_cut,
        previous_id=draft.previous_id,
        is_rendered=draft.is_rendered,
        entry=entry,
    )


def _entry_of(draft: Draft, entries: dict[int, int]) -> int | None:
    """The place of the entry that a draft was made of, by the `entries`' ids; None where it names none."""
    return entries.get(id(draft.entries[-1])) if draft.entries else None


def _may_hold_messages(value: Any) -> bool:
    """Whether a value is no object of plain values alone, as a row of a table with a message in each is."""
    if not isinstance(value, dict):
        return True
    return any(isinstance(from_json_text(item), list | dict) for item in value.values())


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(map(str, list(value)[:6]))
        return f"an object with the keys {keys}" if keys else "an empty object"
    return f"a value of type {type(value).__name__}"
