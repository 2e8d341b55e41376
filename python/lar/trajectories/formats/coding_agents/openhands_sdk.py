"""Events of OpenHands' agent SDK: {kind: MessageEvent, ActionEvent, ObservationEvent, ...}.

A reply of the model with several calls gives an ActionEvent for each, which share `llm_response_id`.
"""

from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.runs import success_of, task_of
from lar.trajectories.raw import as_list, dig, has, text_or_none
from lar.trajectories.schema import Tool

_KINDS = frozenset(
    (
        "SystemPromptEvent",
        "MessageEvent",
        "ActionEvent",
        "ObservationEvent",
        "UserRejectObservation",
        "AgentErrorEvent",
        "Condensation",
        "CondensationSummaryEvent",
        "ConversationStateUpdateEvent",
        "CondensationRequest",
        "PauseEvent",
        "TokenEvent",
        "LLMCompletionLogEvent",
        "ConversationErrorEvent",
        "ACPToolCallEvent",
    )
)


def is_event(value: Any) -> bool:
    """Whether `value` is an event of the agent SDK."""
    kind = dig(value, "kind")
    return isinstance(kind, str) and kind in _KINDS and ("source" in value or "id" in value)


def drafts(events: list[dict[str, Any]], value: dict[str, Any]) -> list[Draft]:
    """The trajectory of a conversation's events; `value` is the evaluation's record around them."""
    tools, model = _tools(events), dig(value, "metadata", "llm", "model") or _model(events)
    return [
        Draft(
            normalize_messages(_messages(events)),
            task=task_of(value),
            success=success_of(value),
            model=text_or_none(model),
            tools=tools,
        )
    ]


def _messages(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    replies: dict[Any, dict[str, Any]] = {}
    for event in events:
        if event.get("kind") != "ActionEvent":
            read = _MESSAGES.get(str(event.get("kind")))
            messages += read(event) if read else []
            continue
        turn, key = _turn(event), event.get("llm_response_id")
        if key in replies:
            replies[key]["content"] += turn["content"]
            replies[key]["tool_calls"] += turn["tool_calls"]
        else:
            messages.append(turn)
            if key is not None:
                replies[key] = turn
    return messages


def _system(event: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [part for key in ("system_prompt", "dynamic_context") if (part := event.get(key))]
    return [{"role": "system", "content": parts}] if parts else []


def _message(event: dict[str, Any]) -> list[dict[str, Any]]:
    told = event["llm_message"]
    content = told.get("content") or []
    parts = [content] if isinstance(content, str) else list(content)
    extended = event.get("extended_content") or []
    kept = {key: item for key, item in told.items() if item not in (None, [], "")}
    return [{**kept, "content": [*parts, *extended], **_reasoning(told)}]


def _turn(event: dict[str, Any]) -> dict[str, Any]:
    """The agent's turn with one call; text arguments are the model's own."""
    call = event.get("tool_call") or {
        "id": event.get("tool_call_id"),
        "name": event.get("tool_name"),
        "arguments": _without_kind(event.get("action")),
    }
    content = as_list(event.get("thought") or None)
    return {"role": "assistant", "content": content, "tool_calls": [call], **_reasoning(event)}


def _reasoning(value: dict[str, Any]) -> dict[str, str]:
    thoughts = map(value.get, ("reasoning_content", "thinking_blocks", "responses_reasoning_item"))
    text = next(filter(None, map(text_in, thoughts)), "")
    return {"reasoning_content": text} if text else {}


def _observation(event: dict[str, Any]) -> list[dict[str, Any]]:
    told = event["observation"]
    if isinstance(told, str):
        told = {"content": told}
    content = next((told[key] for key in ("content", "output", "result", "error") if told.get(key)), None)
    if content is None:
        content = "" if any(key in told for key in ("content", "output")) else to_json(_without_kind(told))
    parts = (
        content if isinstance(content, list) else [content if isinstance(content, str) else to_json(content)]
    )
    return [_tool(event, [*parts, *(event.get("extended_content") or ())])]


def _tool(event: dict[str, Any], content: Any) -> dict[str, Any]:
    return {
        "role": "tool",
        "tool_call_id": event.get("tool_call_id"),
        "name": event.get("tool_name"),
        "content": content,
    }


def _rejected(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [_tool(event, f"Action rejected: {event.get('rejection_reason') or ''}")]


def _failed(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [_tool(event, event.get("error") or "")]


def _summary(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The summary that stands for events which the agent no longer sees."""
    summary = text_or_none(event.get("summary"))
    return [{"role": "user", "content": summary}] if summary else []


def _acp_call(event: dict[str, Any]) -> list[dict[str, Any]]:
    """A call that another agent made, with its result."""
    if event.get("status") not in (None, "completed", "failed"):
        return []
    name = text_or_none(event.get("tool_kind")) or event.get("title")
    call = {"id": event.get("tool_call_id"), "name": name, "arguments": event.get("raw_input")}
    output = event.get("raw_output")
    content = output if isinstance(output, str) else to_json(output)
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {
            "role": "tool",
            "tool_call_id": event.get("tool_call_id"),
            "content": "" if output is None else content,
        },
    ]


_MESSAGES = {
    "SystemPromptEvent": _system,
    "MessageEvent": _message,
    "ObservationEvent": _observation,
    "UserRejectObservation": _rejected,
    "AgentErrorEvent": _failed,
    "Condensation": _summary,
    "CondensationSummaryEvent": _summary,
    "ACPToolCallEvent": _acp_call,
}


def _without_kind(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key != "kind" and item is not None}


def _tools(events: list[dict[str, Any]]) -> list[Tool] | None:
    """The tools with their schemas; where only the names of classes were kept there are none."""
    for event in events:
        listed = event.get("tools") if event.get("kind") == "SystemPromptEvent" else None
        if listed:
            return parse_tools([tool for tool in listed if has(tool, "function") or has(tool, "parameters")])
    return None


def _model(events: list[dict[str, Any]]) -> Any:
    for event in events:
        used = dig(event, "value", "usage_to_metrics") or dig(event, "value", "stats", "usage_to_metrics")
        for usage in (used or {}).values():
            if name := dig(usage, "model_name"):
                return name
    return None
