"""The parts of a message as OpenTelemetry, Gemini and Bedrock have them -> forms of OpenAI and Anthropic.

Those are read by `lar.trajectories.dialects.parts`; parts that have them already pass unchanged.
"""

from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.parts import text_read
from lar.trajectories.raw import dig, first_of

_RESULTS = ("tool_call_response", "tool_call_result", "function_response")
_KNOWN = (
    "text",
    "input_text",
    "output_text",
    "tool_use",
    "tool_call",
    "tool-call",
    "tool_result",
    "tool-result",
    "thinking",
    "reasoning",
    "image_url",
)
_OPENINFERENCE = "message_content"
_RESULT_KEYS = frozenset(("result", "output"))
_MEDIA = ("image", "audio", "video", "document", "file")


def is_part(item: Any) -> bool:
    """Whether `item` is a part of a message, of any form."""
    if not isinstance(item, dict) or "role" in item or "message" in item:
        return False
    return canonical(item) is not item or item.get("type") in _KNOWN


def are_parts(items: list[Any]) -> bool:
    """Whether `items` are the parts of one message; one of an unknown kind may be among them."""
    return any(map(is_part, items)) and all(is_part(item) or _is_kind(item) for item in items)


def _is_kind(item: Any) -> bool:
    is_typed = isinstance(item, dict) and isinstance(item.get("type"), str)
    return is_typed and "role" not in item and "message" not in item


def is_tool_definition(value: Any) -> bool:
    """Whether `value` is a tool's schema (LangChain's tracers write schemas as messages of the role tool)."""
    function = dig(value, "function")
    return isinstance(function, dict) and "parameters" in function and "arguments" not in function


def is_call(part: Any) -> bool:
    """Whether a part is a call as OpenAI's chat format has it beside the content."""
    function = dig(part, "function")
    return isinstance(function, dict) and "name" in function and "arguments" in function


def canonical(part: Any) -> Any:
    """Return a part in a form that `lar.trajectories.dialects.parts` reads."""
    if not isinstance(part, dict):
        return part
    if any(key.startswith(_OPENINFERENCE) for key in part):
        inner = part.get(_OPENINFERENCE, part)
        return canonical({key.removeprefix(f"{_OPENINFERENCE}."): value for key, value in inner.items()})
    kind = part.get("type")
    if not isinstance(kind, str):
        return _untyped(part)
    if is_call(part):
        return {"type": "tool_use", "id": _id(part), **part["function"]}
    if kind in _RESULTS:
        return _result(part)
    if kind in ("tool_call", "tool_use") and isinstance(part.get("id"), list):
        return part | {"id": _id(part)}
    if text_read(part) is not None:
        return part
    if kind in ("blob", "uri", "binary") or kind.removesuffix("-url") in _MEDIA:
        return {"type": _media(part, kind)}
    return part


def _untyped(part: dict[str, Any]) -> Any:
    """Read a part of Gemini or Bedrock, which a key names instead of a type."""
    if isinstance(part.get("text"), str):
        kind = "thinking" if part.get("thought") is True else "text"
        return {"type": kind, kind: part["text"]}
    for key in ("functionCall", "function_call", "toolUse"):
        if isinstance(part.get(key), dict):
            return part[key] | {"type": "tool_use", "id": _id(part[key])}
    for key in ("functionResponse", "function_response", "toolResult"):
        if isinstance(part.get(key), dict):
            return _result(part[key])
    if isinstance(part.get("toolName"), str) and "toolCallId" in part and _RESULT_KEYS.isdisjoint(part):
        return {"type": "tool_use"} | part  # Vercel's SDK
    if isinstance(thought := part.get("reasoningContent"), dict):
        return {"type": "thinking", "thinking": thought.get("reasoningText") or ""}
    for key in ("inlineData", "inline_data", "fileData", "file_data"):
        if isinstance(part.get(key), dict):
            return {"type": _media(part[key], "file")}
    media = next((key for key in _MEDIA if key in part), None)
    return part if media is None else {"type": media}


def _result(part: dict[str, Any]) -> dict[str, Any]:
    content = _result_text(first_of(part, "response", "result", "output", "content", default=""))
    return {"type": "tool_result", "tool_use_id": _id(part), "name": part.get("name"), "content": content}


def _id(part: dict[str, Any]) -> str | None:
    keys = ("id", "toolUseId", "call_id", "tool_call_id")
    value = next((part[key] for key in keys if part.get(key)), None)
    if isinstance(value, list):  # Microsoft's agent framework: [run, call]
        value = value[-1]
    return value if isinstance(value, str) else None


def _result_text(content: Any) -> str:
    """Return a tool's result as text: texts in parts are joined, other values are written as JSON."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if parts and len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return "".join(map(str, texts))
    return to_json(content)


def _media(part: dict[str, Any], kind: str) -> str:
    """Name a medium by the part's modality, type or MIME type."""
    mime = part.get("mime_type") or part.get("mimeType") or part.get("media_type") or ""
    names = (part.get("modality"), kind.removesuffix("-url"), str(mime).split("/")[0])
    return next((str(name) for name in names if name in _MEDIA and name != "file"), "file")
