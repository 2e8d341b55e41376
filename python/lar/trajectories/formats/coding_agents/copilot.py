"""Sessions of GitHub's Copilot CLI (`events.jsonl`): an event a line.

Of an agent that another one called the messages are a trajectory of their own. It has a name beside the data
of its events (`agentId`); in older sessions it is the call within the data (`parentToolCallId`).
"""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.coding_agents.branches import branch_name
from lar.trajectories.formats.runs import has_agent
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, text_or_none
from lar.trajectories.tasks import first_message_task

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    if not has(value, "type", "data") or not isinstance(value["data"], dict):
        return False
    kind, data = value["type"], value["data"]
    return (kind == "session.start" and "sessionId" in data) or (
        kind == "assistant.message" and "content" in data
    )


def _read(record: Record) -> list[Draft]:
    session, asked = "", None
    names: dict[str, str] = {}
    agents: dict[str, list[_Raw]] = {"": []}
    models: dict[str, str] = {}
    entries = [entry for entry in record.value if isinstance(entry.get("data"), dict)]
    started = _started(entries)
    for entry in entries:
        kind, data = entry.get("type"), entry["data"]
        agent = _agent(entry, started)
        session = text_or_none(data.get("sessionId")) or session if kind == "session.start" else session
        if model := text_or_none(data.get("model") or data.get("newModel") or data.get("selectedModel")):
            models.setdefault(agent, model)
        if kind == "user.message" and asked is None and not agent:
            asked = {"role": "user", "content": data.get("content")}
        names |= {call["toolCallId"]: call["name"] for call in data.get("toolRequests") or []}
        raw = _message(str(kind), data, names)
        if raw is not None:
            agents.setdefault(agent, []).append(raw)
    task = first_message_task(normalize_messages([asked])) if asked else f"copilot/{session}"
    found = [(models.get(agent, models.get("")), raw) for agent, raw in agents.items() if has_agent(raw)]
    return [
        Draft(normalize_messages(raw), id=branch_name(session, number), task=task, model=model)
        for number, (model, raw) in enumerate(found)
    ]


def _started(entries: list[_Raw]) -> dict[str, str]:
    """The name of each agent that another one started, by the call that started it."""
    found = {}
    for entry in entries:
        if entry.get("type") == "subagent.started":
            call, name = text_or_none(entry["data"].get("toolCallId")), text_or_none(entry.get("agentId"))
            if call and name:
                found[call] = name
    return found


def _agent(entry: _Raw, started: dict[str, str]) -> str:
    """The name of the agent that an event is about; "" for the main one."""
    own, data = text_or_none(entry.get("agentId")), entry["data"]
    is_about = str(entry.get("type")).startswith("subagent.")
    call = text_or_none(data.get("toolCallId" if is_about else "parentToolCallId")) or ""
    return own or started.get(call, call)


def _message(kind: str, data: _Raw, names: dict[str, str]) -> _Raw | None:
    """The message that an event adds to the conversation."""
    if kind == "system.message":
        return {"role": "system", "content": data.get("content")}
    if kind == "user.message":  # with what the program put around it for the model
        return {"role": "user", "content": data.get("transformedContent") or data.get("content")}
    if kind == "assistant.message":
        calls = [{**call, "id": call["toolCallId"]} for call in data.get("toolRequests") or []]
        thought = {"reasoning_content": data.get("reasoningText")}
        return {"role": "assistant", "content": data.get("content"), "tool_calls": calls, **thought}
    if kind == "tool.execution_complete":
        call_id = data["toolCallId"]
        answer = data.get("result") or data.get("error") or {}
        content = answer.get("content", answer.get("message")) if isinstance(answer, dict) else answer
        return {"role": "tool", "content": content, "tool_call_id": call_id, "name": names.get(call_id)}
    return None


FORMAT = Format("copilot", "Copilot CLI session (events.jsonl)", _recognises, _read, whole_file=True)
