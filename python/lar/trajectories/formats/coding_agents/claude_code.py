"""Claude Code's sessions: `projects/*/*.jsonl`, subagents' `agent-*.jsonl`, and its `stream-json` output.

A session is a tree: each entry names its parent. A branch begins where the user went back and asked
something else; a new tree begins where the context was compacted, and with each subagent (a side chain). Each
path from a root to a leaf is a trajectory. The turns that it shares with an earlier one have weight 0 in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import readable_messages
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, first_text, has, text_or_none

_SPEAKERS = ("user", "assistant")
_OTHERS = ("system", "progress", "attachment", "queue-operation", "mode", "permission-mode")
_SYNTHETIC = "<synthetic>"  # the model of messages that Claude Code writes itself, as on an error
_CAVEAT = ("Caveat: The messages below", "<local-command-caveat>")
_CLEAR = "<command-name>/clear</command-name>"
_COMMAND = ("<command-name>", "<command-message>")


@dataclass(slots=True, eq=False)
class _Node:
    """A message of the user, or a turn of the agent with the results of its calls."""

    parent: "_Node | None"
    root: int  # the number of the tree's first node in the log
    chain: tuple[Any, ...]
    entry: dict[str, Any]  # its first
    is_agent: bool
    parts: list[Any] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    after: "list[_Node]" = field(default_factory=list)
    is_live: bool = False  # it is a turn of the agent, or one follows
    is_read: bool = False

    def line(self) -> "Iterator[_Node]":
        """Yield the node and all above it, up to the root."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def raw(self) -> list[dict[str, Any]]:
        if not self.is_agent:
            return [{"role": "user", "content": self.parts}]
        turn = {"role": "assistant", "content": self.parts} | ({"weight": 0} if self.is_read else {})
        return [turn, *({"role": "user", "content": result} for result in self.results)]


def _read(record: Record) -> list[Draft]:
    entries = [entry for entry in _entries(record.value) if isinstance(entry, dict)]
    nodes = _Tree(entries).nodes
    drafts = [_draft(path) for path in _paths(nodes)]
    if not drafts:
        raise TrajectoryError("a Claude Code log without a turn of the agent")
    return _numbered(drafts)


def _entries(value: Any) -> list[Any]:
    return [entry for one in as_list(value) for entry in (one["loglines"] if has(one, "loglines") else [one])]


class _Tree:
    """The nodes of a log, in its order."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.nodes: list[_Node] = []
        names = ((_name(entry.get("uuid")), _parent(entry)) for entry in entries)
        self._parents = {name: parent for name, parent in names if name is not None}
        self._linked = {_chain(entry) for entry in entries if _parent(entry) in self._parents}
        self._by_name: dict[str, _Node] = {}
        self._by_call: dict[str, _Node] = {}
        self._last: dict[tuple[Any, ...], _Node] = {}
        for entry in entries:
            if _name(entry.get("uuid")) not in self._by_name:  # a resumed session can hold an entry twice
                self._add(entry)

    def _add(self, entry: dict[str, Any]) -> None:
        parts = _content(entry)
        if parts is None or (entry.get("isMeta") and not self._is_needed(entry, parts)):
            return
        node = self._node(entry, parts)
        if node.is_agent and entry["type"] != "assistant":
            node.results.append(parts)
        else:  # a log of a stream can hold what a message has so far, again and again
            node.parts += [part for part in parts if len(parts) == 1 or part not in node.parts]
        for part in parts if node.is_agent else ():
            if call := _call_id(part):
                self._by_call[call] = node
        self._last[node.chain] = node
        if name := _name(entry.get("uuid")):
            self._by_name[name] = node

    def _node(self, entry: dict[str, Any], parts: list[Any]) -> _Node:
        """The node that an entry belongs to: that of its message or of its call, or a new one."""
        parent = self._parent_of(entry)
        is_agent = entry["type"] == "assistant"
        if is_agent and parent is not None and parent.is_agent and _same_message(entry, parent.entry):
            return parent
        answered = next(
            (self._by_call[name] for name in map(_result_id, parts) if name in self._by_call), None
        )
        if not is_agent and answered is not None:
            return answered
        root = len(self.nodes) if parent is None else parent.root
        node = _Node(parent, root, _chain(entry), entry, is_agent)
        self.nodes.append(node)
        if parent is not None:
            parent.after.append(node)
        for above in takewhile(lambda above: not above.is_live, node.line() if is_agent else ()):
            above.is_live = True
        return node

    def _parent_of(self, entry: dict[str, Any]) -> _Node | None:
        name = _parent(entry)
        seen: set[str | None] = set()
        while name in self._parents and name not in self._by_name and name not in seen:
            seen.add(name)
            name = self._parents[name]
        parts = _content(entry) or []
        if entry.get("isCompactSummary") or _CLEAR in _text(parts):
            return None  # the context is replaced
        begins = entry["type"] == "user" and not any(map(_result_id, parts))
        if name in self._by_name:
            above = self._by_name[name]
            if above.chain[1] == _chain(entry)[1]:
                return above
            name = None  # a side chain that names the call it answers
        if name is None and begins and _chain(entry) in self._linked:
            return None
        return self._last.get(_chain(entry))  # the parent is in no entry: the log's order counts

    def _is_needed(self, entry: dict[str, Any], parts: list[Any]) -> bool:
        """Whether a hidden entry is what the agent was asked to do: the text of a command or of a skill."""
        text = _text(parts)
        if text.startswith(_CAVEAT):
            return False
        above = self._parent_of(entry)
        asked = above is not None and not above.is_agent and _text(above.parts).startswith(_COMMAND)
        return entry.get("sourceToolUseID") is not None or asked


def _paths(nodes: list[_Node]) -> Iterator[list[_Node]]:
    """Yield the path from a root to each turn of the agent that none follows.

    What the user wrote after that is part of it, if it is one line. Other messages without an answer are not.
    """
    ends = [node for node in nodes if node.is_agent and not any(after.is_live for after in node.after)]
    for end in sorted(ends, key=lambda node: node.root):
        path = [*end.line()][::-1]
        while len(path[-1].after) == 1:
            path += path[-1].after
        yield path


def _draft(path: list[_Node]) -> Draft:
    messages, problems = readable_messages([raw for node in path for raw in node.raw()])
    for node in path:
        node.is_read = True
    session, agent = path[0].chain[:2]
    origin = text_or_none(dig(path[0].entry, "forkedFrom", "sessionId"))
    models = (node.entry["message"].get("model") for node in path if node.is_agent)
    return Draft(
        messages,
        id=f"{session}/{agent}" if session and agent else text_or_none(session),
        task=origin or text_or_none(session),
        is_session=True,
        is_fork=origin is not None,
        model=first_text(models),
        problems=problems,
    )


def _numbered(drafts: list[Draft]) -> list[Draft]:
    """Give each draft of a session its own id: the second branch of `x` is `x:2`."""
    times: dict[str, int] = {}
    for draft in drafts:
        if draft.id is not None:
            times[draft.id] = times.get(draft.id, 0) + 1
            draft.id = draft.id if times[draft.id] == 1 else f"{draft.id}:{times[draft.id]}"
    return drafts


def _content(entry: dict[str, Any]) -> list[Any] | None:
    """The parts of an entry's message; None where it has none that the agent wrote or read."""
    attached, message = entry.get("attachment"), entry.get("message")
    if isinstance(attached, dict) and attached.get("type") == "queued_command":
        content = attached.get("prompt")  # what the user wrote while the agent worked
    elif entry.get("type") in _SPEAKERS and isinstance(message, dict) and message.get("model") != _SYNTHETIC:
        content = message.get("content")
    else:
        return None
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts if isinstance(parts, list) and parts else None


def _chain(entry: dict[str, Any]) -> tuple[Any, ...]:
    session = entry.get("sessionId") or entry.get("session_id")
    agent = entry.get("agentId") or entry.get("parent_tool_use_id")
    return session, agent or ("sidechain" if entry.get("isSidechain") else None)


def _parent(entry: dict[str, Any]) -> str | None:
    return None if entry.get("subtype") == "compact_boundary" else _name(entry.get("parentUuid"))


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _same_message(one: dict[str, Any], other: dict[str, Any]) -> bool:
    name = _name(one["message"].get("id"))
    return name is not None and name == other["message"].get("id")


def _call_id(part: Any) -> str | None:
    return _name(part.get("id")) if has(part, "id", "name") else None


def _result_id(part: Any) -> str | None:
    return _name(part.get("tool_use_id")) if has(part, "tool_use_id") else None


def _text(parts: list[Any]) -> str:
    first = parts[0] if parts else None
    text = first.get("text") if isinstance(first, dict) else first
    return text if isinstance(text, str) else ""


def _recognises(value: Any) -> bool:
    if has(value, "loglines") and isinstance(value["loglines"], list):
        return any(has(entry, "type", "message") for entry in value["loglines"][:20])
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if kind == "summary" and "leafUuid" in value:
        return True
    if kind == "file-history-snapshot" and "snapshot" in value:
        return True
    if "sessionId" not in value and "session_id" not in value and "parentUuid" not in value:
        return False
    return isinstance(value.get("message"), dict) if kind in _SPEAKERS else kind in _OTHERS


FORMAT = Format("claude_code", "Claude Code sessions", _recognises, _read, whole_file=True)
