"""Sessions of OpenCode: exported ones, the server's list of messages, flat messages and event streams.

An exported session is {info, messages: [{info, parts}]}; OpenCode's storage folder is read as such sessions
(`inputs/opencode_storage.py`). A message of the agent holds the parts of one or more model calls, cut
at `step-start`; a tool's part holds the call and its result. Notes for the program (snapshots, patches,
steps) are left out.
"""

from functools import partial
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.coding_agents.branches import sessions
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_of, first_text, has, identifier, text_or_none

_Raw = dict[str, Any]

_TOOLS = ("tool", "tool-invocation")
# A file of these types is given to the model as text parts beside it.
_AS_TEXT = ("text/plain", "application/x-directory")


def _raw_messages(info: _Raw, parts: list[_Raw]) -> list[_Raw]:
    """A message and its parts as raw messages: one, or one for each model call of the agent's."""
    if info.get("role") != "assistant":
        content = [raw for part in parts for raw in _user_part(part)]
        return [{"role": info.get("role"), "content": content}] if content else []
    contents = ([raw for part in step for raw in _said(part)] + _results(step) for step in _steps(parts))
    return [{"role": "assistant", "content": content} for content in contents if content]


def _steps(parts: list[_Raw]) -> list[list[_Raw]]:
    """Cut a message into model calls: at the marks, or, without any, where text follows a tool's result."""
    marked = any(part.get("type") == "step-start" for part in parts)
    steps: list[list[_Raw]] = [[]]
    for part in parts:
        kind = part.get("type")
        follows = kind in ("text", "reasoning") and steps[-1] and steps[-1][-1].get("type") in _TOOLS
        if kind == "step-start" or (follows and not marked):
            steps.append([])
        steps[-1].append(part)
    return steps


def _user_part(part: _Raw) -> list[_Raw]:
    kind = part.get("type")
    if kind == "text":
        return [] if part.get("ignored") else [{"type": "text", "text": part["text"]}]
    if kind == "subtask":
        return [{"type": "text", "text": part["prompt"]}]
    return _media(part)


def _media(part: _Raw) -> list[_Raw]:
    mime = part.get("mime")
    if part.get("type") != "file" or mime in _AS_TEXT:
        return []
    return [{"type": "image" if str(mime).startswith("image/") else "file"}]


def _said(part: _Raw) -> list[_Raw]:
    """What the agent wrote in a part."""
    kind = part.get("type")
    if kind == "text":
        return [{"type": "text", "text": part["text"]}]
    if kind == "reasoning":
        return [{"type": "thinking", "thinking": part["text"]}]
    if kind == "tool":
        state = part.get("state") or {}
        arguments = state.get("input") or state.get("raw") or {}
        return [{"type": "tool_use", "id": part.get("callID"), "name": part["tool"], "input": arguments}]
    if kind == "tool-invocation":  # before version 0.6
        call = part["toolInvocation"]
        return [
            {"type": "tool_use", "id": call["toolCallId"], "name": call["toolName"], "input": call["args"]}
        ]
    return []


def _results(parts: list[_Raw]) -> list[_Raw]:
    results = []
    for part in parts:
        if part.get("type") == "tool":
            state = part.get("state") or {}
            name, call_id = part["tool"], part.get("callID")
            content = first_of(state, "output", "error")
            media = [raw for file in state.get("attachments") or () for raw in _media(file)]
            content = [{"type": "text", "text": content}, *media] if media else content
        elif part.get("type") == "tool-invocation":
            call = part["toolInvocation"]
            name, call_id, content = call["toolName"], call["toolCallId"], call.get("result")
        else:
            continue
        if content is not None:
            results.append({"type": "tool_result", "tool_use_id": call_id, "name": name, "content": content})
    return results


def _draft(name: str | None, messages: list[tuple[_Raw, list[_Raw]]]) -> Draft:
    infos = [info for info, _ in messages]
    raw = [message for info, parts in messages for message in _raw_messages(info, parts)]
    system = next((text for info in infos if (text := info.get("system"))), None)
    if system:
        raw.insert(0, {"role": "system", "content": system if isinstance(system, str) else "\n".join(system)})
    model = first_text(map(_model, infos))
    asked = any(message["role"] == "user" for message in raw)
    # A stream of events, and the session of a subagent in older versions, have no request.
    return Draft(normalize_messages(raw), id=name, model=model, task=None if asked else f"opencode/{name}")


def _model(info: _Raw) -> str | None:
    return text_or_none(info.get("modelID") or dig(info, "model", "modelID") or dig(info, "model", "id"))


def _info_of(message: _Raw) -> _Raw:
    """The fields of a message; those of the agent's stood in its metadata before version 0.6."""
    info = message.get("info", message)
    older = (info.get("metadata") or {}).get("assistant") or {}
    return {**older, **info}


def _read_session(record: Record) -> list[Draft]:
    value = record.value
    messages = [(_info_of(message), message["parts"]) for message in value["messages"]]
    return [_draft(identifier(value["info"].get("id")), messages)]


def _session_of(entry: _Raw) -> Any:
    return entry.get("sessionID") or (entry.get("info") or {}).get("sessionID")


def _read_entries(record: Record) -> list[Draft]:
    known = [{"session": _session_of(entry), "entry": entry} for entry in record.value]
    attempts = Attempts("session")
    return attempts.reported(
        attempts.read(name, [item["entry"] for item in entries], partial(_session_draft, name or None))
        for name, entries in sessions(known, "session").items()
    )


def _session_draft(name: str | None, entries: list[_Raw]) -> Draft | None:
    """The trajectory of a session's entries; None where no entry is a message or a part of one."""
    flat = [entry for entry in entries if has(entry, "role", "content")]
    if flat:
        return Draft(normalize_messages(flat), id=name)
    if any(has(entry, "part") for entry in entries):
        return _draft(name, _of_stream(entries))
    whole = [entry for entry in entries if isinstance(entry.get("parts"), list)]
    return _draft(name, [(_info_of(entry), entry["parts"]) for entry in whole]) if whole else None


def _of_stream(entries: list[_Raw]) -> list[tuple[_Raw, list[_Raw]]]:
    """The agent's messages out of the events of `opencode run --format json`; the request is not there."""
    parts = [entry["part"] for entry in entries if isinstance(entry.get("part"), dict)]
    return [({"role": "assistant"}, of_message) for of_message in sessions(parts, "messageID").values()]


def _is_entry(value: Any) -> bool:
    if has(value, "info", "parts"):
        return has(value["info"], "role")
    return has(value, "sessionID") and (
        has(value, "role", "content") or has(value, "role", "parts") or has(value.get("part"), "type")
    )


SESSION = Format(
    "opencode",
    "OpenCode session, exported or in its storage folder",
    lambda value: (
        has(value, "info", "messages")
        and isinstance(value["messages"], list)
        and any(has(message, "info", "parts") for message in value["messages"][:1])
    ),
    _read_session,
)
ENTRIES = Format(
    "opencode_lines",
    "OpenCode messages or events, one a line",
    _is_entry,
    _read_entries,
    whole_file=True,
)
