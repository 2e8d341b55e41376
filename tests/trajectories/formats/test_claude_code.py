"""Claude Code's sessions: the tree of entries, and what of it is a trajectory."""

import json
from pathlib import Path

import pytest

from lar.trajectories import Report, Trajectory, read_trajectories

LOGS = Path(__file__).parents[1] / "logs" / "claude_code"
SESSION = "5e551011-0000-4000-8000-000000000001"


def call(name, arguments, identifier):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def said(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, identifier):
    return {"role": "tool", "content": text, "tool_call_id": identifier}


def read(name: str, report: Report | None = None) -> list[Trajectory]:
    return list(read_trajectories(LOGS / name, strict=True, report=report))


def read_entries(tmp_path, *entries) -> list[Trajectory]:
    path = tmp_path / "session.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return list(read_trajectories(path, strict=True))


def entry(uuid, parent, kind, content, **more):
    message = {"role": kind, "content": content, **more.pop("message", {})}
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message, **more}


LOOK = said(
    "I look.",
    reasoning_content="I must look twice.",
    tool_calls=[
        call("Bash", '{"command": "ls bay4", "timeout": 1.5}', "toolu_1"),
        call("Read", '{"file_path": "/w/bay4.png"}', "toolu_2"),
    ],
)
RESULTS = [tool("12 crates\n", "toolu_1"), tool("[image]", "toolu_2")]
ASKED = user("How many crates stand in bay 4?")
QUEUED = user("Count the broken ones as well.")
TWELVE = said("Twelve crates, none broken.")


def test_lines_of_a_message_are_one_turn_and_a_branch_is_a_trajectory():
    first, second, *_ = read("session.jsonl")
    assert first.messages == [
        ASKED,
        LOOK,
        *RESULTS,
        QUEUED,
        TWELVE,
        user("And bay 5?"),
        said("Bay 5 is empty."),
    ]
    # The second branch learns only what is its own.
    assert second.messages == [
        ASKED,
        LOOK | {"weight": 0},
        *RESULTS,
        QUEUED,
        TWELVE | {"weight": 0},
        user("And bay 6?"),
        said("Bay 6 holds one."),
        user("Never answered."),
        user("[Request interrupted by user]"),
    ]


def test_after_a_compaction_a_trajectory_begins_with_the_summary():
    third = read("session.jsonl")[2]
    assert third.messages == [
        user("This session is being continued: crates were counted."),
        user("<command-message>tidy is running…</command-message>\n<command-name>/tidy</command-name>"),
        user("Put every crate in its bay."),
        said("", tool_calls=[call("Skill", '{"skill": "sort"}', "toolu_3")]),
        tool("Launching skill: sort", "toolu_3"),
        user("Base directory for this skill: /skills/sort"),
        said("Done."),
    ]


def test_side_chains_are_apart_and_have_the_session_as_their_task():
    found = read("session.jsonl") + read("subagents/agent-a17.jsonl")
    assert [run.id for run in found] == [
        SESSION,
        f"{SESSION}:2",
        f"{SESSION}:3",
        f"{SESSION}/sidechain",
        f"{SESSION}/a17",
    ]
    assert {run.task for run in found} == {SESSION}
    assert found[3].messages == [user("Find the labels."), said("Found two.")]
    assert found[3].model == "claude-small"
    assert found[4].messages == [
        user("Search the code for bays."),
        said("", tool_calls=[call("Grep", '{"pattern": "bay"}', "toolu_9")]),
        tool("src/bay.pysrc/row.py", "toolu_9"),
        said("Two files."),
    ]


def test_what_is_left_out_is_counted():
    report = Report()
    read("session.jsonl", report)
    left = {path: texts.characters for (_, path), texts in report.left_out.items()}
    # Caveat, reminder, a malformed entry, an error of the interface, a title, an image, redacted reasoning.
    assert left["[].message.content"] > 0
    assert left["[].message"] == len("not an object")
    assert left["[].message.content[].text"] == len("API Error: 529 overloaded")
    assert left["[].summary"] == len("Counting crates")
    assert left["[].message.content[].content[].source.data"] > 0
    assert left["[].message.content[].data"] > 0
    assert "[].message.content[].input.command" not in left


def test_entries_that_name_no_parent_are_one_conversation():
    (found,) = read("unlinked.jsonl")
    assert [message["content"] for message in found] == [
        "Open the gate.",
        "I open it.",
        "ok",
        "Open.",
        "Close it.",
        "Closed.",
    ]


def test_the_printed_stream():
    main, helper = read("stream.jsonl")
    assert main.messages == [
        said("I ask a helper.", tool_calls=[call("Task", '{"prompt": "Count."}', "t1")]),
        tool("Three.", "t1"),
        said("It is three."),
    ]
    assert helper.messages == [user("Count."), said("Three.")]
    assert (main.id, helper.id, helper.task) == ("str-1", "str-1/t1", "str-1")


def test_a_session_of_the_web():
    (found,) = read("web.json")
    assert found.messages == [user("Add a shelf."), said("Added.")]


def test_a_folder_of_projects_is_read_whole():
    report = Report()
    found = list(read_trajectories(LOGS, report=report))
    assert len(found) == 9
    assert list(report.formats) == ["claude_code"]
    assert not report.problems.count


def test_a_resumed_session_is_kept_once(tmp_path):
    old = [entry("a", None, "user", "Hi."), entry("b", "a", "assistant", "Hello.")]
    copy = [{**line, "sessionId": "s2"} for line in old]
    more = [entry("c", "b", "user", "Go on."), entry("d", "c", "assistant", "I go on.")]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    resumed = copy + [{**line, "sessionId": "s2"} for line in more]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in resumed + copy))
    (found,) = read_trajectories(tmp_path)
    assert [message["content"] for message in found] == ["Hi.", "Hello.", "Go on.", "I go on."]
    assert all("weight" not in message for message in found)


def test_a_fork_has_the_task_of_its_origin(tmp_path):
    origin = {"sessionId": "first", "messageUuid": "a"}
    (found,) = read_entries(
        tmp_path,
        entry("a2", None, "user", "Hi.", forkedFrom=origin),
        entry("b2", "a2", "assistant", "Hello.", forkedFrom=origin),
    )
    assert (found.id, found.task) == ("s", "first")


def test_what_a_fork_has_from_its_origin_counts_once(tmp_path):
    def session(name, *lines, **more):
        entries = [{**line, "sessionId": name, **more} for line in lines]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    use = [{"type": "tool_use", "id": "t1", "name": "Count", "input": {}}]
    shared = [
        entry("a", None, "user", "Hi."),
        entry("b", "a", "assistant", use),
        entry("c", "b", "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "12"}]),
        entry("d", "c", "assistant", "Twelve."),
    ]
    more = [entry("e", "d", "user", "And now?"), entry("f", "e", "assistant", "Now too.")]
    other = [entry("g", "d", "user", "Why?"), entry("h", "g", "assistant", "So.")]
    session("s", *shared, *more)
    session("fork", *shared, *other, forkedFrom={"sessionId": "s", "messageUuid": "d"})
    report = Report()
    fork, whole = read_trajectories(tmp_path, strict=True, report=report)
    weights = [[one.get("weight") for one in run if one["role"] == "assistant"] for run in (whole, fork)]
    assert weights == [[None, None, None], [0, 0, None]]
    assert (report.repeated, report.repeated_turns) == (0, 2)


def test_a_cleared_context_is_a_trajectory_of_its_own(tmp_path):
    first, second = read_entries(
        tmp_path,
        entry("a", None, "user", "Hi."),
        entry("b", "a", "assistant", "Hello."),
        entry("c", "b", "user", "<command-name>/clear</command-name>"),
        entry("d", "c", "user", "Who am I?"),
        entry("e", "d", "assistant", "I cannot know."),
    )
    assert [message["content"] for message in first] == ["Hi.", "Hello."]
    assert [message["content"] for message in second][1:] == ["Who am I?", "I cannot know."]


def test_a_side_chain_that_names_a_call_as_its_parent_is_apart(tmp_path):
    use = [{"type": "tool_use", "id": "1", "name": "Task", "input": {}}]
    main, side = read_entries(
        tmp_path,
        entry("a", None, "user", "Go."),
        entry("b", "a", "assistant", use),
        entry("c", "b", "user", "Search.", isSidechain=True),
        entry("d", "c", "assistant", "Found.", isSidechain=True),
        entry("e", "b", "user", [{"type": "tool_result", "tool_use_id": "1", "content": "Found."}]),
        entry("f", "e", "assistant", "Done."),
    )
    assert [message["role"] for message in main] == ["user", "assistant", "tool", "assistant"]
    assert side.messages == [user("Search."), said("Found.")]


def test_a_prompt_that_was_taken_back_is_no_branch(tmp_path):
    (found,) = read_entries(
        tmp_path,
        entry("a", None, "user", "Hi."),
        entry("b", "a", "assistant", "Hello."),
        entry("c", "b", "user", "Delete all."),
        entry("d", "b", "user", "Go on."),
        entry("e", "d", "assistant", "I go on."),
    )
    assert [message["content"] for message in found] == ["Hi.", "Hello.", "Go on.", "I go on."]


def test_sessions_in_one_file_are_apart(tmp_path):
    lines = [("s1", "user", "1"), ("s2", "user", "2"), ("s1", "assistant", "one"), ("s2", "assistant", "two")]
    found = read_entries(
        tmp_path,
        *(
            {"type": kind, "sessionId": session, "message": {"role": kind, "content": text}}
            for session, kind, text in lines
        ),
    )
    assert [run.id for run in found] == ["s1", "s2"]
    assert [run.messages[1]["content"] for run in found] == ["one", "two"]


def test_results_written_between_the_lines_of_a_message_belong_to_its_turn(tmp_path):
    one = {"message": {"id": "m", "model": "x"}}
    uses = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in "12"]
    results = [{"type": "tool_result", "tool_use_id": name, "content": name} for name in "12"]
    (found,) = read_entries(
        tmp_path,
        entry("a", None, "user", "Go."),
        entry("b", "a", "assistant", uses[:1], **one),
        entry("c", "b", "user", results[:1]),
        entry("d", "b", "assistant", uses[1:], message={"id": "m", "model": "x"}),
        entry("e", "d", "user", results[1:]),
        entry("f", "e", "assistant", "Done.", message={"id": "n"}),
    )
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "assistant"]
    assert len(found.messages[1]["tool_calls"]) == 2


@pytest.mark.parametrize(
    "line",
    [
        {"type": "summary", "summary": "A title", "leafUuid": "x"},
        {"type": "user", "sessionId": "s", "uuid": "a", "message": {"role": "user", "content": "Hi."}},
    ],
)
def test_a_log_without_a_turn_of_the_agent_is_one_clear_problem(tmp_path, line):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(line) + "\n")
    report = Report()
    with pytest.raises(ValueError, match="without a turn of the agent"):
        list(read_trajectories(path, report=report))
    assert report.problems.count == 1


def test_a_broken_line_is_a_problem_and_the_rest_is_read(tmp_path):
    path = tmp_path / "s.jsonl"
    lines = [
        json.dumps(entry("a", None, "user", "Hi.")),
        "{broken",
        json.dumps(entry("b", "a", "assistant", "Yes.")),
    ]
    path.write_text("\n".join(lines))
    report = Report()
    (found,) = read_trajectories(path, report=report)
    assert [message["content"] for message in found] == ["Hi.", "Yes."]
    assert report.problems.count == 1
    assert report.problems.records[0].line == 2
