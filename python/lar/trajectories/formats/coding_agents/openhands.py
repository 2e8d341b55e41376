"""OpenHands: evaluation outputs (`output.jsonl`), trajectories and event files, of the first generation.

Events are {source, action or observation, args, content}. A reply of the model is in the metadata of each
call that it makes, and is read once, verbatim. Releases without that metadata have the call alone. The
events of the agent SDK, the second generation, are read by `openhands_sdk`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.coding_agents import openhands_sdk
from lar.trajectories.formats.runs import has_agent, success_of, task_of
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, first_object, first_text, has, text_or_none
from lar.trajectories.schema import Tool

_SOURCES = ("agent", "user", "environment")
_LISTS = ("history", "trajectory", "events", "messages")
# Actions and observations that control the run and are no part of the conversation.
_SILENT = frozenset(
    (
        "null",
        "change_agent_state",
        "agent_state_changed",
        "recall",
        "condensation_request",
        "loop_recovery",
        "loop_detection",
        "pause",
        "resume",
        "stop",
        "add_task",
        "modify_task",
        "initialize",
        "start",
    )
)
# Fields of an action that the program sets, and not the agent.
_PROGRAM = frozenset(
    (
        "thought",
        "blocking",
        "hidden",
        "confirmation_state",
        "is_confirmed",
        "keep_prompt",
        "action_risk",
        "security_risk",
        "is_static",
        "cwd",
        "kernel_init_code",
        "include_extra",
        "translated_ipython_code",
        "impl_source",
        "background",
        "is_input",
        "action",
        "id",
        "source",
        "timestamp",
        "message",
        "cause",
    )
)


class _Conversation:
    """The messages of one agent, as its events give them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.tools: list[Tool] | None = None
        self.model: str | None = None
        self._replies: set[str] = set()

    def add(self, event: dict[str, Any]) -> None:
        """Add what an event adds to the conversation."""
        if _is_text(event.get("action")):
            self._act(event, event["args"] if isinstance(event.get("args"), dict) else event)
        else:
            self._observe(event, event.get("observation"))

    def _act(self, event: dict[str, Any], args: dict[str, Any]) -> None:
        action = event["action"]
        if action == "system":
            self.tools = self.tools or parse_tools(args.get("tools"))
            self._say("system", args.get("content"))
        elif (metadata := _metadata(event)) is not None:
            self._reply(metadata, args)
        elif action == "message":
            self._say(_speaker(event, args), _content(args))
        elif action == "condensation":
            self._say("user", args.get("summary"))
        elif action in _SILENT:
            return
        elif event.get("source") == "user":
            self._say("user", first_text(map(args.get, ("command", "code", "thought"))))
        else:
            self.messages.append(_call(action, args))

    def _reply(self, metadata: dict[str, Any], args: dict[str, Any]) -> None:
        """Add the model's reply that a call belongs to, where it is new."""
        response: Any = metadata.get("model_response")
        reply = _message_of(response)
        if reply is None:
            name, call_id = metadata.get("function_name"), metadata["tool_call_id"]
            self.messages.append(_call(name, args, call_id))
            return
        key = str(response.get("id") or metadata["tool_call_id"])
        if key not in self._replies:
            self._replies.add(key)
            self.model = self.model or text_or_none(response.get("model"))
            self.messages.append(reply)

    def _observe(self, event: dict[str, Any], kind: Any) -> None:
        if kind == "recall":
            self._say("user", "\n\n".join(_knowledge(event.get("extras"))))
        if kind in _SILENT:
            return
        metadata = _metadata(event)
        if metadata is not None:
            if _message_of(metadata.get("model_response")) is not None:
                self._reply(metadata, {})
            self.messages.append(
                {
                    "role": "tool",
                    "tool_call_id": metadata["tool_call_id"],
                    "name": metadata.get("function_name"),
                    "content": _result(event),
                }
            )
        elif self._awaits_result():
            self.messages.append({"role": "tool", "content": _result(event)})
        else:
            self._say("user", _result(event))

    def _awaits_result(self) -> bool:
        """Whether the last message is a call without an id, of a release that has no metadata of calls."""
        last = self.messages[-1] if self.messages else {}
        return any(call["id"] is None for call in last.get("tool_calls") or ())

    def _say(self, role: str, content: Any) -> None:
        if content:
            self.messages.append({"role": role, "content": content})


def _metadata(event: dict[str, Any]) -> dict[str, Any] | None:
    """What an event keeps of the call that it belongs to, None in older releases."""
    metadata = event.get("tool_call_metadata")
    return metadata if isinstance(metadata, dict) and "tool_call_id" in metadata else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _speaker(event: dict[str, Any], args: dict[str, Any]) -> str:
    """Whose message it is; older releases keep no source, and only the agent waits for a response."""
    source = event.get("source")
    is_agent = source == "agent" if source in _SOURCES else bool(args.get("wait_for_response"))
    return "assistant" if is_agent else "user"


def _content(args: dict[str, Any]) -> Any:
    images = args.get("image_urls") or args.get("images_urls")
    if not isinstance(images, list) or not images:
        return args.get("content")
    return [{"type": "text", "text": args.get("content") or ""}] + [{"type": "image"} for _ in images]


def _message_of(response: Any) -> dict[str, Any] | None:
    """The message of a model's response in OpenAI's form, without its empty fields."""
    message = first_object(dig(response, "choices")).get("message")
    if not isinstance(message, dict):
        return None
    kept = {key: value for key, value in message.items() if value not in (None, [], "")}
    return {**kept, "role": "assistant"}


def _call(name: Any, args: dict[str, Any], call_id: str | None = None) -> dict[str, Any]:
    """The agent's turn out of an action without the model's reply: the thought, and the call."""
    thought = args.get("thought")
    own = {
        key: value for key, value in args.items() if key not in _PROGRAM and value not in (None, "", {}, [])
    }
    if name == "think" and not own:
        own, thought = {"thought": thought}, None
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": own}}
    return {"role": "assistant", "content": thought or "", "tool_calls": [call]}


def _result(event: dict[str, Any]) -> str:
    return first_text((event.get("content"), dig(event, "extras", "outputs", "content"))) or ""


def _knowledge(extras: Any) -> Iterator[str]:
    """What the program adds to a user's message: instructions of the repository, and knowledge."""
    if not isinstance(extras, dict):
        return
    for key in ("repo_instructions", "additional_agent_instructions", "conversation_instructions"):
        if _is_text(extras.get(key)):
            yield extras[key]
    for knowledge in extras.get("microagent_knowledge") or ():
        if has(knowledge, "content") and _is_text(knowledge["content"]):
            yield knowledge["content"]


def _conversations(events: Iterable[dict[str, Any]]) -> list[_Conversation]:
    """The main agent's conversation, and one for each task that it delegates."""
    found = [_Conversation()]
    stack = [found[0]]
    for event in events:
        if event.get("observation") == "delegate" and len(stack) > 1:
            stack.pop()
        stack[-1].add(event)
        if event.get("action") == "delegate":
            stack.append(_Conversation())
            found.append(stack[-1])
    return [talk for talk in found if talk is found[0] or has_agent(talk.messages)]


def _is_event(value: Any) -> bool:
    """Whether `value` is an event with its source, as files of events hold them."""
    if not isinstance(value, dict) or value.get("source") not in _SOURCES:
        return False
    acts = _is_text(value.get("action")) and isinstance(value.get("args"), dict)
    return acts or (_is_text(value.get("observation")) and "content" in value)


def _is_step(value: Any) -> bool:
    """Whether `value` stands in a history: an event, an older one without a source, or an action's pair."""
    if isinstance(value, list):
        return len(value) == 2 and all(map(_is_step, value))
    if openhands_sdk.is_event(value) or _is_event(value):
        return True
    if not isinstance(value, dict) or "role" in value or ("action" in value) == ("observation" in value):
        return False
    known = ("thought", "command", "wait_for_response", "args", "extras", "kernel_init_code")
    return _is_text(value.get("action", value.get("observation"))) and any(name in value for name in known)


def _events(value: Any) -> list[Any] | None:
    """The events of a record, pairs of an action and its observation laid flat."""
    steps = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
    if not steps or not _is_step(steps[0]):
        return None
    return [event for step in steps for event in as_list(step)]


def _drafts(events: list[Any], value: dict[str, Any]) -> list[Draft]:
    events = [event for event in events if isinstance(event, dict)]
    if any(map(openhands_sdk.is_event, events)):
        return openhands_sdk.drafts(events, value)
    talks = _conversations(events)
    if not any(message["role"] == "user" for message in talks[0].messages) and _is_text(
        value.get("instruction")
    ):
        asked = {"role": "user", "content": value["instruction"]}
        talks[0].messages.insert(sum(message["role"] == "system" for message in talks[0].messages[:1]), asked)
    return [
        Draft(
            normalize_messages(talk.messages),
            task=task_of(value),
            success=success_of(value),
            model=text_or_none(dig(value, "metadata", "llm_config", "model")) or talk.model,
            tools=talk.tools or talks[0].tools,
        )
        for talk in talks
    ]


def _read(record: Record) -> list[Draft]:
    events = _events(record.value)
    if events is None:
        raise TrajectoryError("no history of events")
    return _drafts(events, record.value)


def _read_events(record: Record) -> list[Draft]:
    entries = as_list(record.value)
    if len(entries) == 1:
        raise TrajectoryError(
            "one event of a conversation: write the event files of its folder into one file"
        )
    return _drafts(entries, {})


OPENHANDS = Format(
    "openhands",
    "OpenHands output.jsonl and trajectories",
    lambda value: isinstance(value, dict) and _events(value) is not None,
    _read,
    unwanted=(
        "history[].message",
        "trajectory[].message",
        "[].message",
    ),  # made for people, of the other fields
)
EVENTS = Format(
    "openhands_events",
    "OpenHands event files, one event a line or an array",
    lambda value: _is_event(value) or openhands_sdk.is_event(value),
    _read_events,
    whole_file=True,
    unwanted=("[].message",),
)
