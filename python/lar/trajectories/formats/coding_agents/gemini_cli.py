"""Sessions of the Gemini CLI (`chats/session-*.json` and .jsonl) and of Qwen Code.

A session of the Gemini CLI is one object with `messages`, or JSON lines: the session's fields, messages (one
with the id of an earlier one replaces it), `$set` and `$rewindTo`. What a rewind removed is a branch of its
own. Qwen Code writes an entry a line, in a tree by `parentUuid`. Notices of the program (`info`, `error`) are
left out.
"""

from functools import partial
from itertools import chain, groupby
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.coding_agents.branches import branch_name, branches, sessions
from lar.trajectories.formats.interfaces.gemini import raw_messages, raw_parts, request_task
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_text, has, text_or_none

_AGENT = ("gemini", "model", "assistant")
_NOTICES = ("info", "error", "warning")

_Raw = dict[str, Any]


def _draft(raw: list[_Raw], name: str | None, model: str | None) -> Draft:
    messages = normalize_messages(raw)
    return Draft(messages, id=name, task=request_task(messages), model=model)


def _model_of(entries: list[_Raw]) -> str | None:
    return first_text(entry.get("model") for entry in entries)


def _raw_message(message: _Raw) -> list[_Raw]:
    """One message of a session, with the results of its tools."""
    kind = message["type"]
    parts = raw_parts(message.get("content") or message.get("parts"))
    if kind == "user":
        return [{"role": "user", "content": parts}]
    if kind in _NOTICES:
        return []
    if kind not in _AGENT:
        raise TrajectoryError(f"a message of the unknown type {kind!r}")
    calls = message.get("toolCalls") or []
    # Newer sessions have thoughts and calls among the content; older ones beside it.
    if not any(part["type"] in ("thinking", "tool_use") for part in parts):
        thoughts = [{"type": "thinking", "thinking": text} for text in _thoughts(message)]
        uses = [{"type": "tool_use", **_call(call)} for call in calls]
        parts = [*thoughts, *parts, *uses]
    for call in calls:
        parts += _results(call)
    return [{"role": "assistant", "content": parts}] if parts else []


def _thoughts(message: _Raw) -> list[str]:
    texts = []
    for thought in message.get("thoughts") or []:
        thought = {"description": thought} if isinstance(thought, str) else thought
        subject = thought.get("subject")
        texts.append(f"**{subject}**\n{thought['description']}" if subject else thought["description"])
    return ["\n\n".join(texts)] if texts else []


def _call(call: _Raw) -> _Raw:
    return {"id": call.get("id"), "name": call["name"], "input": call.get("args")}


def _results(call: _Raw) -> list[_Raw]:
    """What the tool answered; what was shown to the user where the answer was not written down."""
    result = call.get("result")
    named = {"type": "tool_result", "tool_use_id": call.get("id"), "name": call["name"]}
    if isinstance(result, str) or (isinstance(result, dict) and "functionResponse" not in result):
        return [{**named, "content": result}]
    parts = raw_parts(result)
    if not parts:
        shown = call.get("resultDisplay")
        return [{**named, "content": shown}] if isinstance(shown, str) else []
    answers = [part for part in parts if part["type"] == "tool_result"]
    beside = [part for part in parts if part["type"] != "tool_result"]
    if not answers:
        return [{**named, "content": beside}]
    if beside:  # pictures that the tool read stand beside its answer
        last = answers[-1]
        text = last["content"]
        last["content"] = [{"type": "text", "text": text}, *beside] if isinstance(text, str) else text
    return answers


def _read_session(record: Record) -> list[Draft]:
    value = record.value
    raw = [message for entry in value["messages"] for message in _raw_message(entry)]
    model = _model_of(value["messages"]) or text_or_none(dig(value, "meta", "model"))
    return [_draft(raw, text_or_none(value["sessionId"]), model)]


def _read_lines(record: Record) -> list[Draft]:
    fields: _Raw = {}
    state: dict[str, _Raw] = {}
    removed: list[dict[str, _Raw]] = []
    for entry in record.value:
        if "$rewindTo" in entry:
            removed.append(dict(state))
            names = list(state)
            target = entry["$rewindTo"]
            for name in names[names.index(target) if target in names else 0 :]:
                del state[name]
        elif "$set" in entry:
            fields |= {key: item for key, item in entry["$set"].items() if key != "messages"}
            if isinstance(messages := entry["$set"].get("messages"), list):
                removed.append(state)
                state = {message["id"]: message for message in messages}
        elif "id" in entry:
            state[entry["id"]] = entry
        else:
            fields |= entry
            state |= {message["id"]: message for message in entry.get("messages", ())}
    return _drafts_of_states(text_or_none(fields.get("sessionId")) or "", [state, *reversed(removed)])


def _drafts_of_states(name: str, states: list[dict[str, _Raw]]) -> list[Draft]:
    """A trajectory for the session as it ended, and one for each state with turns that a rewind removed."""
    drafts: list[Draft] = []
    seen: set[str] = set()
    for state in states:
        new = [entry for key, entry in state.items() if key not in seen]
        if not any(entry.get("type") in _AGENT for entry in new):
            continue
        raw = [
            {**message, **({"weight": 0} if key in seen else {})}
            for key, entry in state.items()
            for message in _raw_message(entry)
        ]
        drafts.append(_draft(raw, branch_name(name, len(drafts)), _model_of(new)))
        seen |= set(state)
    return drafts


def _read_qwen(record: Record) -> list[Draft]:
    attempts = Attempts("session")
    found = sessions(record.value, "sessionId").items()
    drafts = [attempts.read(name, entries, partial(_qwen_session, name)) or [] for name, entries in found]
    return attempts.reported(chain.from_iterable(drafts))


def _qwen_session(name: str, entries: list[_Raw]) -> list[Draft]:
    drafts: list[Draft] = []
    for path, shared in branches(entries, "uuid", "parentUuid", _is_qwen_turn):
        raw: list[_Raw] = []
        # A turn may be written in several entries of one name.
        for _, entries_of_one in groupby(filter(_parts_of, path), key=lambda entry: entry.get("uuid")):
            turn = list(entries_of_one)
            context = {"weight": 0} if id(turn[0]) in shared else {}
            raw += [{**message, **context} for message in raw_messages(entry["message"] for entry in turn)]
        if raw:
            drafts.append(_draft(raw, branch_name(name, len(drafts)), _model_of(path)))
    return drafts


def _is_qwen_turn(entry: _Raw) -> bool:
    return entry.get("type") == "assistant"


def _parts_of(entry: _Raw) -> Any:
    return dig(entry, "message", "parts")


SESSION = Format(
    "gemini_cli",
    "Gemini CLI session (chats/session-*.json)",
    lambda value: has(value, "sessionId", "projectHash", "messages"),
    _read_session,
)
LINES = Format(
    "gemini_cli_lines",
    "Gemini CLI session as JSON lines",
    lambda value: has(value, "sessionId", "projectHash") and "messages" not in value,
    _read_lines,
    whole_file=True,
)
QWEN = Format(
    "qwen_code",
    "Qwen Code session",
    lambda value: has(value, "uuid", "sessionId") and has(value.get("message"), "parts"),
    _read_qwen,
    whole_file=True,
)
