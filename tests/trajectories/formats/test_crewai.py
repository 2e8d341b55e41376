"""CrewAI: outputs of crews, and their log files."""

from testing.sessions import LOGS, agent, read, user


def test_outputs_of_tasks() -> None:
    (count, check), _ = read(LOGS / "crewai" / "output.json", strict=True)
    assert count.messages == [
        {"role": "system", "content": "You count."},
        user("Current Task: Count bay 4."),
        agent("Thought: I know it.\nFinal Answer: Twelve."),
    ]
    assert check.messages == [user("Check it."), agent("Right.", name="Checker")]
    assert count.task == "crewai/count"


def test_a_log_file() -> None:
    (found,), report = read(LOGS / "crewai" / "log.json", strict=True)
    assert found.messages == [user("Count bay 4."), agent("Twelve.", name="Counter")]
    assert set(report.formats) == {"crewai_log"}
