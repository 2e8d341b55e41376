"""OpenHands: outputs of evaluations, event files, and the events of its agent SDK."""

import json
from pathlib import Path

import pytest

from lar.errors import TrajectoryError
from lar.trajectories import Message
from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FILES = LOGS / "openhands"
SYSTEM: Message = {"role": "system", "content": "You keep the warehouse."}
BAY_4 = call("execute_bash", '{"command": "ls bay-4"}', "t1")
BAY_5 = call("execute_bash", '{"command":"ls bay-5", "timeout": 1.50}', "t2")


def test_replies_of_a_model_are_read_once_and_verbatim() -> None:
    modern, *_ = read(FILES / "output.jsonl")[0]
    assert modern.messages == [
        SYSTEM,
        user("Count the crates."),
        user("Bays are folders.\n\nEach crate is a file."),
        agent("I look at both bays.", BAY_4, BAY_5, thought="Two lists."),
        result("12 files", "execute_bash", "t1"),
        result("3 files", "execute_bash", "t2"),
        user("The last reply had no call."),
        agent("I counted both."),
        user("Then finish.[image]"),
        agent("", call("finish", '{"message": "Twelve and three."}', "t3")),
    ]
    assert (modern.task, modern.success, modern.model) == ("swe/acme__warehouse-7", True, "acme/acme-1-large")
    assert modern.tools is not None
    assert [tool["function"]["name"] for tool in modern.tools] == ["execute_bash"]


def test_older_releases_have_the_actions_alone() -> None:
    _, pairs, flat = read(FILES / "output.jsonl")[0]
    assert pairs.messages == [
        user("Is bay 6 empty?"),
        agent("I look.", call("run", '{"command": "ls bay-6"}')),
        result("nothing"),
        agent("", call("think", '{"thought": "It is empty."}')),
        result("Logged."),
        agent("It is empty.", call("finish", "{}")),
    ]
    assert (pairs.task, pairs.success, pairs.model) == ("stock_bench/stock-2", False, "acme-0")
    assert flat.messages == [
        user("Label bay 4."),
        agent("I label it.", call("run_ipython", '{"code": "label(4)"}')),
        result("labelled"),
        agent("Which colour?"),
        user("Red."),
        agent("It is red.", call("finish", "{}")),
    ]
    assert (flat.task, flat.success) == ("swe/acme__bays-5", True)


def test_broken_and_silent_records_are_problems(tmp_path: Path) -> None:
    asked = {"source": "user", "action": "message", "args": {"content": "Hello?"}}
    reply = {"role": "assistant", "content": "x", "tool_calls": 3}
    metadata = {"tool_call_id": "t", "model_response": {"id": "r", "choices": [{"message": reply}]}}
    ran = {"source": "agent", "observation": "run", "content": "x", "tool_call_metadata": metadata}
    lines = [json.loads(line) for line in (FILES / "output.jsonl").read_text().splitlines()]
    broken = [
        {"instance_id": name, "history": history} for name, history in (("b", [asked, ran]), ("s", [asked]))
    ]
    found, report = read(write_lines(tmp_path / "output.jsonl", lines + broken))
    assert len(found) == 3
    assert [(problem.line, problem.message) for problem in report.problems.records] == [
        (4, "message 2: tool_calls is not a list"),
        (5, "no turn of the agent"),
    ]


def test_an_event_file_with_a_delegate() -> None:
    (main, delegate), _ = read(FILES / "events.json", strict=True)
    assert main.messages == [
        user("Find the price."),
        user("cd shop"),
        user("in shop"),
        agent("I ask the browser.", call("delegate_to_browsing_agent", '{"task": "Read the page."}', "d1")),
        result("5", "delegate_to_browsing_agent", "d1"),
        user("The price is 5."),
        agent("It costs 5."),
    ]
    assert delegate.messages == [
        user("TASK: Read the page."),
        agent("I open it.", call("browse_interactive", '{"browser_actions": "goto(\'shop.example\')"}')),
        result("Price: 5"),
        agent("It costs 5.", call("finish", '{"outputs": {"content": "5"}}')),
    ]
    assert main.model == "acme/acme-1"


def test_events_of_the_agent_sdk() -> None:
    (found,), report = read(FILES / "sdk_events.jsonl", strict=True)
    assert found.messages == [
        {"role": "system", "content": "You keep the warehouse.\nIt is Sunday."},
        user("Count the crates.[image]Each crate is a file."),
        agent(
            "I look.",
            call("terminal", '{"command": "ls bay-4", "security_risk": "LOW"}', "t1"),
            call("terminal", '{"command": "ls bay-5"}', "t2"),
            thought="Two calls.",
        ),
        result("12 files", "terminal", "t1"),
        result("Action rejected: Not there.", "terminal", "t2"),
        user("Bay 4 was listed."),
        agent("Again.", call("terminal", '{"command": 5}', "t3"), thought="Once more."),
        result("command must be a text", "terminal", "t3"),
        agent("Twelve.", thought="I am sure."),
    ]
    assert found.model == "acme/acme-2"
    assert ("openhands_events", "[].thinking_blocks[].data") in report.left_out


def test_events_that_others_write_with_less(tmp_path: Path) -> None:
    events = [
        {
            "id": "1",
            "kind": "SystemPromptEvent",
            "source": "agent",
            "system_prompt": "Be brief.",
            "tools": ["x"],
        },
        {
            "id": "2",
            "kind": "MessageEvent",
            "source": "user",
            "llm_message": {"role": "user", "content": "Go."},
        },
        {
            "id": "3",
            "kind": "ActionEvent",
            "tool_name": "ls",
            "thought": "I look.",
            "action": {"path": "/", "kind": "L"},
        },
        {"id": "4", "kind": "ObservationEvent", "tool_name": "ls", "observation": "bay-4"},
    ]
    (found,), _ = read(write_lines(tmp_path / "events.jsonl", events), strict=True)
    assert found.messages == [
        {"role": "system", "content": "Be brief."},
        user("Go."),
        agent("I look.", call("ls", '{"path": "/"}')),
        result("bay-4", "ls"),
    ]


def test_outputs_of_the_agent_sdk() -> None:
    (found,), _ = read(FILES / "sdk_output.jsonl", strict=True)
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant"]
    assert (found.task, found.success, found.model) == ("swe/acme__warehouse-8", False, "acme/acme-2")


@pytest.mark.parametrize("given", ["", "conversation/events"])
def test_a_folder_of_events_is_one_conversation(tmp_path: Path, given: str) -> None:
    folder = tmp_path / "conversation" / "events"
    folder.mkdir(parents=True)
    lines = (FILES / "sdk_events.jsonl").read_text().splitlines()
    for place, line in enumerate(lines):
        (folder / f"event-{place:05}-e{place}.json").write_text(json.dumps(json.loads(line), indent=1))
    (folder.parent / "base_state.json").write_text("{}")
    (folder.parent / "event_cache").mkdir()
    (folder.parent / "event_cache" / "0-25.json").write_text(f"[{','.join(lines)}]")
    (found,), report = read(tmp_path / given, strict=True)
    assert len(found) == 9
    assert found.id.endswith("events:1")
    assert [files.files for files in report.not_read.values()] == ([] if given else [2])
    # One file that is broken costs its own event.
    (folder / "event-00003-e3.json").write_text("{")
    (found,), report = read(tmp_path / given)
    assert report.problems.count == 1


def test_one_event_is_no_conversation(tmp_path: Path) -> None:
    first, *_ = (FILES / "sdk_events.jsonl").read_text().splitlines()
    (tmp_path / "event-00000-e0.json").write_text(first)
    with pytest.raises(TrajectoryError, match="one event of a conversation"):
        read(tmp_path, strict=True)
    # Event files on end, which have no line ends.
    (tmp_path / "events.json").write_text("".join((FILES / "sdk_events.jsonl").read_text().splitlines()))
    (found,), _ = read(tmp_path / "events.json", strict=True)
    assert len(found) == 9


@pytest.mark.parametrize(
    ("graded", "success"),
    [
        ({"resolved": True}, True),
        ({"report": {"resolved": False}}, False),
        ({"test_result": {"result": {"passed": 1}}}, True),
        ({"test_result": {"score": 0.5}}, False),
        ({"test_result": {"score": float("nan")}}, None),
        ({"success": False}, False),
        ({"test_result": {"git_patch": ""}}, None),
    ],
)
def test_success_is_what_the_evaluation_found(
    tmp_path: Path, graded: dict[str, object], success: bool | None
) -> None:
    history = [{"source": "agent", "action": "message", "args": {"content": "Done."}}]
    (found,), _ = read(
        write_lines(tmp_path / "o.jsonl", [{"instance_id": "a", "history": history, **graded}])
    )
    assert found.success is success
