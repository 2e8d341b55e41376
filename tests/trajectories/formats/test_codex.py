"""Codex's sessions: items and events, compactions, turns taken back, and the older layouts."""

import json
from pathlib import Path

import pytest

from lar.trajectories import Report, Trajectory, read_trajectories

LOGS = Path(__file__).parents[1] / "logs" / "codex"
SESSION = "019f0000-0000-7000-8000-000000000001"
ROLLOUT = f"rollout-2026-01-01T00-00-00-{SESSION}.jsonl"


def call(name, arguments, identifier):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def said(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, identifier):
    return {"role": "tool", "content": text, "tool_call_id": identifier}


def read(name: str, report: Report | None = None) -> list[Trajectory]:
    return list(read_trajectories(LOGS / name, strict=True, report=report))


BEGINNING = [
    system("You are a warehouse clerk."),
    system("Never leave /w."),
    user("# AGENTS.md instructions for /w\n\nCount twice."),
    user("<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"),
    user("How many crates stand in bay 4?"),
    said(
        "I look.",
        reasoning_content="**Counting**\n\ntwice",
        tool_calls=[
            call("exec_command", '{"cmd":"ls bay4", "timeout": 1.50}', "c1"),
            call("mcp__store__list", '{"bay":4}', "c2"),
        ],
    ),
    system("Approved."),
    tool("12 crates\n", "c1"),
    tool("twelve[image]", "c2"),
    said(
        "",
        tool_calls=[
            call(
                "web_search",
                '{"type": "search", "query": "crate sizes", "queries": ["crate sizes"]}',
                None,
            )
        ],
    ),
    said(
        "",
        tool_calls=[call("apply_patch", '{"input": "*** Begin Patch\\n+12\\n*** End Patch"}', "c3")],
    ),
    tool('{"output":"Done!","metadata":{"exit_code":0}}', "c3"),
    said("", tool_calls=[call("local_shell", '{"type": "exec", "command": ["wc", "-l", "bay4"]}', "c4")]),
    tool('{"content": "12", "success": true}', "c4"),
    said("Twelve crates."),
]


def as_context(messages):
    return [one | {"weight": 0} if one["role"] == "assistant" else one for one in messages]


def test_items_are_read_and_events_that_repeat_them_are_not():
    first = read(ROLLOUT)[0]
    assert first.messages == [*BEGINNING, user("And bay 5?"), said("Bay 5 is empty.")]
    assert (first.id, first.task, first.model) == (SESSION, SESSION, "gpt-demo-codex")


def test_a_trajectory_ends_where_a_turn_is_taken_back_or_the_context_compacted():
    _, back, compacted, summed = read(ROLLOUT)
    assert back.messages == [*as_context(BEGINNING), user("And bay 6?"), said("Bay 6 holds one.")]
    assert compacted.messages == [
        BEGINNING[0],
        user("How many crates stand in bay 4?"),
        said("Twelve crates.", weight=0),
        user("Sum up."),
        said("Thirteen in all."),
    ]
    assert summed.messages == [
        BEGINNING[0],
        user("Thirteen crates were counted."),
        user("Goodbye."),
        said("Goodbye."),
        user("Never answered."),
    ]
    assert [run.id for run in (back, compacted, summed)] == [f"{SESSION}:{n}" for n in (2, 3, 4)]


def test_what_is_left_out_is_counted():
    report = Report()
    read(ROLLOUT, report)
    paths = {path for _, path in report.left_out}
    assert "[].payload.encrypted_content" in paths
    assert not [path for path in paths if path.endswith((".text", ".message", ".arguments", ".input"))]


def test_entries_without_a_payload():
    (found,) = read("rollout-legacy.jsonl")
    assert found.messages == [
        user("<user_instructions>\n\nBe brief.\n\n</user_instructions>"),
        user("Open the gate."),
        said(
            "",
            reasoning_content="The gate is shut.",
            tool_calls=[call("shell", '{"command":["open"]}', "k1")],
        ),
        tool('{"output":"ok","metadata":{"exit_code":0}}', "k1"),
        said("Open."),
    ]
    assert found.id == "leg-1"


def test_the_first_sessions_were_one_document():
    (found,) = read("rollout-first.json")
    assert found.messages == [
        user("List the bays."),
        said("", tool_calls=[call("shell", '{"command":["ls"]}', "k1")]),
        tool("4 5 6", "k1"),
        said("Three bays."),
    ]
    assert found.id == "first-1"


def test_a_log_that_has_only_events():
    (found,) = read("rollout-events.jsonl")
    assert found.messages == [
        user("Count the labels."),
        said(
            "",
            reasoning_content="Count.",
            tool_calls=[call("shell", '{"command": ["bash", "-lc", "ls"]}', "e1")],
        ),
        tool("label\n", "e1"),
        said("", tool_calls=[call("mcp__store__count", '{"bay": 4}', "e2")]),
        tool("12", "e2"),
        said("One label."),
    ]


def test_what_codex_exec_prints():
    (found,) = read("exec.jsonl")
    assert found.messages == [
        said(
            "",
            reasoning_content="Look first.",
            tool_calls=[call("shell", '{"command": "ls"}', "item_1")],
        ),
        tool("bay4\n", "item_1"),
        said("", tool_calls=[call("mcp__store__count", '{"bay": 4}', "item_2")]),
        tool("12", "item_2"),
        said("Twelve."),
    ]
    assert found.id == "th-1"


def test_forks_and_subagents_have_the_task_of_their_origin():
    fork, helper = read("rollout-fork.jsonl")
    assert (fork.id, fork.task, len(fork)) == ("fork-2", "fork-1", 4)
    assert (helper.id, helper.task, len(helper)) == ("sub-1", "fork-1", 2)


@pytest.mark.parametrize("name", ["a", "z"])
def test_what_a_fork_has_from_its_origin_counts_once(tmp_path, name):
    """Files of two forks before and after that of their origin; each goes on in another way."""

    def rollout(session, *texts, **meta):
        spoken = zip(("user", "assistant") * len(texts), texts, strict=False)
        items = [{"type": "message", "role": role, "content": text} for role, text in spoken]
        metas = [("session_meta", {"id": session, **meta})] + [META] * bool(meta)
        write(tmp_path / f"{session}.jsonl", *metas, *(("response_item", item) for item in items))

    rollout("s", "Hi.", "Hello.", "One?", "One.")
    rollout(name, "Hi.", "Hello.", "Two?", "Two.", forked_from_id="s")
    rollout("other", "Hi.", "Hello.", "Three?", "Three.", forked_from_id="s")
    rollout("copy", "Hi.", "Hello.", "One?", "One.", forked_from_id="s")
    rollout("again", "Hi.", "Hello.", "Four?", "Four.")  # says the same, and is no fork
    report = Report()
    found = {run.id: run.messages for run in read_trajectories(tmp_path, strict=True, report=report)}
    shared = [user("Hi."), said("Hello.", weight=0)]
    assert found == {
        "s": [user("Hi."), said("Hello."), user("One?"), said("One.")],
        name: [*shared, user("Two?"), said("Two.")],
        "other": [*shared, user("Three?"), said("Three.")],
        "again": [user("Hi."), said("Hello."), user("Four?"), said("Four.")],
    }
    assert (report.repeated, report.repeated_turns) == (1, 2)
    assert report.first_repeated.startswith(str(tmp_path / "copy.jsonl"))


def test_two_forks_of_a_session_that_is_not_there_have_its_turns_once(tmp_path):
    for name, text in {"b": "One?", "c": "Two?"}.items():
        spoken = (user("Hi."), said("Hello."), user(text), said(text))
        items = [("response_item", {"type": "message", **message}) for message in spoken]
        write(tmp_path / f"{name}.jsonl", ("session_meta", {"id": name, "forked_from_id": "s"}), *items)
    first, second = read_trajectories(tmp_path, strict=True)
    assert first.messages == [user("Hi."), said("Hello."), user("One?"), said("One?")]
    assert second.messages == [user("Hi."), said("Hello.", weight=0), user("Two?"), said("Two?")]


def write(path: Path, *payloads) -> Path:
    lines = [{"type": kind, "payload": payload} for kind, payload in payloads]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


META = ("session_meta", {"id": "s"})


def test_a_call_that_only_an_event_has(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        META,
        ("response_item", {"type": "message", "role": "user", "content": "Go."}),
        ("event_msg", {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{ }"}),
        ("event_msg", {"type": "function_call_output", "call_id": "c", "output": "1"}),
        ("response_item", {"type": "message", "role": "assistant", "content": "Done."}),
        ("event_msg", {"type": "agent_message", "message": "Done."}),
    )
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [
        user("Go."),
        said("", tool_calls=[call("f", "{ }", "c")]),
        tool("1", "c"),
        said("Done."),
    ]


CITED = "<oai-mem-citation>\n<rollout_ids>\n</rollout_ids>\n</oai-mem-citation>"
PLAN = "<proposed_plan>\n# Count\n- bay 4\n</proposed_plan>\n"


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        (f"Twelve.\n\n{CITED}", "Twelve.\n\n"),
        (f"Twelve.\n\n{CITED}", "Twelve."),
        (f"I plan.\n{PLAN}Shall I?", "I plan.\nShall I?"),
        (f"I plan.\n{PLAN}{CITED}", "I plan.\n"),
        (f"I plan.\n{PLAN}{CITED}", f"I plan.\n{PLAN}"),
        (f"Twelve. {CITED[:30]}", "Twelve. "),  # never closed
    ],
)
def test_a_text_that_the_screen_shows_without_its_marks_counts_once(tmp_path, wrote, shown):
    path = write(
        tmp_path / "r.jsonl",
        META,
        ("response_item", {"type": "message", "role": "user", "content": "Go."}),
        ("event_msg", {"type": "agent_message", "message": shown}),
        ("response_item", {"type": "message", "role": "assistant", "content": wrote}),
        ("event_msg", {"type": "agent_message", "message": "Something else."}),
    )
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [user("Go."), said(f"{wrote}\n\nSomething else.")]


def test_a_command_that_the_user_ran_is_no_call(tmp_path):
    event = {"call_id": "u", "command": ["bash", "-lc", "ls"], "source": "user_shell"}
    events = [
        ("event_msg", {"type": "user_message", "message": "Go."}),
        ("event_msg", {"type": "exec_command_begin", **event}),
        ("event_msg", {"type": "exec_command_end", **event, "formatted_output": "bay4", "exit_code": 0}),
        ("event_msg", {"type": "agent_message", "message": "Done."}),
    ]
    (found,) = read_trajectories(write(tmp_path / "r.jsonl", META, *events), strict=True)
    ran = "<user_shell_command>\n<command>\nls\n</command>\n<result>\nExit code: 0\nOutput:\nbay4\n</result>"
    assert found.messages == [user("Go."), user(f"{ran}\n</user_shell_command>"), said("Done.")]
    # The item, where there is one, is what the agent read.
    item = ran.replace("Output", "Duration: 0.1 seconds\nOutput") + "\n</user_shell_command>"
    items = [("response_item", {"type": "message", "role": "user", "content": item})]
    (found,) = read_trajectories(write(tmp_path / "r.jsonl", META, *events, *items), strict=True)
    assert found.messages == [user("Go."), said("Done."), user(item)]


def test_a_command_that_the_user_ran_begins_no_turn(tmp_path):
    ran = "<user_shell_command>\n<command>\nls\n</command>\n</user_shell_command>"
    spoken = (("user", "Hi."), ("assistant", "Hello."), ("user", "Count."), ("user", ran), ("assistant", "1"))
    items = [("response_item", {"type": "message", "role": role, "content": text}) for role, text in spoken]
    back = ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
    more = [("response_item", {"type": "message", "role": "user", "content": "Sum."}), (items[-1])]
    _, found = read_trajectories(write(tmp_path / "r.jsonl", META, *items, back, *more), strict=True)
    assert found.messages == [user("Hi."), said("Hello.", weight=0), user("Sum."), said("1")]


def test_a_prompt_that_was_taken_back_without_an_answer_is_no_trajectory(tmp_path):
    spoken = (("user", "Hi."), ("assistant", "Hello."), ("user", "Delete all."))
    items = [("response_item", {"type": "message", "role": role, "content": text}) for role, text in spoken]
    more = ("response_item", {"type": "message", "role": "assistant", "content": "Anything else?"})
    back = ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
    (found,) = read_trajectories(write(tmp_path / "r.jsonl", META, *items, back, more), strict=True)
    assert found.messages == [user("Hi."), said("Hello.\n\nAnything else?")]


def test_calls_within_a_call_are_not_the_agents(tmp_path):
    # The agent wrote one program, and that called a server's tool.
    path = write(
        tmp_path / "r.jsonl",
        META,
        ("response_item", {"type": "message", "role": "user", "content": "Go."}),
        ("response_item", {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "f()"}),
        (
            "event_msg",
            {
                "type": "mcp_tool_call_end",
                "call_id": "exec-1",
                "invocation": {"server": "s", "tool": "f"},
                "result": {"Ok": {"content": []}},
            },
        ),
        ("response_item", {"type": "custom_tool_call_output", "call_id": "c", "output": "1"}),
    )
    (found,) = read_trajectories(path, strict=True)
    assert [message["role"] for message in found] == ["user", "assistant", "tool"]
    assert found.messages[1]["tool_calls"] == [call("exec", '{"input": "f()"}', "c")]


def test_a_log_without_a_turn_of_the_agent_is_one_clear_problem(tmp_path):
    path = write(tmp_path / "r.jsonl", META, ("event_msg", {"type": "user_message", "message": "Hi."}))
    with pytest.raises(ValueError, match="without a turn of the agent"):
        list(read_trajectories(path))
