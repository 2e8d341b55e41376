"""smolagents: runs with their steps, and steps alone."""

from pathlib import Path
from typing import Any

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FILES = LOGS / "smolagents"
CODE = "Thought: I count.\n<code>\nprint(count(4))\n</code>"


def test_a_run_of_a_code_agent() -> None:
    (main, plan), report = read(FILES / "run.json", strict=True)
    assert main.messages == [
        {"role": "system", "content": "You write code."},
        user("How many crates stand in bay 4?"),
        agent("1. Count.", weight=0),
        agent(CODE, thought="Simple."),
        user("Execution logs:\n12\n"),
        agent("Twelve."),
        user("No code was found."),
    ]
    assert plan.messages == [
        {"role": "system", "content": "You plan."},
        user("Plan a count."),
        agent("1. Count."),
    ]
    assert main.model == "acme/coder-1"
    assert ("smolagents", "steps[].plan") in report.left_out


def test_steps_of_an_agent_that_calls_tools() -> None:
    (found,), _ = read(FILES / "steps.jsonl", strict=True)
    assert found.messages == [
        {"role": "system", "content": "You call tools."},
        user("Open bay 5."),
        agent("I open it.", call("open", '{"bay": 5.0}', "c1")),
        result("open[image]", None, "c1"),
        agent("", call("final_answer", '{"answer": "open"}', "c2")),
        result("open", None, "c2"),
    ]


def action(number: int, **more: Any) -> dict[str, Any]:
    return {"step_number": number, "tool_calls": [], "observations": None, "model_output": None} | more


def test_the_answer_that_an_agent_gives_when_its_steps_are_used_up(tmp_path: Path) -> None:
    """The program asks the model for it; an error that it writes in its place is no answer."""
    error = {"type": "AgentMaxStepsError", "message": "Reached max steps."}
    for answer, told in {
        "Twelve.": [agent("Twelve.")],
        "Error in generating final LLM output:\n503": [],
    }.items():
        last = action(2, error=error, action_output=answer)
        steps = [{"task": "Count."}, action(1, model_output=CODE, observations="12"), last]
        (found,), _ = read(write_lines(tmp_path / "steps.jsonl", steps), strict=True)
        assert found.messages == [user("Count."), agent(CODE), user("12"), user("Reached max steps."), *told]


def test_a_plan_without_its_prompt_is_a_turn_of_the_agent(tmp_path: Path) -> None:
    """Short dumps of a memory leave out what the model was asked."""
    plan = {"plan": "Here is the plan: 1. Count.", "model_output_message": {"content": "1. Count."}}
    steps = [{"task": "Count."}, plan, action(1, model_output=CODE, observations="12")]
    (found,), _ = read(write_lines(tmp_path / "steps.jsonl", steps), strict=True)
    assert found.messages == [user("Count."), agent("1. Count."), agent(CODE), user("12")]


def test_what_the_program_writes_of_calls_is_context(tmp_path: Path) -> None:
    given = [
        {"role": "user", "content": "Count."},
        {"role": "tool-call", "content": "Calling tools:\n[{'name': 'count'}]"},
        {"role": "tool-response", "content": "Observation:\n12"},
    ]
    output = {"content": "2. Answer."}
    plan = {"plan": "2. Answer.", "model_input_messages": given, "model_output_message": output}
    steps = [{"task": "Count."}, action(1, model_output=CODE, observations="12"), plan]
    (_, planned), _ = read(write_lines(tmp_path / "steps.jsonl", steps), strict=True)
    called = agent("Calling tools:\n[{'name': 'count'}]", weight=0)
    assert planned.messages == [user("Count."), called, user("Observation:\n12"), agent("2. Answer.")]
