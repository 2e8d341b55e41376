"""Codex's sessions: `rollout-*.jsonl` of every layout, its first JSON files, and `codex exec --json`.

The context of a session is a list of Responses items. A trajectory ends where the context is replaced: it was
compacted, or the user took turns back. The next one begins with what was left of the context. The agent's
turns in that part are in the trajectory before as well, so they have weight 0.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.parts import texts_of
from lar.trajectories.dialects.responses import is_item, turns_of_items
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import readable_items, readable_messages
from lar.trajectories.formats.coding_agents.codex_events import (
    USER_COMMAND,
    Events,
    Item,
    printed_items,
)
from lar.trajectories.formats.runs import has_agent
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, first_text, has, identifier, text_or_none
from lar.trajectories.schema import Tool

_WRAPPED = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")
# User messages that Codex writes: they begin no turn of the user.
_OWN = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md",
    "<turn_aborted>",
    "<skill>",
    "<INSTRUCTIONS>",
    USER_COMMAND,
)


@dataclass(slots=True)
class _Session:
    """A session while it is read: what its context held before, and what came since."""

    meta: dict[str, Any] = field(default_factory=dict)
    is_fork: bool = False
    model: str | None = None
    tools: list[Any] = field(default_factory=list)
    kept: list[Item] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, items: Iterable[Item]) -> None:
        """Add items to the context; one that cannot be read is noted and left out."""
        found, problems = readable_items(items)
        self.items += found
        self.problems += problems

    def cut(self, kept: list[Item]) -> None:
        """End the trajectory so far; the context goes on with `kept`."""
        raw = [
            turn | {"weight": 0} if turn["role"] == "assistant" else turn
            for turn in turns_of_items(self.kept)
        ]
        new = turns_of_items(self.items)
        if has_agent(new):
            self.drafts.append(self._draft(self._system(raw + new) + raw + new))
        self.kept, self.items = kept, []

    def take_back(self, turns: int) -> None:
        """End the trajectory so far; the context goes on without the user's last `turns` turns."""
        context = self.kept + self.items
        begins = [place for place, item in enumerate(context) if _is_prompt(item)]
        place = begins[-turns] if 0 < turns <= len(begins) else 0
        if place >= len(self.kept) and not has_agent(turns_of_items(context[place:])):
            self.items = self.items[: place - len(self.kept)]  # nobody had answered
        else:
            self.cut(context[:place])

    def _system(self, raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The session's instructions, where no message repeats them."""
        base = self.meta.get("base_instructions") or self.meta.get("instructions")
        text = text_or_none(base.get("text") if isinstance(base, dict) else base)
        if text is None or any(text in said for turn in raw for said in texts_of(turn.get("content"))):
            return []
        return [{"role": "system", "content": text}]

    def _draft(self, raw: list[dict[str, Any]]) -> Draft:
        name = identifier(self.meta.get("id"))
        count = len(self.drafts)
        messages, problems = readable_messages(raw)
        problems = [*self.problems, *problems]
        self.problems.clear()
        return Draft(
            messages,
            id=f"{name}:{count + 1}" if name and count else name,
            task=_origin(self.meta) or name,
            is_session=True,
            is_fork=self.is_fork,
            model=self.model,
            tools=self._tools(),
            problems=problems,
        )

    def _tools(self) -> list[Tool] | None:
        return parse_tools(self.tools or self.meta.get("dynamic_tools") or self.meta.get("tools"))


def _read(record: Record) -> list[Draft]:
    entries = [pair for entry in as_list(record.value) for pair in _unwrapped(entry)]
    events = Events(item for kind, item in entries if kind == "response_item")
    sessions = [_Session()]
    for kind, payload in entries:
        if kind == "session_meta" and _is_other(sessions[-1], payload):
            sessions[-1].cut([])
            sessions.append(_Session())
        _add(sessions[-1], kind, payload, events)
    sessions[-1].cut([])
    drafts = [draft for session in sessions for draft in session.drafts]
    if not drafts:
        raise TrajectoryError("a Codex log without a turn of the agent")
    return drafts


def _unwrapped(entry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the payload of an entry of any layout."""
    if not isinstance(entry, dict):
        return
    kind = entry.get("type")
    payload = entry.get("payload", entry.get("item"))
    if kind in _WRAPPED and isinstance(payload, dict):
        yield kind, payload
    elif kind == "item.completed":
        yield from (("response_item", item) for item in printed_items(payload))
    elif kind == "thread.started":
        yield "session_meta", {"id": entry.get("thread_id")}
    elif has(entry, "session", "items"):
        yield "session_meta", entry["session"]
        yield from (("response_item", item) for item in entry["items"] if isinstance(item, dict))
    elif (event := _event(entry)) is not None:
        yield "event_msg", event
    elif is_item(entry):
        yield "response_item", entry
    elif kind is None and has(entry, "id", "timestamp"):
        yield "session_meta", entry


def _event(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The event in an entry of `codex exec --json` before thread.started, or of the screen's own log."""
    inner = entry.get("payload") if entry.get("kind") == "codex_event" else entry
    event = dig(inner, "msg")
    return event if isinstance(event, dict) else None


def _is_other(session: _Session, meta: dict[str, Any]) -> bool:
    """Whether a session's description begins another one; a forked session has that of its origin as well."""
    begun = any(item.get("role") != "user" for item in session.items) or bool(session.drafts)
    return begun and meta.get("id") != session.meta.get("id")


def _add(session: _Session, kind: str, payload: dict[str, Any], events: Events) -> None:
    if kind == "session_meta":
        follows = bool(session.meta) and payload.get("id") != session.meta.get("id")  # that of its origin
        session.is_fork = session.is_fork or follows or bool(text_or_none(payload.get("forked_from_id")))
        session.meta = session.meta or payload
        session.model = session.model or text_or_none(payload.get("model"))
    elif kind == "turn_context":
        session.model = session.model or text_or_none(payload.get("model"))
    elif kind == "compacted":
        session.cut(_compacted(payload))
    elif kind == "response_item":
        if payload.get("type") == "additional_tools" and isinstance(payload.get("tools"), list):
            session.tools += payload["tools"]
        session.add([payload])
    elif payload.get("type") == "session_configured":
        session.meta = session.meta or {"id": payload.get("session_id")}
        session.model = session.model or text_or_none(payload.get("model"))
    elif payload.get("type") == "thread_rolled_back" and isinstance(payload.get("num_turns"), int):
        session.take_back(payload["num_turns"])
    else:
        session.add(events.items_of(payload))


def _compacted(payload: dict[str, Any]) -> list[Item]:
    """What a compaction leaves: the items that replace the history, else its summary."""
    history = payload.get("replacement_history")
    items = [item for item in history if is_item(item)] if isinstance(history, list) else []
    summary = text_or_none(payload.get("message"))
    if items or summary is None:
        return items
    return [{"type": "message", "role": "user", "content": summary}]


def _origin(meta: dict[str, Any]) -> str | None:
    """The session that a subagent or a fork belongs to."""
    parent = dig(meta, "source", "subagent", "thread_spawn", "parent_thread_id")
    return first_text((parent, meta.get("parent_thread_id"), meta.get("forked_from_id")))


def _is_prompt(item: Item) -> bool:
    first = next(iter(texts_of(item.get("content"))), "")
    return item.get("role") == "user" and not first.lstrip().startswith(_OWN)


def _recognises(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if kind in _WRAPPED:
        return isinstance(value.get("payload", value.get("item")), dict)
    if kind == "thread.started" or value.get("record_type") == "state":
        return "thread_id" in value or kind is None
    if has(value, "session", "items"):
        return isinstance(value["items"], list) and isinstance(value["session"], dict)
    event = _event(value)
    if event is not None:
        return isinstance(event.get("type"), str)
    return kind is None and has(value, "id", "timestamp", "instructions") and "messages" not in value


FORMAT = Format("codex", "Codex sessions (rollout-*.jsonl)", _recognises, _read, whole_file=True)
