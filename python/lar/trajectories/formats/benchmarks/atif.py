"""ATIF, the agent trajectory interchange format of Harbor (terminal-bench) and other programs.

A step is {source: system, user or agent, message, reasoning_content, tool_calls, observation.results}. An
agent's step that was copied from another trajectory, or that no model wrote, is context and has the weight 0.
"""

import re
from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, first_solved
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.runs import swe_task
from lar.trajectories.inputs.beside import TRIAL
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_object, first_text, from_json_text, has

_AGENT = ("agent", "assistant")
_SOURCES = ("system", "user", *_AGENT)
_WRAPPED = ("trajectory", "atif", "atif_trajectory")
# What Harbor's converters write where the agent only called a tool.
_EXECUTED = re.compile(r"Executed \S+( \S+)?")
_REWARDS = (
    ("verifier_result", "rewards", "reward"),
    ("rewards", "reward"),
    ("reward",),
    ("is_resolved",),
    ("resolved",),
    ("passed",),
    ("success",),
)

_Raw = dict[str, Any]


def _document(value: Any) -> _Raw | None:
    """The trajectory of a record: the record itself, or a member of it, which may be JSON text."""
    if not isinstance(value, dict):
        return None
    if _is_atif(value):
        return value
    inner = (from_json_text(value.get(key)) for key in _WRAPPED)
    return next((item for item in inner if _is_atif(item)), None)


def _is_atif(value: Any) -> bool:
    if not (has(value, "steps") and ("schema_version" in value or has(value.get("agent"), "name"))):
        return False
    version, steps = value.get("schema_version"), value["steps"]
    first = first_object(steps)
    named = isinstance(version, str) and version.startswith("ATIF")
    return named or (has(first, "message", "source") and first["source"] in _SOURCES)


def _read(record: Record) -> list[Draft]:
    document = _document(record.value)
    if document is None or not document["steps"]:
        raise TrajectoryError("an ATIF trajectory without steps")
    around = record.value if document is not record.value else dig(record.context, TRIAL) or {}
    success, task = _success(around, document), _task(around, document)
    return [
        Draft(
            normalize_messages(_messages(run["steps"])),
            task=task,
            success=success,
            model=first_text(dig(at, "model_name") for at in (dig(run, "agent"), *run["steps"])),
            tools=parse_tools(dig(run, "agent", "tool_definitions")),
        )
        for run in _runs(document)
    ]


def _runs(document: _Raw) -> Iterator[_Raw]:
    """A trajectory and those of the agents that it started, where they are embedded."""
    yield document
    for inner in document.get("subagent_trajectories") or ():
        if has(inner, "steps") and inner["steps"]:
            yield from _runs(inner)


def _success(around: _Raw, document: _Raw) -> bool | None:
    places = (around, document, dig(document, "extra"), dig(document, "final_metrics", "extra"))
    return first_solved(dig(place, *path) for place in places for path in _REWARDS)


def _task(around: _Raw, document: _Raw) -> str | None:
    for place in (around, dig(document, "extra")):
        for key in ("task_name", "task_id", "instance_id", "task"):
            name = swe_task(dig(place, key), "atif")
            if name is not None:
                return name
    return None


def _messages(steps: list[_Raw]) -> list[_Raw]:
    messages: list[_Raw] = []
    for step in steps:
        source = step["source"]
        if source in _AGENT:
            _add_turn(messages, step)
        elif step.get("message") and not _is_note(step):
            opens = all(message["role"] == "system" for message in messages)
            role = "system" if source == "system" and opens else "user"
            messages.append({"role": role, "content": step["message"]})
        messages += _results(step)
    return messages


def _is_note(step: _Raw) -> bool:
    """Whether a step of the system only names other trajectories: the model did not see it."""
    return step["source"] == "system" and any(
        result.get("subagent_trajectory_ref") and not result.get("content") for result in _observed(step)
    )


def _add_turn(messages: list[_Raw], step: _Raw) -> None:
    """Add an agent's step; calls that stand in a step of their own join the text before them."""
    calls = [_call(call, step) for call in step.get("tool_calls") or ()]
    text = step.get("message")
    invented = bool(calls) and (not text or (isinstance(text, str) and bool(_EXECUTED.fullmatch(text))))
    turn: _Raw = {"role": "assistant", "content": "" if invented else text}
    if step.get("reasoning_content"):
        turn["reasoning_content"] = step["reasoning_content"]
    if step.get("is_copied_context") or step.get("llm_call_count") == 0:
        turn["weight"] = 0
    last = messages[-1] if messages else {}
    goes_on = invented and last.get("role") == "assistant" and last.get("weight") == turn.get("weight")
    if goes_on and "reasoning_content" not in turn:
        last["tool_calls"] = last.get("tool_calls", []) + calls
        return
    messages.append(turn | ({"tool_calls": calls} if calls else {}))


def _call(call: _Raw, step: _Raw) -> _Raw:
    """A call; the text of its arguments is the agent's own where the step keeps it."""
    arguments, text = call.get("arguments"), dig(step, "extra", "raw_arguments")
    if isinstance(text, str) and len(step["tool_calls"]) == 1 and from_json_text(text) == arguments:
        arguments = text
    return {"id": call.get("tool_call_id"), "name": call["function_name"], "arguments": arguments}


def _observed(step: _Raw) -> list[_Raw]:
    results = dig(step, "observation", "results")
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _results(step: _Raw) -> Iterator[_Raw]:
    """What the agent's step brought about: results of its calls, or what the environment answers."""
    calls = step.get("tool_calls") or []
    names = {call.get("tool_call_id"): call.get("function_name") for call in calls}
    for number, result in enumerate(_observed(step)):
        call_id, content = result.get("source_call_id"), result.get("content")
        if call_id is None and (not calls or content is None):
            if content:
                yield {"role": "user", "content": content}
            continue
        if call_id is None and len(_observed(step)) == len(calls):
            call_id = calls[number].get("tool_call_id")
        yield {"role": "tool", "tool_call_id": call_id, "name": names.get(call_id), "content": content or ""}


FORMAT = Format(
    "atif", "ATIF trajectories (Harbor, terminal-bench)", lambda value: _document(value) is not None, _read
)
