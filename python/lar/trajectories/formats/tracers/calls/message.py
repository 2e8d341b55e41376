"""One message, or a list of them, in any form that tracers store -> raw messages for `normalize_messages`."""

from dataclasses import dataclass, field
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.interactions import has_steps, turns_of_steps
from lar.trajectories.dialects.messages import ROLE_NAMES
from lar.trajectories.dialects.responses import is_item, turns_of_items
from lar.trajectories.formats.tracers.calls import langchain
from lar.trajectories.formats.tracers.calls.parts import (
    are_parts,
    canonical,
    is_call,
    is_part,
    is_tool_definition,
)
from lar.trajectories.raw import dig, from_json_text

# What only a response has beside its text, and what else may stand there without being wanted text.
RESPONSE = frozenset(
    (
        *("model", "usage", "finish_reason", "finishReason", "stop_reason", "stopReason", "object", "index"),
        *("logprobs", "usage_metadata", "usageMetadata", "response_metadata", "token_usage", "llm_output"),
        *("run", "model_version"),
    )
)
ABOUT = RESPONSE | frozenset(
    (
        *(
            "id",
            "name",
            "stop_sequence",
            "created",
            "type",
            "provider",
            "role",
            "timestamp",
            "status",
            "error",
        ),
        *("metadata", "refusal", "service_tier", "system_fingerprint", "annotations", "audio", "tool_calls"),
        *("toolCalls", "additional_kwargs", "function_call"),
    )
)


@dataclass(slots=True)
class Side:
    """The raw messages of a call's input or output, and what stands beside them: tools, the system's text."""

    messages: list[Any] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)
    system: list[Any] = field(default_factory=list)
    is_cut: bool = False  # it is a stream without an end


def read_list(items: list[Any], role: str) -> Side | None:
    """Read messages, items, steps, parts of one message or texts; None where the list is none of these.

    Items are those of OpenAI's Responses, steps those of Google's Interactions.

    `role` is that of messages without one.

    Raises:
        TrajectoryError: the list holds messages, and something of an unknown form.
    """
    while items and all(isinstance(item, list) for item in items):
        items = items[0]  # a batch of prompts: the first
    items = [from_json_text(item) for item in items]
    if has_steps(items):
        return Side(turns_of_steps(items, "assistant" if role == "assistant" else "user"))
    if has_items(items):
        return Side(turns_of_items(items))
    if are_parts(items):
        return Side([{"role": role, "content": [canonical(item) for item in items]}])
    if all(isinstance(item, str) for item in items):
        is_one = role != "assistant" or len(items) == 1
        return Side([{"role": role, "content": item} for item in items]) if is_one else None
    messages = [read_message(item, role) for item in items]
    return None if not any(messages) else _sorted(items, messages, role)


def _sorted(items: list[Any], messages: list[dict[str, Any] | None], role: str) -> Side:
    """Return the `messages` that were read of `items`, and the schemas of tools among these."""
    side = Side()
    for number, (item, message) in enumerate(zip(items, messages, strict=True), start=1):
        if isinstance(item, dict) and is_tool_definition(item.get("content")):
            side.tools.append(item["content"])
        elif message is not None:
            side.messages.append(message)
        elif isinstance(item, str):
            side.messages.append({"role": role, "content": item})
        elif item is not None:
            raise TrajectoryError(f"message {number} has no known form")
    return side


def has_items(value: Any) -> bool:
    """Whether `value` is a list of items of OpenAI's Responses."""
    if not isinstance(value, list):
        return False
    for item in value:
        if not isinstance(item, dict):
            return False
        kind, content = item.get("type"), item.get("content")
        if kind == "message" and "role" in item and isinstance(content, list):
            return True
        if "role" not in item and is_item(item) and (kind != "reasoning" or "summary" in item):
            return True
    return False


def read_message(item: Any, role: str | None) -> dict[str, Any] | None:
    """Return a message as a raw one; `role` is its role where it has none. None where it is no message."""
    if not isinstance(item, dict):
        return None
    if langchain.kind_of(item) is not None:
        return langchain.raw_message(item)
    if isinstance(item.get("message"), dict) and "role" not in item:
        return read_message(item["message"], role)
    item = {key.removeprefix("message."): value for key, value in item.items()}  # Phoenix has a prefix
    given = item.get("role")
    if given == "thinking":  # OpenLLMetry
        return {"role": "assistant", "content": "", "reasoning_content": item.get("content")}
    role = given if isinstance(given, str) and given.lower() in ROLE_NAMES else role
    content = next((item[key] for key in ("parts", "contents") if isinstance(item.get(key), list)), None)
    calls = _calls_beside(item)
    if role is None or not (content is not None or calls or "content" in item):
        return None
    if given is None and content is None and not _is_bare(item, calls):
        return None
    raw = {key: value for key, value in item.items() if key not in ("parts", "contents", "toolCalls")}
    return raw | {"role": role} | _body(item.get("content") if content is None else content, calls, role)


def _is_bare(item: dict[str, Any], calls: Any) -> bool:
    """Whether an object without a role is an answer: a text or parts beside what is about them."""
    others = set(item) - {"content"}
    about = not others or (others <= ABOUT and others & RESPONSE)
    return bool(calls or (about and isinstance(item["content"], str | list)))


def _calls_beside(item: dict[str, Any]) -> Any:
    beside = dig(item, "additional_kwargs", "tool_calls")
    if name := item.get("function_call_name"):  # OpenInference
        beside = [{"name": name, "arguments": item.get("function_call_arguments_json")}]
    return item.get("tool_calls") or item.get("toolCalls") or beside


def _body(content: Any, calls: Any, role: str) -> dict[str, Any]:
    """Return the content and the calls of a message; a content that is a list of calls is the agent's."""
    content = _parts_in_text(content)
    if not isinstance(content, list):
        return {"content": content} | ({"tool_calls": raw_calls(calls)} if calls else {})
    if content and all(map(is_call, content)) and role != "user":
        return {"role": "assistant", "content": "", "tool_calls": content}
    parts = [canonical(part) for part in content]
    typed = all(isinstance(part, str) or (isinstance(part, dict) and "type" in part) for part in parts)
    body: dict[str, Any] = {"content": parts if typed else to_json(content)}
    return body | {"tool_calls": raw_calls(calls)} if calls else body


def _parts_in_text(content: Any) -> Any:
    """Return the parts (or the calls) that OpenLLMetry and others write as JSON text; else the content."""
    if isinstance(content, str) and content.startswith("[{"):
        parts = from_json_text(content)
        if isinstance(parts, list) and all(is_part(part) and "type" in part for part in parts):
            return parts
    return content


def raw_calls(calls: Any) -> list[Any]:
    """Return calls as `dialects/calls.py` reads them, out of OpenInference's wrapping and prefixes."""
    return [_unwrapped(call) for call in from_json_text(calls)]


def _unwrapped(call: Any) -> Any:
    inner = call.get("tool_call", call)
    flat = {key.removeprefix("tool_call."): value for key, value in inner.items()}
    dotted = [key for key in flat if key.startswith("function.")]
    return flat | (
        {"function": {key.removeprefix("function."): flat[key] for key in dotted}} if dotted else {}
    )
