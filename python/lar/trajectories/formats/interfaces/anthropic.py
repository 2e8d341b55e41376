"""Anthropic Messages: requests with their replies, streams put together; and the Converse form of Bedrock."""

from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import object_parts, text_in
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.continued import parts_of
from lar.trajectories.formats.interfaces.exchange import Exchange, exchanges_of, outer_fields, reply_id
from lar.trajectories.formats.interfaces.fields import success_of, system_turn, task_of
from lar.trajectories.formats.interfaces.streams import is_cut
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_text, has, identifier

# Parts of messages that only Anthropic has.
_PARTS = ("tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use")


def _read(record: Record) -> list[Draft]:
    found = [exchange for exchange in exchanges_of(record.value) if _is_anthropic(exchange)]
    fields = outer_fields(record.value, found)
    return [draft_of(exchange, _conversation(exchange), fields) for exchange in found]


def _conversation(exchange: Exchange) -> list[dict[str, Any]]:
    """The raw messages of an exchange. What the request has of the agent's last turn begins the reply."""
    history = [message if isinstance(message, dict) else {} for message in exchange.request["messages"]]
    reply = _message_of(exchange.reply)
    if history and reply and history[-1].get("role") == "assistant":
        begun = history.pop()
        reply = [{**reply[0], "content": [*parts_of(begun), *parts_of(reply[0])]}]
    return history + reply


def draft_of(exchange: Exchange, conversation: list[Any], value: dict[str, Any]) -> Draft:
    """The trajectory of an exchange: `conversation` in raw messages, `value` the fields of the record."""
    request = exchange.request
    raw = [_converted(message) for message in [*system_turn([request.get("system")]), *conversation]]
    tools = request.get("toolConfig")
    name = reply_id(exchange.reply)
    return Draft(
        normalize_messages(raw),
        id=identifier(value.get("id")) or name,
        task=task_of(value),
        success=success_of(value),
        model=_model(exchange, value),
        tools=parse_tools(tools.get("tools") if isinstance(tools, dict) else request.get("tools")),
        is_call=True,
        reply_id=name,
        is_cut=is_cut(exchange.reply),
    )


def _model(exchange: Exchange, value: dict[str, Any]) -> str | None:
    named = (at.get(key) for at in (exchange.request, value) for key in ("model", "modelId"))
    return first_text((dig(exchange.reply, "model"), *named))


def _message_of(reply: Any) -> list[dict[str, Any]]:
    """The raw message of a reply: a message, its parts alone, or a text."""
    if isinstance(reply, dict) and isinstance(reply.get("output"), dict):
        reply = reply["output"].get("message", reply["output"])  # Converse
    if isinstance(reply, dict) and isinstance(reply.get("message"), dict):
        reply = reply["message"]
    if isinstance(reply, dict):
        return [{**reply, "role": "assistant"}] if reply.get("content") else []
    return [{"role": "assistant", "content": reply}] if reply else []


def _converted(message: dict[str, Any]) -> dict[str, Any]:
    """A raw message with Converse's parts in the form of Anthropic."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    return {**message, "content": [_part(part) for part in parts]}


def _part(part: Any) -> Any:
    if not isinstance(part, dict) or "type" in part:
        return part
    if has(part, "toolUse"):
        call = part["toolUse"]
        return {"type": "tool_use", "id": call.get("toolUseId"), **call}
    if has(part, "toolResult"):
        result = part["toolResult"]
        content = [_part(inner) for inner in result.get("content") or ()]
        return {"type": "tool_result", "tool_use_id": result.get("toolUseId"), "content": content}
    if has(part, "reasoningContent"):
        thought = part["reasoningContent"].get("reasoningText")
        return {"type": "thinking", "thinking": text_in(thought)}
    if has(part, "json"):
        return {"type": "text", "text": to_json(part["json"])}
    kind = next(iter(part), "text")
    return part if kind == "text" else {"type": kind}


def _is_anthropic(exchange: Exchange) -> bool:
    """Whether an exchange is one of Anthropic Messages or of Converse."""
    request, reply = exchange.request, exchange.reply
    if not isinstance(request.get("messages"), list):
        return False
    if isinstance(reply, dict):
        converse = isinstance(reply.get("output"), dict) and "message" in reply["output"]
        if converse or reply.get("type") == "message" or "stop_reason" in reply:
            return True
        if "choices" in reply or has(reply, "message", "finish_reason"):  # Cohere's history may have thoughts
            return False
    return "toolConfig" in request or _has_parts(request["messages"]) or _has_schemas(request.get("tools"))


def _has_parts(messages: list[Any]) -> bool:
    parts = (part for message in messages for part in object_parts(message))
    return any(part.get("type") in _PARTS or "toolUse" in part for part in parts)


def _has_schemas(tools: Any) -> bool:
    return isinstance(tools, list) and any(has(tool, "name", "input_schema") for tool in tools)


FORMAT = Format(
    "anthropic",
    "Anthropic Messages, request and reply; Bedrock's Converse",
    lambda value: any(map(_is_anthropic, exchanges_of(value))),
    _read,
)
