"""smolagents: the steps of an agent's memory, alone or within the result of a run.

A step is the system's prompt, a task, a plan, an action {model_output, tool_calls, observations, error}, or a
final answer. The model's text is `model_output`; calls that the program read out of it are not written again.
"""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.draft import Draft, first_solved
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_object, first_text, identifier

_LISTS = ("steps", "memory", "agent_memory", "intermediate_steps", "messages", "trajectory")
_OUTPUTS = ("model_output", "model_output_message", "model_input_messages")
_RESULTS = ("is_correct", "correct", "success", "score", "reward")
_FAILED = "Error in generating final LLM output"  # by the program, where the model gave no last answer
_INTERPRETER = "python_interpreter"

_HEAD = 8  # entries, of which one is a step

_Raw = dict[str, Any]


def _is_action(value: Any) -> bool:
    if not isinstance(value, dict) or not ("step_number" in value or "step" in value):
        return False
    return any(key in value for key in _OUTPUTS) and ("observations" in value or "tool_calls" in value)


def _is_plan(value: Any) -> bool:
    if not isinstance(value, dict) or "plan" not in value:
        return False
    return "model_input_messages" in value or "model_output_message" in value


def _is_step(value: Any) -> bool:
    return _is_action(value) or _is_plan(value)


def _steps(value: Any) -> list[_Raw] | None:
    """The steps of a record, wherever it keeps them."""
    if isinstance(value, list):
        return value if any(map(_is_step, value[:_HEAD])) else None
    if not isinstance(value, dict):
        return None
    return next((steps for key in _LISTS if (steps := _steps(value.get(key))) is not None), None)


def _read(record: Record) -> list[Draft]:
    steps = _steps(record.value)
    if steps is None:
        raise TrajectoryError("no steps of an agent")
    value = record.value if isinstance(record.value, dict) else {}
    success = first_solved(map(value.get, _RESULTS))
    name = identifier(value.get("task_id"))
    of_steps = [dig(step, "model_output_message", "raw", "model") for step in steps]
    talks = [_opening(steps, value) + [message for step in steps for message in _messages(step)]]
    talks += [[*_inputs(step), _plan(step)] for step in steps if _is_plan(step) and _inputs(step)]
    return [
        Draft(
            normalize_messages(talk),
            task=f"smolagents/{name}" if name else None,
            success=success,
            model=first_text((value.get("model_id"), value.get("model"), *of_steps)),
            is_call=place > 0,
        )
        for place, talk in enumerate(talks)
    ]


def _opening(steps: list[_Raw], value: _Raw) -> list[_Raw]:
    """The messages before the first step, where the steps lack them: the system's prompt, and the task."""
    first = next((_inputs(step) for step in steps if _is_action(step) and _inputs(step)), [])
    opening: list[_Raw] = []
    if not any("system_prompt" in step for step in steps):
        prompt = value.get("system_prompt")
        text = prompt.get("system_prompt") if isinstance(prompt, dict) else prompt
        told = [{"role": "system", "content": text}] if text else []
        opening += told or [message for message in first[:1] if message.get("role") == "system"]
    if not any("task" in step for step in steps):
        asked = next((value[key] for key in ("task", "question") if isinstance(value.get(key), str)), None)
        users = [message for message in first if message.get("role") == "user"]
        opening += [{"role": "user", "content": asked}] if asked else users[:1]
    return opening


def _inputs(step: _Raw) -> list[_Raw]:
    """The messages that a step's model got, with roles that every chat has.

    What stands there of calls ("Calling tools: ...") is the program's, so it is context.
    """
    given = step.get("model_input_messages") or []
    return [_input(message) for message in given if isinstance(message, dict)]


def _input(message: _Raw) -> _Raw:
    role, content = message.get("role"), message.get("content")
    if role == "tool-call":
        return {"role": "assistant", "content": content, "weight": 0}
    return {"role": "user" if role == "tool-response" else role, "content": content}


def _messages(step: _Raw) -> list[_Raw]:
    if _is_plan(step):
        # Where the plan's own prompt is known, its call is a trajectory of its own.
        return [{**_plan(step), **({"weight": 0} if _inputs(step) else {})}]
    if _is_action(step):
        return _action(step)
    if "system_prompt" in step:
        return [{"role": "system", "content": step["system_prompt"]}]
    if "task" in step:
        images = [{"type": "image"} for _ in step.get("task_images") or ()]
        return [{"role": "user", "content": [step["task"], *images]}]
    return []


def _plan(step: _Raw) -> _Raw:
    return {"role": "assistant", "content": dig(step, "model_output_message", "content") or step["plan"]}


def _action(step: _Raw) -> list[_Raw]:
    said = step.get("model_output_message")
    said = said if isinstance(said, dict) else {}
    text = step.get("model_output") or said.get("content") or ""
    turn: _Raw = {"role": "assistant", "content": text}
    if reasoning := text_in(said.get("reasoning_content")) or _raw_reasoning(said):
        turn["reasoning_content"] = reasoning
    calls = said.get("tool_calls") or _own_calls(step, text if isinstance(text, str) else to_json(text))
    if calls:
        turn["tool_calls"] = calls
    messages = [turn] if text or calls or reasoning else []
    return messages + _answers(step, calls) + _last_answer(step, text)


def _last_answer(step: _Raw, text: Any) -> list[_Raw]:
    """The answer that the model gave, when asked for one, after its last step."""
    answer = step.get("action_output")
    is_asked_for = dig(step, "error", "type") == "AgentMaxStepsError" and not text
    if not is_asked_for or not isinstance(answer, str) or answer.startswith(_FAILED):
        return []
    return [{"role": "assistant", "content": answer}]


def _raw_reasoning(said: _Raw) -> str:
    return text_in(dig(first_object(dig(said, "raw", "choices")), "message", "reasoning_content"))


def _own_calls(step: _Raw, text: str) -> list[_Raw]:
    """The calls of a step that the model's text does not hold already."""
    return [call for call in step.get("tool_calls") or () if not _is_in(call, text)]


def _is_in(call: _Raw, text: str) -> bool:
    inner = call.get("function")
    function = inner if isinstance(inner, dict) else call
    name, arguments = function.get("name"), function.get("arguments")
    if name == _INTERPRETER and isinstance(arguments, str):
        return arguments.strip() in text
    return f'"{name}"' in text


def _answers(step: _Raw, calls: list[_Raw]) -> list[_Raw]:
    """What follows an action: what was observed, its images, and an error."""
    role = "tool" if calls else "user"
    only = calls[0].get("id") if len(calls) == 1 else None
    observed = [step["observations"]] if step.get("observations") else []
    observed += [{"type": "image"} for _ in step.get("observations_images") or ()]
    found: list[Any] = [observed] if observed else []
    error = step.get("error")
    told = error.get("message") if isinstance(error, dict) else error
    if told:
        found.append(told if isinstance(told, str) else to_json(told))
    return [
        {"role": role, "content": content, **({"tool_call_id": only} if only else {})} for content in found
    ]


SMOLAGENTS = Format(
    "smolagents",
    "smolagents runs and memories",
    lambda value: isinstance(value, dict) and not _is_step(value) and _steps(value) is not None,
    _read,
)
STEPS = Format(
    "smolagents_steps", "smolagents steps, one a line or an array", _is_step, _read, whole_file=True
)
