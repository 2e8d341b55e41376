"""The steps of Google's Interactions interface -> raw chat messages, for `messages.normalize_messages`.

An interaction is a list of steps: what the user gave, and the model's thoughts, texts and calls. Until June
2026 the list had contents in their place (`outputs`), and a request's turns were {role, content}. The steps
that a model wrote in one go are one turn here. The results of tools that Google runs stand among them.
"""

from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.raw import as_list, dig
from lar.trajectories.schema import Role

_CONTENTS = ("text", "image", "audio", "video", "document")
_ROLES = ("user", "model")
_SHOWN = "search_suggestions"  # HTML of a result that is shown to people, and not to the model


def has_steps(values: Any) -> bool:
    """Whether `values` is a list with a step of an interaction, which no item of OpenAI's Responses is."""
    return isinstance(values, list) and any(map(_is_step, values))


def is_input(values: Any) -> bool:
    """Whether `values` is a list of steps, contents or turns, as a request has them."""
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        return False
    return has_steps(values) or any(
        one.get("type") in _CONTENTS or (one.get("role") in _ROLES and "content" in one) for one in values
    )


def _is_step(value: Any) -> bool:
    kind = dig(value, "type")
    if kind == "function_call":  # OpenAI's have JSON text and a `call_id`
        return isinstance(value.get("arguments"), dict) and "call_id" not in value
    if kind == "thought":
        return "summary" in value or "signature" in value
    if kind == "function_result":
        return "call_id" in value
    return kind in ("user_input", "model_output")


def turns_of_steps(given: Any, role: Role) -> list[dict[str, Any]]:
    """Return the raw messages of steps, contents, turns or a text; `role` is that of a text or a content.

    A call of Google's tools whose arguments the log does not have is left out, and so is its result.

    Raises:
        TrajectoryError: `given` is no list, or something in it is neither text nor an object with a type.
    """
    if isinstance(given, str | dict):
        given = [given]
    if not isinstance(given, list):
        raise TrajectoryError("the steps of an interaction are no list")
    messages: list[dict[str, Any]] = []
    unknown: set[Any] = set()  # ids of calls without arguments
    was_content = False
    for step in given:
        who, contents, is_content = _read(step, role)
        parts = list(_parts(contents, unknown))
        goes_on = who == "assistant" or (is_content and was_content)
        if messages and messages[-1]["role"] == who and goes_on:
            messages[-1]["content"] += parts
        elif parts:
            messages.append({"role": who, "content": parts})
        was_content = is_content
    return messages


def _read(step: Any, role: Role) -> tuple[Role, list[Any], bool]:
    """Who speaks in a step, its contents, and whether it is itself a content of a message."""
    if not isinstance(step, dict):
        return role, [step], True
    kind = step.get("type")
    if kind == "user_input" or (kind is None and step.get("role") == "user"):
        return "user", as_list(step.get("content")), False
    if kind == "model_output" or (kind is None and step.get("role") == "model"):
        return "assistant", as_list(step.get("content")), False
    if kind == "function_result":
        return "user", [step], True
    is_own = kind == "thought" or str(kind).endswith(("_call", "_result"))
    return "assistant" if is_own else role, [step], True


def _parts(contents: list[Any], unknown: set[Any]) -> Iterator[Any]:
    """Yield contents as parts of Anthropic's form; texts, thoughts and calls of functions have it already."""
    for content in contents:
        kind = "text" if isinstance(content, str) else content.get("type")
        if not isinstance(kind, str):
            raise TrajectoryError("a content of an interaction without a type")
        if kind.endswith("_call") and kind != "function_call":
            name, given = content.get("name"), content.get("arguments")
            if name or given:
                name = name or kind.removesuffix("_call")
                yield {"type": "tool_use", "id": content.get("id"), "name": name, "input": given}
            else:
                unknown.add(content.get("id"))
        elif kind.endswith("_result"):
            if content.get("call_id") not in unknown:
                yield _result(content, kind.removesuffix("_result"))
        else:
            yield {"type": "text", "text": content} if isinstance(content, str) else content


def _result(content: dict[str, Any], tool: str) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": content.get("call_id"),
        "name": content.get("name") or (None if tool == "function" else tool),
        "content": _told(content.get("result")),
    }


def _told(result: Any) -> Any:
    """What a model reads of a result: a text, contents, or JSON."""
    if isinstance(result, dict) and result.keys() == {"items"}:
        result = result["items"]
    if result is None or isinstance(result, str):
        return result or ""
    if not isinstance(result, list):
        return to_json(result)
    if all(
        isinstance(one, str) or (isinstance(one, dict) and one.get("type") in _CONTENTS) for one in result
    ):
        return result
    told = [_without_html(one) for one in result]
    return to_json(list(filter(None, told))) if any(told) else ""


def _without_html(one: Any) -> Any:
    return {key: value for key, value in one.items() if key != _SHOWN} if isinstance(one, dict) else one
