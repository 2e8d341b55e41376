"""smolagents: runs with their steps, and steps alone."""

from testing.sessions import LOGS, agent, call, read, result, user

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
