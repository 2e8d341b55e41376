"""ATIF trajectories, and those that a record holds beside their rewards."""

import json
import shutil
from pathlib import Path

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FILES = LOGS / "atif"


def test_steps_and_an_embedded_agent() -> None:
    (main, checker), report = read(FILES / "trajectory.json", strict=True)
    assert main.messages == [
        {"role": "system", "content": "You keep the warehouse."},
        user("Count bay 4.[image]"),
        agent("I count.", call("count", '{"bay": 4}', "c1"), call("light", "{}", "c2"), thought="Two calls."),
        result("12", "count", "c1"),
        result("on[image]", "light", "c2"),
        agent("Now the check.", call("check", '{"share": 1.50}', "c3")),
        result("", "check", "c3"),
        user("The bay has a new label."),
        agent('{"commands": []}'),
        user("New output:\n"),
        agent("", call("keys", '{"keystrokes": "ls\\n"}', "c4"), call("keys", '{"keystrokes": "q"}', "c5")),
        result("bay-4"),
        agent("Twelve."),
    ]
    assert checker.messages == [user("Check it."), agent("Right.")]
    assert (main.model, checker.model, main.success) == ("acme-1", "acme-0", None)
    assert main.tools is not None
    # What the converter wrote for a bare call, and a note of the program.
    assert ("atif", "steps[].message") in report.left_out


def test_copied_steps_are_context() -> None:
    (found,), _ = read(FILES / "trajectory.cont-1.json", strict=True)
    assert found.messages == [
        user("You go on with a count."),
        agent("What was counted?", weight=0),
        user("Bay 4."),
        agent("Then bay 5."),
        agent("Stopped by the program.", weight=0),
    ]
    assert found.success is False


def test_copied_steps_are_the_agents_where_the_trajectory_they_are_from_is_dropped(tmp_path: Path) -> None:
    head = {"schema_version": "ATIF-v1.6", "agent": {"name": "a"}}
    asked = [{"source": "user", "message": "Count."}, {"source": "agent", "message": "Bay 4?"}]
    more = [{"source": "user", "message": "Yes."}, {"source": "agent", "message": "Twelve."}]
    copied = [step | {"is_copied_context": True} for step in asked]
    for name, steps in {"trajectory.json": asked, "trajectory.cont-1.json": [*copied, *more]}.items():
        (tmp_path / name).write_text(json.dumps({**head, "steps": steps}))
    (found,), report = read(tmp_path, strict=True)
    assert found.messages == [user("Count."), agent("Bay 4?"), user("Yes."), agent("Twelve.")]
    assert report.repeated == 1


def test_embedded_agents_before_the_steps(tmp_path: Path) -> None:
    document = json.loads((FILES / "trajectory.json").read_text())
    inner = {"subagent_trajectories": document["subagent_trajectories"]}
    (tmp_path / "trajectory.json").write_text(json.dumps(inner | document, indent=1))
    found, _ = read(tmp_path / "trajectory.json", strict=True)
    assert sorted(len(item) for item in found) == [2, 13]


def test_rewards_and_tasks_beside_a_trajectory() -> None:
    (first, second), _ = read(FILES / "trials.jsonl", strict=True)
    assert (first.task, first.success) == ("atif/count-crates", True)
    assert (second.task, second.success) == ("swe/acme__bays-5", None)


def test_broken_trajectories_are_problems(tmp_path: Path) -> None:
    head = {"schema_version": "ATIF-v1.6", "session_id": "s", "agent": {"name": "a"}}
    nameless = {"source": "agent", "message": "x", "tool_calls": [{"arguments": {}}]}
    good = [{"source": "user", "message": "x"}, {"source": "agent", "message": "y"}]
    lines = [{**head, "steps": steps} for steps in ([nameless], [], good)]
    found, report = read(write_lines(tmp_path / "runs.jsonl", lines))
    assert len(found) == 1
    assert [problem.line for problem in report.problems.records] == [1, 2]
    assert report.problems.records[1].message == "an ATIF trajectory without steps"


def test_the_result_of_a_trial_stands_in_a_file_beside_it() -> None:
    for path in (FILES / "trial" / "agent" / "trajectory.json", FILES / "trial", FILES / "trial" / "agent"):
        (found,), _ = read(path, strict=True)
        assert (found.task, found.success) == ("atif/stack-crates", True)


def test_a_trial_without_a_trajectory_is_a_problem(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "verifier").mkdir(parents=True)
        shutil.copy(FILES / "trial" / "result.json", tmp_path / name)
    shutil.copytree(FILES / "trial" / "agent", tmp_path / "one" / "agent")
    (tmp_path / "one" / "verifier" / "reward.txt").write_text("1")
    (tmp_path / "config.json").write_text("{}")
    (found,), report = read(tmp_path)
    assert found.success is True
    assert [str(problem.path) for problem in report.problems.records] == [
        str(tmp_path / "two" / "result.json")
    ]
