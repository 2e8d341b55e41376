"""AutoGen 0.4: messages and events of agents and teams, contexts of models, and saved states.

A message is {type, source, content}. A thought and the calls that follow it are one turn. What the program
says of a tool's results (summaries, handoffs) is left out where the result holds it.
"""

from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.frameworks import names
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, identifier, text_or_none

_SAID = ("TextMessage", "MultiModalMessage", "StopMessage", "CodeGenerationEvent", "UserMessage")
_OF_PROGRAM = ("ToolCallSummaryMessage", "HandoffMessage")
_RESULTS = ("ToolCallExecutionEvent", "FunctionExecutionResultMessage")
_THOUGHTS = ("ThoughtEvent",)
_OTHERS = (
    "SystemMessage",
    "AssistantMessage",
    "ToolCallRequestEvent",
    "CodeExecutionEvent",
    "MemoryQueryEvent",
    "ToolCallMessage",
    "ToolCallResultMessage",
    "SelectSpeakerEvent",
    "SelectorEvent",
    "UserInputRequestedEvent",
    "ModelClientStreamingChunkEvent",
)
_KNOWN = frozenset((*_SAID, *_OF_PROGRAM, *_RESULTS, *_THOUGHTS, *_OTHERS))
_LISTS = ("messages", "message_thread", "history")

_Raw = dict[str, Any]


def _is_message(value: Any) -> bool:
    kind = dig(value, "type")
    known = isinstance(kind, str) and (kind in _KNOWN or kind.startswith("StructuredMessage"))
    return known and "role" not in value and ("content" in value or "result" in value)


def _listed(value: Any) -> list[_Raw] | None:
    """The messages of a record: a list of them, or a member that is one."""
    if isinstance(value, dict):
        inner = dig(value, "llm_context", "messages") or value.get("llm_messages")
        value = next((item for item in (*map(value.get, _LISTS), inner) if _is_listed(item)), None)
    return value if _is_listed(value) else None


def _is_listed(value: Any) -> bool:
    return isinstance(value, list) and any(map(_is_message, value[:20]))


def _contexts(value: Any) -> Iterator[list[_Raw]]:
    """What each agent of a saved team saw; the team's own thread where no agent kept it."""
    states = dig(value, "agent_states")
    if not isinstance(states, dict):
        return
    inner = [_state(state) for state in states.values() if isinstance(state, dict)]
    found = [messages for state in inner if (messages := _listed(dig(state, "llm_context") or state))]
    own = [messages for messages in found if any(map(_is_of_model, messages))]
    threads = (_listed(state) for state in inner if "message_thread" in state)
    yield from own or filter(None, threads)
    for state in inner:
        yield from _contexts(state.get("inner_team_state"))


def _is_of_model(message: Any) -> bool:
    return isinstance(message, dict) and message.get("type") == "AssistantMessage"


def _state(state: _Raw) -> _Raw:
    """An agent's own state, without what contains it."""
    held = next((state[key] for key in ("agent_state", "state") if isinstance(state.get(key), dict)), None)
    return state if held is None else held


def _read(record: Record) -> list[Draft]:
    value = record.value
    messages = _listed(value)
    talks = list(_contexts(value)) if messages is None else [messages]
    if not talks:
        raise TrajectoryError("no messages with type, source and content")
    outer = value if isinstance(value, dict) else {}
    name = identifier(outer.get("task_id")) or identifier(outer.get("question_id"))
    return [
        Draft(
            normalize_messages(_messages(talk)),
            task=f"autogen/{name}" if name else None,
            success=solved(outer.get("success", outer.get("reward"))),
            model=text_or_none(outer.get("model")),
        )
        for talk in talks
    ]


def _messages(talk: list[_Raw]) -> list[_Raw]:
    raw: list[_Raw] = []
    thought: _Raw | None = None
    for message in talk:
        kind = dig(message, "type")
        if kind in _THOUGHTS:
            thought = message
            continue
        for turn in _turns(message, kind, raw):
            if thought is not None and turn["role"] == "assistant":
                # Beside calls a thought is the text that the model wrote with them.
                key = "content" if turn.get("tool_calls") else "reasoning_content"
                turn = {**turn, key: thought.get("content")}
                thought = None
            raw.append(turn)
    if thought is not None:
        raw.append({"role": "assistant", "content": thought.get("content"), "name": thought.get("source")})
    return raw


def _turns(message: _Raw, kind: Any, before: list[_Raw]) -> Iterator[_Raw]:
    """The turns of a message; none for what only controls the run."""
    source, content = message.get("source") or "", message.get("content")
    if kind == "SystemMessage":
        yield {"role": "system", "content": content}
    elif kind == "AssistantMessage":
        yield _model_turn(source, content, message.get("thought"))
    elif kind in ("ToolCallRequestEvent", "ToolCallMessage"):
        yield _model_turn(source, content, None)
    elif kind in _RESULTS or kind == "ToolCallResultMessage":
        yield from map(_result, content or ())
    elif kind == "CodeExecutionEvent":
        yield {"role": "tool", "name": source, "content": dig(message, "result", "output") or ""}
    elif kind == "MemoryQueryEvent":
        yield {"role": "user", "content": "\n".join(_text(item.get("content")) for item in content or ())}
    elif kind in _OF_PROGRAM:
        results = "\n".join(_text(turn.get("content")) for turn in before if turn["role"] == "tool")
        if _text(content) not in results:
            yield {"role": "assistant", "name": source, "content": content, "weight": 0}
    elif kind in _SAID or (isinstance(kind, str) and kind.startswith("StructuredMessage")):
        # A model sees what others say as a user's.
        part = "user" if kind in ("UserMessage", "StopMessage") else names.part_in(source, content)
        yield {"role": part, "name": source, "content": _parts(content)}


def _model_turn(source: str, content: Any, thought: Any) -> _Raw:
    """A model's turn: a text with its thought, or calls with the text beside them."""
    turn: _Raw = {"role": "assistant", "name": source}
    if isinstance(content, list):
        return turn | {"content": thought or "", "tool_calls": content}
    return turn | {"content": content, **({"reasoning_content": thought} if thought else {})}


def _result(result: _Raw) -> _Raw:
    return {
        "role": "tool",
        "tool_call_id": result.get("call_id"),
        "name": result.get("name"),
        "content": result.get("content"),
    }


def _text(content: Any) -> str:
    return content if isinstance(content, str) else to_json(content)


def _parts(content: Any) -> Any:
    """A content as text, or as parts where images stand between texts."""
    if not isinstance(content, list):
        return _text(content)
    return [part if isinstance(part, str) else {"type": "image"} for part in content]


AUTOGEN = Format(
    "autogen",
    "AutoGen 0.4 messages, contexts and states",
    lambda value: _listed(value) is not None or any(True for _ in _contexts(value)),
    _read,
)
MESSAGES = Format(
    "autogen_messages",
    "AutoGen 0.4 messages, one a line or an array",
    lambda value: _is_message(value) and ("source" in value or "content" in value),
    _read,
    whole_file=True,
)
