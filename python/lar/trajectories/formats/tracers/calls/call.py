"""A model's call as tracers store it, an input and an output -> one trajectory."""

from typing import Any

from lar.trajectories.dialects.masked import is_told, without_masks
from lar.trajectories.dialects.messages import bare_calls, normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.tracers.calls.sides import listed, read_input, read_output
from lar.trajectories.raw import from_json_text
from lar.trajectories.schema import Message, Tool


def make_draft(
    given: Any, answered: Any, *, tools: Any = None, is_whole: bool = False, **fields: Any
) -> Draft | None:
    """Return the trajectory of a call, its input `given` and its output `answered`; None without the agent.

    `tools` are schemas in any form; without them those of the input are taken. With `is_whole`, the input is
    a conversation in which no answer is missing. `fields` are those of `Draft`. An answer that the logger has
    masked is none, and a masked turn of the history is context.

    Raises:
        TrajectoryError: a message is malformed.
    """
    history, reply = read_input(given), read_output(answered)
    before = _normalized(history.messages)
    if all(message["role"] != "system" for message in before):
        before = _normalized(history.system or reply.system) + before
    said = _one_turn(_normalized(reply.messages))
    messages = without_masks(_join_sides(before, said))
    if not any(map(is_told, messages)):
        return None
    return Draft(
        messages,
        tools=read_tools(tools) or read_tools(history.tools or reply.tools),
        is_call=True,
        is_cut=reply.is_cut,
        is_unanswered=not is_whole and not any(map(is_told, [*before[-1:], *said])),
        **fields,
    )


def _normalized(raw: list[Any]) -> list[Message]:
    return normalize_messages(raw) if raw else []


def _one_turn(messages: list[Message]) -> list[Message]:
    """Join an agent's text and calls that an output holds as messages one after the other."""
    turns: list[Message] = []
    for message in messages:
        last = turns[-1] if turns else None
        both = last is not None and last["role"] == message["role"] == "assistant"
        is_context = last is not None and "weight" in (last.keys() ^ message.keys())
        if last is None or not both or is_context or (last["content"] and message["content"]):
            turns.append(message)
            continue
        last["content"] += message["content"]
        if thought := message.get("reasoning_content"):
            last["reasoning_content"] = last.get("reasoning_content", "") + thought
        if calls := message.get("tool_calls"):
            last["tool_calls"] = last.get("tool_calls", []) + calls
    return turns


def _join_sides(history: list[Message], reply: list[Message]) -> list[Message]:
    """Return the history with the reply after it; messages that end the one and begin the other count once.

    Some outputs are the whole conversation, and some inputs hold the reply already.
    """
    before, after = [key_of(message) for message in history], [key_of(message) for message in reply]
    for length in range(min(len(before), len(after)), 0, -1):
        if before[-length:] == after[:length]:
            return history + reply[length:]
    return history + reply


def key_of(message: Message) -> tuple[Any, ...]:
    """What of a message is equal where it is repeated."""
    return message["role"], message["content"].strip(), bare_calls(message)


def read_tools(raw: Any) -> list[Tool] | None:
    """Return the schemas of tools in any form; names of tools without a schema are none."""
    schemas = [_schema(tool) for tool in map(from_json_text, listed(raw)) if isinstance(tool, dict)]
    return parse_tools(schemas) if schemas else None


def _schema(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a schema out of OpenInference's wrappings, with JSON text in it decoded."""
    for key in ("tool.json_schema", "json_schema", "tool"):
        inner = from_json_text(tool.get(key))
        if isinstance(inner, dict):
            return _schema(inner)
    keys = [key for key in ("parameters", "inputSchema") if isinstance(tool.get(key), str)]
    return tool | {key: from_json_text(tool[key]) for key in keys} if keys else tool
