"""Google's Agent Development Kit: sessions, and sets of evaluations."""

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FILES = LOGS / "adk"


def test_a_session() -> None:
    (found,), report = read(FILES / "session.json", strict=True)
    assert found.messages == [
        user("Count bay 4.[image]"),
        agent("I count.", call("count", '{"bay": 4}', "f1"), name="counter", thought="Use the tool."),
        result("12", "count", "f1"),
        agent("", call("code_execution", '{"code": "print(12)", "language": "PYTHON"}')),
        result("12\n", "code_execution"),
        agent("Twelve.", name="checker"),
    ]
    assert found.id == "s1"
    assert ("adk", "events[].content.parts[].inlineData.data") in report.left_out


def test_recorded_and_graded_evaluations() -> None:
    (recorded,), _ = read(FILES / "evals.json", strict=True)
    assert recorded.messages == [
        user("Open door 5."),
        agent("", call("open", '{"door": 5}')),
        result('{"ok": true, "door": 5}', "open"),
        agent("One moment.", name="opener"),
        agent("It is open."),
    ]
    assert (recorded.task, recorded.success) == ("adk/doors", None)
    (graded,), _ = read(FILES / "results.json", strict=True)
    assert graded.messages == [user("Open door 6."), agent("No.")]
    assert (graded.task, graded.success) == ("adk/doors", False)


def test_events_one_a_line(tmp_path) -> None:
    events = [
        {"invocation_id": "i", "author": "user", "content": {"role": "user", "parts": [{"text": "Hi"}]}},
        {
            "invocation_id": "i",
            "author": "helper",
            "content": {"role": "model", "parts": [{"text": "Hello."}]},
        },
    ]
    (found,), report = read(write_lines(tmp_path / "events.jsonl", events), strict=True)
    assert found.messages == [user("Hi"), agent("Hello.", name="helper")]
    assert set(report.formats) == {"adk_events"}


def test_a_part_may_hold_a_text_and_a_call(tmp_path) -> None:
    said = {"text": "I look.", "function_call": {"id": "f1", "name": "count", "args": {"bay": 4}}}
    told = {"function_response": {"id": "f1", "name": "count", "response": {"result": "12"}}}
    events = [
        {"invocation_id": "i", "author": "user", "content": {"role": "user", "parts": [{"text": "Count."}]}},
        {"invocation_id": "i", "author": "helper", "content": {"role": "model", "parts": [said]}},
        {"invocation_id": "i", "author": "helper", "content": {"role": "user", "parts": [told]}},
    ]
    (found,), _ = read(write_lines(tmp_path / "events.jsonl", events), strict=True)
    assert found.messages == [
        user("Count."),
        agent("I look.", call("count", '{"bay": 4}', "f1"), name="helper"),
        result("12", "count", "f1"),
    ]
