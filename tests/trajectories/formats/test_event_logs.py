"""Sessions of Copilot, Kimi and Grok, and the event streams of Droid and the Gemini CLI."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

SYSTEM = {"role": "system", "content": "Be brief."}
COUNT = call("count", '{"bay": 4}', "c1")


def test_copilot() -> None:
    (found, helper), report = read(LOGS / "copilot", strict=True)
    assert found.messages == [
        SYSTEM,
        user("<now>10:00</now>\nCount bay 4"),
        agent("I ask.", call("task", '{"prompt": "Count"}', "c1"), thought="One helper."),
        result("stopped", "task", "c1"),
        agent("Twelve."),
    ]
    assert helper.messages == [agent("", call("count", '{"bay":4}', "c2")), result("12", "count", "c2")]
    assert (found.id, helper.id, found.model) == ("cp-1", "cp-1/1", "acme-1")
    assert ("copilot", "[].data.message") in report.left_out


@pytest.mark.parametrize("place", ["agentId", "parentToolCallId"])
def test_the_agents_of_a_copilot_session_do_not_mix(tmp_path: Path, place: str) -> None:
    """Two helpers work at the same time; the name of each stands beside the data, or is the call within."""

    def event(kind: str, name: str | None, **data: Any) -> dict[str, Any]:
        inner = {"parentToolCallId": name} if name and place == "parentToolCallId" else {}
        outer = {"agentId": f"agent of {name}"} if name and place == "agentId" else {}
        return {"type": kind, "data": {**data, **inner}, **outer}

    def answers(name: str | None, *texts: str) -> list[dict[str, Any]]:
        return [event("assistant.message", name, content=text, toolRequests=[]) for text in texts]

    asked = [{"toolCallId": name, "name": "task", "arguments": {"bay": name}} for name in ("c1", "c2")]
    started = [
        {"type": "subagent.started", "data": {"toolCallId": name, "model": f"small-{name}"}, **outer}
        for name in ("c1", "c2")
        for outer in [{"agentId": f"agent of {name}"} if place == "agentId" else {}]
    ]
    ended = [
        event("tool.execution_complete", None, toolCallId=name, result={"content": "1"})
        for name in ("c1", "c2")
    ]
    events = [
        event("session.start", None, sessionId="s", selectedModel="large"),
        event("user.message", None, content="Count"),
        event("assistant.message", None, content="", toolRequests=asked),
        *started,
        *answers("c1", "One."),
        *answers("c2", "Two."),
        *answers("c1", "Really one."),
        *ended,
        # An event of the first helper as an older version writes it, among the others.
        {"type": "assistant.message", "data": {"content": "Bye.", "parentToolCallId": "c1"}},
        *answers(None, "Both."),
    ]
    (main, first, second), _ = read(write_lines(tmp_path / "events.jsonl", events), strict=True)
    calls = [call("task", '{"bay": "c1"}', "c1"), call("task", '{"bay": "c2"}', "c2")]
    results = [result("1", "task", "c1"), result("1", "task", "c2")]
    assert main.messages == [user("Count"), agent("", *calls), *results, agent("Both.")]
    assert first.messages == [agent("One."), agent("Really one."), agent("Bye.")]
    assert second.messages == [agent("Two.")]
    assert [run.model for run in (main, first, second)] == ["large", "small-c1", "small-c2"]


@pytest.mark.parametrize("name", ["wire.jsonl", "context.jsonl"])
def test_kimi(name: str) -> None:
    (found,), _ = read(LOGS / "kimi" / name, strict=True)
    assert found.messages[:5] == [
        SYSTEM,
        user("Count bay 4"),
        agent("I count.", COUNT, thought="One call."),
        result("12", None, "c1"),
        agent("Twelve."),
    ]
    if name == "wire.jsonl":
        assert found.messages[5:] == [user("Bay 4 holds twelve.")]
        assert found.model == "acme-1"
        assert found.tools is not None
        assert found.tools[0]["function"]["name"] == "count"


def kimi(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of `wire.jsonl` for messages, events of the loop and changes of the context."""
    kinds = {"message": "context.append_message", "event": "context.append_loop_event"}
    return [
        {"type": kinds[key], key: entry[key]} if (key := next(iter(entry))) in kinds else entry
        for entry in events
    ]


def asked(text: str, kind: str = "user") -> dict[str, Any]:
    parts = [{"type": "text", "text": text}]
    return {"message": {"role": "user", "content": parts, "toolCalls": [], "origin": {"kind": kind}}}


def step(name: str, text: str) -> list[dict[str, Any]]:
    part = {"type": "content.part", "stepUuid": name, "part": {"type": "text", "text": text}}
    begun, ended = ({"event": {"type": f"step.{edge}", "uuid": name}} for edge in ("begin", "end"))
    return [begun, {"event": part}, ended]


def compaction(**fields: Any) -> dict[str, Any]:
    return {"type": "context.apply_compaction", "summary": "Summed up.", **fields}


def undo(count: int) -> dict[str, Any]:
    return {"type": "context.undo", "count": count}


change = st.one_of(
    st.sampled_from(["ask", "answer", "remind", "clear", "compact", "compact all"]),
    st.integers(1, 3).map(lambda count: f"undo {count}"),
)


@given(st.lists(change, max_size=25))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_turn_of_a_kimi_session_counts_once_whatever_replaces_the_context(
    tmp_path: Path, changes: list[str]
) -> None:
    events = [asked("first"), *step("s", "answer -1")]
    for number, kind in enumerate(changes):
        events += {
            "ask": [asked(f"ask {number}")],
            "remind": [asked(f"remind {number}", "injection")],
            "answer": step(f"s{number}", f"answer {number}"),
            "clear": [{"type": "context.clear"}],
            "compact": [compaction(compactedCount=2)],
            "compact all": [compaction(compactedCount=2, keptUserMessageCount=1)],
        }.get(kind) or [undo(int(kind[-1]))]
    found, _ = read(write_lines(tmp_path / "wire.jsonl", kimi(*events)), strict=True)
    own = [message["content"] for run in found for message in run if message.get("weight") != 0]
    wrote = [f"answer {number}" for number, kind in enumerate(changes) if kind == "answer"]
    assert [text for text in own if text.startswith("answer")] == ["answer -1", *wrote]


def test_a_kimi_session_goes_on_with_what_was_left_of_the_context(tmp_path: Path) -> None:
    first = [asked("One?"), *step("s1", "One.")]
    undone = [asked("Two?"), *step("s2", "Two."), asked("Now.", "injection"), undo(1)]
    more = [asked("Three?"), *step("s3", "Three.")]
    kept = [compaction(compactedCount=4, keptUserMessageCount=2, contextSummary="In short: three.")]
    last = [asked("Four?"), *step("s4", "Four."), compaction(compactedCount=1), *step("s5", "Five.")]
    cleared = [{"type": "context.clear"}, asked("Anew?"), *step("s6", "Anew.")]
    log = write_lines(tmp_path / "wire.jsonl", kimi(*first, *undone, *more, *kept, *last, *cleared))
    found, _ = read(log, strict=True)
    said = [user("One?"), agent("One."), user("Two?"), agent("Two."), user("Now.")]
    rest = [user("One?"), agent("One.", weight=0), user("Three?")]
    short = [user("One?"), user("Three?"), user("In short: three."), user("Four?")]
    assert [run.messages for run in found] == [
        said,
        [*rest, agent("Three.")],
        [*short, agent("Four.")],
        [user("Summed up."), *short[1:], agent("Four.", weight=0), agent("Five.")],
        [user("Anew?"), agent("Anew.")],
    ]
    assert len({run.task for run in found[:4]}) == 1
    assert found[4].task != found[0].task


def test_the_calls_of_a_kimi_step_are_one_turn(tmp_path: Path) -> None:
    """A tool runs while the model still writes the next call."""
    begun, part, ended = step("s1", "I count.")
    calls = [
        {"event": {"type": "tool.call", "stepUuid": "s1", "toolCallId": name, "name": "count", "args": {}}}
        for name in ("c1", "c2")
    ]
    results = [
        {"event": {"type": "tool.result", "toolCallId": name, "result": {"output": "1"}}}
        for name in ("c1", "c2")
    ]
    events = [begun, part, calls[0], asked("Hurry.", "injection"), results[0], calls[1], results[1], ended]
    log = write_lines(tmp_path / "wire.jsonl", kimi(asked("Count"), *events, *step("s2", "Two.")))
    (found,), _ = read(log, strict=True)
    assert found.messages == [
        user("Count"),
        agent("I count.", call("count", "{}", "c1"), call("count", "{}", "c2")),
        result("1", None, "c1"),
        result("1", None, "c2"),
        user("Hurry."),
        agent("Two."),
    ]


def test_what_a_kimi_session_was_forked_from_counts_once(tmp_path: Path) -> None:
    said = [asked("One?"), *step("s1", "One.")]
    write_lines(tmp_path / "wire.jsonl", kimi(*said, asked("Two?"), *step("s2", "Two.")))
    fork = [*said, {"type": "forked"}, asked("Three?"), *step("s3", "Three.")]
    write_lines(tmp_path / "fork.jsonl", kimi(*fork))
    (forked, whole), report = read(tmp_path, strict=True)
    assert whole.messages == [user("One?"), agent("One."), user("Two?"), agent("Two.")]
    assert forked.messages == [user("One?"), agent("One.", weight=0), user("Three?"), agent("Three.")]
    assert report.repeated_turns == 1


def test_the_files_of_a_kimi_context_that_went_back_share_their_turns(tmp_path: Path) -> None:
    def context(name: str, time: str, *messages: Any) -> None:
        lines = [{"role": "_system_prompt", "content": f"It is {time}."}, {"role": "_checkpoint", "id": 0}]
        write_lines(tmp_path / f"{name}.jsonl", [*lines, *messages])

    said = [user("One?"), agent("One.")]
    context("context", "ten", *said, user("Two?"), agent("Two."))
    context("context_1", "ten", *said, user("Three?"), agent("Three."))
    context("other", "noon", *said, user("Four?"), agent("Four."))
    found, report = read(tmp_path, strict=True)
    weights = [[message.get("weight") for message in run.messages[2::2]] for run in found]
    assert weights == [[None, None], [0, None], [None, None]]
    assert report.repeated_turns == 1


def test_grok() -> None:
    (found,), _ = read(LOGS / "grok", strict=True)
    assert found.messages == [
        SYSTEM,
        user("<user_info>\nToday is Monday.\n</user_info>"),
        user("Count bay 4"),
        agent("I count.", call("count", '{"bay":4}', "c1"), thought="One call."),
        result("12", None, "c1"),
        agent("Twelve."),
    ]
    assert found.model == "acme-1"
    assert found.task == read(LOGS / "stream_json" / "droid.jsonl")[0][0].task


def test_the_stream_of_droid(tmp_path: Path) -> None:
    (found,), _ = read(LOGS / "stream_json" / "droid.jsonl", strict=True)
    assert found.messages == [
        user("Count bay 4"),
        agent("I count.", COUNT),
        result("12", None, "c1"),
        agent("Twelve."),
    ]
    assert (found.id, found.model) == ("d1", "acme-1")
    said = {"type": "message", "timestamp": 1, "role": "assistant", "text": "Yes."}
    end = {"type": "completion", "timestamp": 2, "finalText": "Yes."}
    entries = [{**entry, "sessionId": name} for name in ("a", "b") for entry in (said, end)]
    both, _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert [(item.id, item.messages) for item in both] == [("a", [agent("Yes.")]), ("b", [agent("Yes.")])]


def test_the_stream_of_the_gemini_cli() -> None:
    (found,), _ = read(LOGS / "stream_json" / "gemini.jsonl", strict=True)
    assert found.messages == [
        user("Count bay 4"),
        agent("I count.", COUNT, call("open", "{}", "c2")),
        result("12", None, "c1"),
        result("It is locked.", None, "c2"),
        agent("Twelve."),
    ]
    assert (found.id, found.model) == ("g1", "acme-2")


def test_antigravity() -> None:
    (found,), _ = read(LOGS / "antigravity", strict=True)
    now = "<ADDITIONAL_METADATA>\nIt is 21:16.\n</ADDITIONAL_METADATA>"
    asked = f"<USER_REQUEST>\nCount bay 4\n</USER_REQUEST>\n{now}"
    assert found.messages == [
        user(asked),
        agent("I look.", call("view_file", '{"path": "bay.txt"}'), thought="Two calls."),
        result("12", "view_file"),
        agent("", call("grep_search", '{"query": "12"}', "c-1")),
        result("bay.txt:1", "grep_search", "c-1"),
        user("The index is ready."),
        agent("Twelve."),
    ]
    assert found.task == "question:count bay 4"


def test_a_note_without_a_content_is_no_message(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Count"},
        {"role": "assistant", "content": "12"},
        {"role": "session_meta"},
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", [{"messages": messages}]), strict=True)
    assert found.messages == [user("Count"), agent("12")]
