"""Content in parts, as the interfaces of OpenAI, Anthropic and others have it -> messages."""

import re
from dataclasses import dataclass, field
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import is_of_program, to_json, tool_call
from lar.trajectories.raw import as_list, dig, first_of
from lar.trajectories.schema import Role, ToolCall

_TEXTS = ("text", "input_text", "output_text", "refusal", "summary_text")
_TEXT_KEYS = ("text", "value", "content", "refusal")
_THOUGHTS = ("thinking", "reasoning", "reasoning_text", "reasoning_content", "thought")
_CALLS = (
    "tool_use",
    "tool_call",
    "toolCall",
    "tool-call",
    "function_call",
    "server_tool_use",
    "mcp_tool_use",
)
_RESULTS = ("tool_result", "tool-result", "tool_response", "function_call_output", "mcp_tool_result")
# The kinds of {type, value} that the Vercel AI SDK puts around a result; a tool may give such an object too.
_OUTPUTS = ("text", "json", "content", "error-text", "error-json")

THOUGHT_IN_TEXT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
# What stands in a message for a part that is not text.
PLACEHOLDERS = {
    "image": "[image]",
    "image_url": "[image]",
    "input_image": "[image]",
    "audio": "[audio]",
    "input_audio": "[audio]",
    "video": "[video]",
    "video_url": "[video]",
    "file": "[file]",
    "input_file": "[file]",
    "document": "[file]",
}


@dataclass(slots=True)
class Piece:
    """What is said in one go between two tool results, or one tool result."""

    role: Role
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    result: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not ("".join(self.texts) or self.calls or "".join(self.thoughts))


def are_parts(values: list[Any]) -> bool:
    """Whether a list is content in parts, and not data: every element is a text or an object with a kind."""
    return all(isinstance(value, str) or (isinstance(value, dict) and _has_kind(value)) for value in values)


def _has_kind(value: dict[str, Any]) -> bool:
    return isinstance(value.get("type"), str) or any(
        key in value for key in ("text", "thinking", "image_url")
    )


def read_parts(role: Role, parts: list[Any]) -> list[Piece]:
    """Cut the parts of one message at its tool results.

    A part that is not text gets a placeholder; in the agent's own text it is left out, because the agent
    cannot write it.

    Raises:
        TrajectoryError: a text part has no text.
    """
    pieces = [Piece(role)]
    for part in parts:
        if isinstance(part, str):
            pieces[-1].texts.append(part)
            continue
        kind = _kind(part)
        if kind in _RESULTS or kind.endswith("_tool_result"):
            pieces += [Piece("tool", result=_result(part)), Piece(role)]
        else:
            _add(pieces[-1], kind, part)
    said = [piece for piece in pieces if piece.result is not None or not piece.is_empty]
    return said or pieces[:1]


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type")
    if isinstance(kind, str):
        return kind
    return next((name for name in ("thinking", "reasoning", "image_url") if name in part), "text")


def _add(piece: Piece, kind: str, part: dict[str, Any]) -> None:
    if kind in _TEXTS:
        piece.texts.append(_text(part))
    elif kind in _THOUGHTS:
        piece.thoughts.append(text_in(part))
    elif kind in _CALLS:
        piece.calls += [] if is_of_program(part) else [tool_call(part)]
    elif kind not in PLACEHOLDERS and isinstance(part.get("text"), str):
        piece.texts.append(part["text"])
    elif piece.role != "assistant":
        text = text_read(part)
        piece.texts.append(PLACEHOLDERS.get(kind, f"[{kind}]") if text is None else text)


def _text(part: dict[str, Any]) -> str:
    for key in _TEXT_KEYS:
        value = part.get(key)
        if isinstance(value, dict):  # OpenAI's assistants: {"value": ..., "annotations": [...]}
            value = value.get("value")
        if isinstance(value, str):
            return value
    if part.get("text", "") is None:
        return ""
    raise TrajectoryError(f"a content part of type 'text' without a text (keys: {', '.join(map(str, part))})")


def text_read(part: dict[str, Any]) -> str | None:
    """The text of a document, a search result or a resource that a model reads as text; None without one.

    Anthropic has documents and search results, Cohere documents, and servers of MCP resources.
    """
    kind = part.get("type")
    if kind == "resource":
        text = _inner(part, "resource").get("text")
    elif kind == "search_result":
        text = _joined(part.get("content"))
    elif kind == "document" and "document" in part:
        data = _inner(part, "document").get("data")
        text = to_json(data) if isinstance(data, dict) else data
    elif kind == "document":
        source = _inner(part, "source")
        text = source.get("data") if source.get("type") == "text" else _joined(source.get("content"))
    else:
        return None
    if not isinstance(text, str):
        return None
    about = (part.get("title"), part.get("context"))
    return "\n".join([*(one for one in about if isinstance(one, str) and one), text])


def object_parts(message: Any) -> list[dict[str, Any]]:
    """The parts of a raw message's content that are objects; none where the content is a text."""
    content = dig(message, "content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def texts_of(content: Any) -> list[str]:
    """The texts in a content: itself, or those of its parts."""
    texts = (part.get("text") if isinstance(part, dict) else part for part in as_list(content))
    return [text for text in texts if isinstance(text, str)]


def _inner(part: dict[str, Any], key: str) -> dict[str, Any]:
    value = part.get(key)
    return value if isinstance(value, dict) else {}


def _joined(content: Any) -> str | None:
    """The texts of a content, with a word for each of its other parts; None where it is no content."""
    if isinstance(content, str) or not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = [one for one in content if isinstance(one, dict)]
    texts = [one.get("text") for one in parts]
    words = [PLACEHOLDERS.get(str(one.get("type")), "") for one in parts]
    return "".join(text if isinstance(text, str) else word for text, word in zip(texts, words, strict=True))


def text_in(value: Any) -> str:
    """The text in a text, a part or a list of parts, be it said or thought; "" where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(text_in, value))
    if not isinstance(value, dict):
        return ""
    keys = ("thinking", "reasoning", "text", "content", "summary", "reasoning_content")
    return next((text for key in keys if (text := text_in(value.get(key)))), "")


def _result(part: dict[str, Any]) -> dict[str, Any]:
    """A raw message of a tool's result."""
    content = first_of(part, "content", "output", "result")
    if isinstance(content, dict):
        content = content["value"] if content.get("type") in _OUTPUTS and "value" in content else content
        content = content if isinstance(content, str | list) else to_json(content)
    ids = (part.get(key) for key in ("tool_use_id", "call_id", "tool_call_id", "toolCallId", "id"))
    names = (part.get(key) for key in ("name", "toolName", "tool_name"))
    return {
        "role": "tool",
        "content": content,
        "tool_call_id": next(filter(None, ids), None),
        "name": next(filter(None, names), None),
    }
