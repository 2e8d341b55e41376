"""Sessions of the Kimi CLI: `wire.jsonl`, an event a line, and the older `context.jsonl`, a message a line.

A step of the loop is one call of the model. The system prompt and the tools are in the log.
"""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, text_or_none
from lar.trajectories.formats.base import Format, has
from lar.trajectories.layouts.json_stream import Record

_EVENT = "context.append_loop_event"
_NOTES = ("_checkpoint", "_usage")

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    if has(value, "type"):
        return (value["type"] == _EVENT and "event" in value) or (
            value["type"] == "context.append_message" and "message" in value
        )
    return has(value, "role") and value["role"] in (*_NOTES, "_system_prompt")


def _parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"type": "thinking", "thinking": part["think"]} if has(part, "think") else part for part in content
    ]


def _read(record: Record) -> list[Draft]:
    system, model, tools = None, None, None
    raw: list[_Raw] = []
    for entry in record.value:
        kind = entry.get("type")
        if kind == "config.update":
            system = system or text_or_none(entry.get("systemPrompt"))
            model = model or text_or_none(entry.get("modelAlias"))
        elif kind == "llm.tools_snapshot":
            offered = entry.get("tools")
            tools = tools or (offered if isinstance(offered, list) else None)
        elif kind == "context.apply_compaction":
            raw.append({"role": "user", "content": entry.get("summary")})
        elif kind == "context.append_message":
            raw.append(_message(entry["message"]))
        elif kind == _EVENT:
            _add(raw, entry["event"])
        elif kind is None and entry.get("role") == "_system_prompt":
            system = system or text_or_none(entry.get("content"))
        elif kind is None and has(entry, "role") and entry["role"] not in _NOTES:
            raw.append(_message(entry))
    raw = [message for message in raw if message["content"] or message.get("tool_calls")]
    if system is not None:
        raw.insert(0, {"role": "system", "content": system})
    return [Draft(normalize_messages(raw), model=model, tools=parse_tools(tools))]


def _message(message: _Raw) -> _Raw:
    calls = message.get("tool_calls") or message.get("toolCalls") or []
    call_id = message.get("tool_call_id") or message.get("toolCallId")
    named = {"tool_calls": calls, "tool_call_id": call_id}
    return {"role": message["role"], "content": _parts(message.get("content")), **named}


def _add(raw: list[_Raw], event: _Raw) -> None:
    """Add an event of the loop; a step begins a turn."""
    kind = event.get("type")
    if kind == "step.begin" or (kind in ("content.part", "tool.call") and raw[-1]["role"] == "tool"):
        raw.append({"role": "assistant", "content": [], "tool_calls": []})
    if kind == "content.part":
        raw[-1]["content"] += _parts([event["part"]])
    elif kind == "tool.call":
        raw[-1]["tool_calls"].append(
            {"id": event.get("toolCallId"), "name": event["name"], "arguments": event.get("args")}
        )
    elif kind == "tool.result":
        answer = event.get("result")
        content = answer.get("output", answer) if isinstance(answer, dict) else answer
        raw.append({"role": "tool", "content": _parts(content), "tool_call_id": event.get("toolCallId")})


FORMAT = Format("kimi", "Kimi CLI session (wire.jsonl, context.jsonl)", _recognises, _read, whole_file=True)
