"""The items of OpenAI's Responses interface -> raw chat messages, for `messages.normalize_messages`.

Responses has no turns: one list holds messages, thoughts, calls and outputs, each an item. The items that a
model wrote in one go stand together, so they are one turn here. The tools that the provider runs (web search,
code interpreter, ...) are calls within that list; the model goes on after their result, so each ends a turn.
"""

from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import is_of_program, to_json
from lar.trajectories.dialects.parts import texts_of
from lar.trajectories.raw import first_of

_BETWEEN = "\n\n"  # between two messages of one turn, and between two summaries of thoughts

# Calls that the client answers with an item of its own, and the tool where they do not name it.
_CALLS = {
    "function_call": None,
    "custom_tool_call": None,
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
    "tool_search_call": "tool_search",
    "program": "programmatic_tool_calling",
}
# Calls that the provider answers; what it answered is part of the same item.
_HOSTED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "mcp_call": None,
}
_ITEM = ("type", "role", "content", "id", "tool_calls")  # of a message; its other members are the turn's
_RESULTS = ("output", "outputs", "results", "error")  # of a hosted call
_ARGUMENTS = ("arguments", "action", "actions", "operation")  # of a call without free text
_OWN = ("code", "queries", "revised_prompt")  # arguments that stand in the item itself


def is_items(value: Any) -> bool:
    """Whether `value` is a list of Responses items, and not of chat messages."""
    return isinstance(value, list) and any(map(is_item, value))


def has_calls(value: Any) -> bool:
    """Whether a list has an item that is no message: a thought, a call, the output of one, or a response."""
    if not isinstance(value, list):
        return False
    return any(isinstance(item, dict) and item.get("role") is None and is_item(item) for item in value)


def is_item(value: Any) -> bool:
    """Whether `value` is an item of the Responses interface, or a whole response."""
    if not isinstance(value, dict):
        return False
    if value.get("object") == "response":
        return isinstance(value.get("output"), list)
    kind = value.get("type")
    if kind == "message":
        return "role" in value and "content" in value
    if kind == "reasoning":
        return "summary" in value or "content" in value or "encrypted_content" in value
    return isinstance(kind, str) and (kind in _CALLS or kind in _HOSTED or kind.endswith("_call_output"))


def turns_of_items(items: Any) -> list[dict[str, Any]]:
    """Return the raw chat messages of Responses items; consecutive items of the model are one turn.

    items: a list of items, or the text of the only user's message. A whole response among the items gives its
    output. An item without any text of its own (a reference, an encrypted compaction) is left out.

    Raises:
        TrajectoryError: `items` or one of them is neither text nor an object, or a call has no name.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list):
        raise TrajectoryError("the items of a response are no list")
    turns = _Turns()
    for item in _flat(items):
        turns.add(item)
    return turns.messages


def _flat(items: list[Any]) -> Iterator[dict[str, Any]]:
    for item in items:
        if isinstance(item, str):
            yield {"role": "user", "content": item}
        elif not isinstance(item, dict):
            raise TrajectoryError("an item of a response is neither text nor an object")
        elif item.get("object") == "response" and isinstance(item.get("output"), list):
            yield {"type": "end"}
            yield from _flat(item["output"])
            yield {"type": "end"}
        else:
            yield item


class _Turns:
    """The messages so far, and the turn of the model that is still open."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._of_programs: set[Any] = set()  # ids of calls

    def add(self, item: dict[str, Any]) -> None:
        kind = item.get("type") or "message"
        if is_of_program(item):
            self._of_programs.add(item.get("call_id"))
        elif kind.endswith("_output") and item.get("call_id") in self._of_programs:
            return
        elif kind == "end":
            self._open = None
        elif kind == "message" or (item.get("role") and item.get("content") is not None):
            self._add_message(item)
        elif kind == "agent_message":
            self._close({"role": "user", "name": item.get("author"), "content": item.get("content")})
        elif kind == "reasoning":
            self._think(item)
        elif kind in _CALLS:
            self._turn().setdefault("tool_calls", []).append(_call(item, _CALLS[kind]))
        elif kind in _HOSTED:
            self._add_hosted(item, _HOSTED[kind])
        elif kind.endswith("_call"):  # of a tool that only one provider has: xAI's `x_search_call`
            self._add_hosted(item, kind.removesuffix("_call"))
        elif kind.endswith("_output"):
            self._close(_result(item))

    def _turn(self) -> dict[str, Any]:
        if self._open is None:
            self._open = {"role": "assistant", "content": []}
            self.messages.append(self._open)
        return self._open

    def _close(self, message: dict[str, Any]) -> None:
        self._open = None
        self.messages.append(message)

    def _add_message(self, item: dict[str, Any]) -> None:
        if item.get("role") != "assistant":
            self._close({key: value for key, value in item.items() if key != "type"})
            return
        turn = self._turn()
        parts = item.get("content")
        parts = parts if isinstance(parts, list) else [{"type": "text", "text": parts or ""}]
        turn["content"] += ([_BETWEEN] if turn["content"] else []) + parts
        if isinstance(item.get("tool_calls"), list):  # a chat message among the items
            turn.setdefault("tool_calls", []).extend(item["tool_calls"])
        turn |= {key: value for key, value in item.items() if key not in _ITEM and value is not None}

    def _think(self, item: dict[str, Any]) -> None:
        """Add a thought: the model's own words where they are logged, else their summary."""
        summary = filter(None, texts_of(item.get("summary")))
        thought = "".join(texts_of(item.get("content"))) or _BETWEEN.join(summary)
        if thought:
            turn = self._turn()
            before = turn.get("reasoning_content")
            turn["reasoning_content"] = f"{before}{_BETWEEN}{thought}" if before else thought

    def _add_hosted(self, item: dict[str, Any], name: str | None) -> None:
        call = _call(item, name)
        if not call["arguments"]:
            return  # the log has only that there was a call
        self._turn().setdefault("tool_calls", []).append(call)
        self._open = None
        result = next((item[key] for key in _RESULTS if item.get(key)), None)
        if result is not None:
            self._close({"role": "tool", "tool_call_id": call["id"], "content": _content(result)})


def _call(item: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Make a call of an item. A custom tool's free text becomes the one argument `input`."""
    own = item.get("name") if isinstance(item.get("name"), str) else None
    if own is None and name is None:
        raise TrajectoryError(f"an item of type {item['type']!r} without a name")
    space = item.get("namespace")  # of a tool that Codex has from a server
    name = f"{space.removesuffix('__')}__{own}" if isinstance(space, str) and space and own else own or name
    return {"id": item.get("call_id") or item.get("id"), "name": name, "arguments": _arguments(item)}


def _arguments(item: dict[str, Any]) -> Any:
    found = next((item[key] for key in _ARGUMENTS if item.get(key)), None)
    if found is None and item.get("input") is not None:
        found = {"input": item["input"]}
    return found or {key: item[key] for key in _OWN if item.get(key)}


def _result(item: dict[str, Any]) -> dict[str, Any]:
    output = first_of(item, "output", "result", "tools", default="")
    call_id = item.get("call_id") or item.get("id")
    return {"role": "tool", "tool_call_id": call_id, "content": _content(output)}


def _content(output: Any) -> Any:
    """An output as the content of a message: text and parts as they are, anything else as JSON."""
    if isinstance(output, dict) and output.get("type") == "computer_screenshot":
        return [{"type": "image"}]
    parts = isinstance(output, list) and all(map(_is_part, output))
    return output if isinstance(output, str) or parts else to_json(output)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("type")).startswith(
        ("text", "input_", "output_", "image")
    )
