"""LangChain's messages in every form in which they are written -> raw messages of OpenAI's chat format.

Forms: `dumpd` ({lc, type: "constructor", id: [..., "AIMessage"], kwargs}), `messages_to_dict` ({type: "ai",
data}) and plain ({type: "ai", content, tool_calls}).
"""

from typing import Any

from lar.trajectories.dialects.parts import texts_of

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}

# Where the integrations put a model's thoughts: DeepSeek's, Groq's and OpenAI's, OpenRouter's.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_OUT_OF_STEPS = "Sorry, need more steps to process this request."  # LangGraph's, in place of the last answer


def kind_of(value: Any) -> str | None:
    """Return the kind of a LangChain message ("human", "ai", "chat", ...), or None where it is none."""
    if not isinstance(value, dict):
        return None
    path = value.get("id")
    if isinstance(value.get("kwargs"), dict) and isinstance(path, list) and path:
        return _kind(path[-1])
    if "role" in value:
        return None
    if isinstance(value.get("data"), dict) and "content" in value["data"]:
        return _kind(value.get("type"))
    return _kind(value.get("type")) if "content" in value else None


def _kind(name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    kind = name.removesuffix("Chunk").removesuffix("Message").lower()
    return kind if kind in _ROLES or kind == "chat" else None


def raw_message(value: dict[str, Any]) -> dict[str, Any]:
    """Return a LangChain message as a raw message of OpenAI's chat format."""
    kind = kind_of(value) or ""
    body = value.get("kwargs") or value.get("data") or value
    extra = body.get("additional_kwargs") or {}
    raw: dict[str, Any] = {
        "role": body.get("role", "user") if kind == "chat" else _ROLES[kind],
        "content": body.get("content"),
    }
    for key in ("name", "tool_call_id"):
        if body.get(key):
            raw[key] = body[key]
    for key in _THOUGHTS:
        if thought := extra.get(key) or body.get(key):
            raw[key] = thought
    if extra.get("refusal") and not any(texts_of(raw["content"])):
        beside = raw["content"] if isinstance(raw["content"], list) else []
        raw["content"] = [*beside, {"type": "refusal", "refusal": extra["refusal"]}]
    if calls := _calls(body, extra):
        raw["tool_calls"] = calls
        raw["content"] = _without_calls(raw["content"])
    elif kind == "ai" and raw["content"] == _OUT_OF_STEPS:
        raw["weight"] = 0
    return raw


def _calls(body: dict[str, Any], extra: dict[str, Any]) -> list[Any]:
    """Return the calls; the provider's own are preferred, because their arguments are the model's text."""
    own = extra.get("tool_calls") or ([extra["function_call"]] if extra.get("function_call") else [])
    parsed = [*(body.get("tool_calls") or []), *(body.get("invalid_tool_calls") or [])]
    return list(own) if len(own) >= len(parsed) else parsed


def _without_calls(content: Any) -> Any:
    """Drop the parts of the content that repeat the calls (Anthropic's models write both)."""
    if not isinstance(content, list):
        return content
    repeated = ("tool_use", "function_call", "input_json_delta", "tool_call")
    return [part for part in content if not (isinstance(part, dict) and part.get("type") in repeated)]
