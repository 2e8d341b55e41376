"""AutoGen: messages and states of 0.4, group chats of 0.2, and which names are the agent."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Message, write_trajectories
from lar.trajectories.formats.frameworks import names
from lar.trajectories.formats.frameworks.group_chat import cast_where_names_decide
from testing.sessions import LOGS, agent, call, read, result, user, write_lines

COUNT = call("count", '{"bay": 4}', "c1")
LIGHT = call("light", "{}", "c2")


def named(message: Message, name: str) -> Message:
    return {**message, "name": name}


def test_messages_and_events() -> None:
    (found,), _ = read(LOGS / "autogen" / "messages.jsonl", strict=True)
    assert found.messages == [
        named(user("Count bay 4."), "user"),
        user("Crates are red."),
        agent("I count and switch on the light.", COUNT, LIGHT, name="counter"),
        result("12", "count", "c1"),
        result("on", "light", "c2"),
        agent("```python\nprint(12)\n```", name="coder"),
        result("12\n", "coder"),
        result("The script ran: 12", "ComputerTerminal"),
        agent("Twelve is right.", name="checker", thought="All agree."),
        named(user("Is this it?[image]"), "user_proxy"),
        agent('{"crates": 12}', name="checker"),
        agent("I hand over to the user.", name="checker", weight=0),
        named(user("Maximum number of messages reached."), "MaxMessageTermination"),
    ]


def test_a_state_has_what_each_agent_saw() -> None:
    (counter, checker), _ = read(LOGS / "autogen" / "state.json", strict=True)
    assert counter.messages == [
        named(user("Count bay 4."), "user"),
        agent("I count.", COUNT, name="counter"),
        result("12", "count", "c1"),
        agent("Twelve.", name="counter", thought="Easy."),
    ]
    assert checker.messages == [
        named(user("Count bay 4."), "user"),
        named(user("Twelve."), "counter"),
        agent("Right.", name="checker"),
    ]


def test_group_chats() -> None:
    (turned, by_role, with_calls, people), report = read(LOGS / "group_chat" / "chats.jsonl", strict=True)
    assert turned.messages == [
        named(user("Count the crates."), "user_proxy"),
        agent("```python\nprint(12)\n```", name="assistant"),
        result("exitcode: 0 (execution succeeded)\nCode output: 12", "user_proxy"),
        agent("Twelve. TERMINATE", name="assistant"),
    ]
    assert by_role.messages == [
        user("How many?"),
        agent("Ask the surfer.", name="Orchestrator"),
        agent("I read twelve.", name="WebSurfer"),
        result("ran", "ComputerTerminal"),
        agent("Twelve."),
    ]
    assert (by_role.task, by_role.success) == ("q-2", True)
    assert with_calls.messages == [
        named(user("Plan it."), "Admin"),
        agent("", call("count", '{"bay": 1.50}', "c1"), name="Engineer"),
        result("3", None, "c1"),
        agent("Right.", name="Critic"),
    ]
    # Names of people contradict no role.
    assert [message["role"] for message in people.messages] == ["system", "user", "user", "assistant"]
    assert set(report.formats) == {"group_chat", "chat"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Planner", "assistant"),
        ("Checker", "assistant"),
        ("WebSurfer", "assistant"),
        ("PythonDebugging_Expert", "assistant"),
        ("User_Research_Expert", "assistant"),
        ("Environmental_Scientist", "assistant"),
        ("assistant", "assistant"),
        ("customer_service_agent", "assistant"),
        ("Computer_terminal", "tool"),
        ("ComputerTerminal", "tool"),
        ("code_executor_agent", "tool"),
        ("CodeExecutorAgent", "tool"),
        ("code_interpreter", "tool"),
        ("user", "user"),
        ("user_proxy", "user"),
        ("UserProxyAgent", "user"),
        ("human_admin", "user"),
        ("Admin", "user"),
        ("User_1", "user"),
        ("", "assistant"),
    ],
)
def test_whose_turns_a_name_has(name: str, part: str) -> None:
    assert names.part_of(name) == part


@pytest.mark.parametrize(
    ("said", "decides"),
    [
        ([("assistant", "Planner", "x"), ("user", "Terminal", "y")], True),
        ([("assistant", "user_proxy", "x"), ("user", "assistant", "y")], True),
        ([("user", "user_proxy", "exitcode: 1 (execution failed)"), ("assistant", "assistant", "y")], True),
        ([("assistant", "A", "x"), ("user", "B", "TERMINATE")], True),
        ([("assistant", "Web_Expert", "x"), ("user", "Law_Expert", "y")], True),
        ([("user", "user", "x"), ("assistant", "assistant", "y")], False),
        ([("user", "alice", "x"), ("user", "bob", "x"), ("assistant", "helper", "y")], False),
        ([("assistant", "Planner", "x"), ("assistant", "Planner", "y")], False),
        ([("assistant", "cathy", "x"), ("user", "assistant", "y")], True),
        ([("user", "Research_Agent", "x"), ("user", "Law_Agent", "y"), ("assistant", "helper", "z")], True),
        ([("user", "Alice", "x"), ("assistant", "ToolAgent", "y")], False),
        ([("user", "user", "x"), ("assistant", "Planner", "y"), ("assistant", "ToolAgent", "z")], False),
        ([("user", "ops_engineer", "x"), ("assistant", "helper", "y")], False),
        ([("user", "ops_engineer", "x"), ("assistant", "assistant", "y")], False),
        ([("user", "ops_engineer", "x"), ("assistant", "terminal_helper", "exit code: 1")], False),
    ],
)
def test_names_decide_where_they_contradict_the_roles(
    said: list[tuple[str, str, str]], decides: bool
) -> None:
    assert names.decide(said) is decides


PEOPLE = st.sampled_from(["Alice", "bob", "Maria Lopez", "u-17", "user"])
HELPERS = st.sampled_from(["ToolAgent", "terminal_helper", "SupportBot", "code_reviewer", "helper", "Bob"])
CONTENTS = st.sampled_from(["Restart node 4", "exit code: 1", "", None])


@given(st.lists(st.tuples(PEOPLE, CONTENTS), min_size=1), st.lists(st.tuples(HELPERS, CONTENTS), min_size=1))
def test_the_roles_stand_where_people_ask(
    asked: list[tuple[str, str | None]], said: list[tuple[str, str | None]]
) -> None:
    if any(name == "user" and content == "exit code: 1" for name, content in asked):
        return  # a user's proxy that ran code
    messages = [{"role": "user", "name": name, "content": content} for name, content in asked]
    messages += [{"role": "assistant", "name": name, "content": content} for name, content in said]
    assert cast_where_names_decide(messages) == messages


@pytest.mark.parametrize("is_lines", [True, False])
@pytest.mark.parametrize(
    ("asker", "helper"),
    [("Alice", "ToolAgent"), ("Alice", "terminal_helper"), ("ops_engineer", "helper")],
)
def test_a_chat_of_two_keeps_its_roles(tmp_path: Path, asker: str, helper: str, is_lines: bool) -> None:
    asked, said = named(user("Please restart node 4"), asker), agent("I will restart it.", name=helper)
    messages = [asked, said, named(user("Thanks"), asker), agent("Done.", name=helper)]
    log = messages if is_lines else [{"messages": messages}]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", log), strict=True)
    assert found.messages == messages


@pytest.mark.parametrize(
    ("said", "roles"),
    [
        # The log of a user's proxy, where all others are a user.
        (["assistant user_proxy", "user cathy", "user Terminal"], ["user", "assistant", "tool"]),
        # The thread of a group, where all are.
        (["user user_proxy", "user cathy", "user Planner"], ["user", "assistant", "assistant"]),
        # A person beside a team keeps the role.
        (["user Alice", "user Planner", "assistant Coder"], ["user", "assistant", "assistant"]),
    ],
)
def test_the_role_of_a_name_that_tells_nothing(said: list[str], roles: list[str]) -> None:
    speakers = [one.split() for one in said]
    messages = [{"role": role, "name": name, "content": "x"} for role, name in speakers]
    assert [message["role"] for message in cast_where_names_decide(messages)] == roles


@pytest.mark.parametrize(
    "messages",
    [
        [
            {"from": "Planner", "value": "Count."},
            {"from": "Computer_terminal", "value": "12"},
            {"from": "Checker", "value": "Right."},
        ],
        [
            {"sender": "Planner", "receiver": "all", "message": "Count."},
            {"sender": "Computer_terminal", "message": "12"},
            {"sender": "Checker", "message": "Right."},
        ],
        [
            {"role": "user", "name": "Planner", "content": "Count."},
            {"role": "assistant", "name": "Computer_terminal", "content": "12"},
            {"role": "user", "name": "Checker", "content": "Right.", "tool_calls": None},
        ],
        [
            {"role": "user", "speaker": "Planner", "content": "Count."},
            {"role": "user", "speaker": "Computer_terminal", "content": "12"},
            {"role": "user", "speaker": "Checker", "content": "Right."},
        ],
    ],
)
@pytest.mark.parametrize("key", ["history", "messages", "conversations", None])
def test_names_in_every_dialect(tmp_path: Path, messages: list[dict[str, object]], key: str | None) -> None:
    log = messages if key is None else {key: messages}
    (tmp_path / "log.json").write_text(json.dumps([log]))
    (found,), _ = read(tmp_path / "log.json", strict=True)
    assert found.messages == [
        agent("Count.", name="Planner"),
        result("12", "Computer_terminal"),
        agent("Right.", name="Checker"),
    ]


def test_a_group_chat_with_one_message_a_line(tmp_path: Path) -> None:
    messages = [
        {"role": "assistant", "name": "user_proxy", "content": "Count."},
        {"role": "user", "name": "assistant", "content": "Twelve."},
    ]
    (found,), report = read(write_lines(tmp_path / "log.jsonl", messages), strict=True)
    assert [message["role"] for message in found.messages] == ["user", "assistant"]
    assert set(report.formats) == {"message_lines"}


def test_a_call_of_one_agents_model_keeps_its_roles(tmp_path: Path) -> None:
    asked = [
        {"role": "user", "name": "Planner", "content": "Count."},
        {"role": "user", "name": "Computer_terminal", "content": "12"},
    ]
    reply = {"choices": [{"message": {"role": "assistant", "content": "Right."}}]}
    (tmp_path / "log.json").write_text(json.dumps({"messages": asked, "response": reply}))
    (found,), _ = read(tmp_path / "log.json", strict=True)
    assert [message["role"] for message in found.messages] == ["user", "user", "assistant"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_written_chat_keeps_its_roles(tmp_path: Path, suffix: str) -> None:
    found, _ = read(LOGS / "autogen" / "state.json", strict=True)
    write_trajectories(found, tmp_path / f"t.{suffix}")
    assert read(tmp_path / f"t.{suffix}", strict=True)[0] == found


def test_people_alone_are_no_agents(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(
        json.dumps({"messages": [{"sender": "Ann", "text": "Hi"}, {"sender": "Bo", "text": "Hello"}]})
    )
    with pytest.raises(TrajectoryError):
        read(tmp_path / "log.json", strict=True)
