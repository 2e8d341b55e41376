"""A log of single model calls: the history that each call repeats is kept once, with nothing of it lost."""

import gc
import json
import tracemalloc
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.dialects.messages import is_spoken
from lar.trajectories.importing import import_logs
from lar.trajectories.long_turns import LONG
from lar.trajectories.openings import opening
from lar.trajectories.record import Found
from lar.trajectories.repeats import Repeats
from lar.trajectories.report import is_own
from lar.trajectories.waiting import WaitingRows

SYSTEM = {"role": "system", "content": "You count."}
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def reply(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def exchange(history: list[Any], answer: dict[str, Any], **request: Any) -> dict[str, Any]:
    return {"request": {"messages": history, **request}, "response": {"choices": [{"message": answer}]}}


def read(*records: Any) -> tuple[list[Trajectory], Report]:
    report = Report()
    return list(read_trajectories(list(records), report=report)), report


turn = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))


@given(st.lists(st.lists(turn, min_size=1, max_size=4), min_size=1, max_size=4), st.randoms())
@settings(deadline=None, max_examples=60)
def test_any_log_of_calls_gives_the_conversations_that_are_no_beginnings(talks, random):
    """Against brute force: of all calls in any order, those whose messages begin no other's."""
    calls = {tuple(talk[:end]) for talk in talks for end in range(1, len(talk) + 1)}
    longest = {call for call in calls if not any(other[: len(call)] == call != other for other in calls)}
    records = []
    for call in [*calls, *calls]:  # each call twice, as a client that tried again
        messages = [message for asked, said in call for message in (user(asked), reply(said))]
        records.append(exchange([SYSTEM, *messages[:-1]], messages[-1]))
    random.shuffle(records)
    found, report = read(*records)
    texts = [tuple(message["content"] for message in item.messages[1:]) for item in found]
    assert sorted(texts) == sorted(tuple(text for pair in call for text in pair) for call in longest)
    assert report.repeated == len(records) - len(longest)
    assert report.formats["chat"].trajectories == len(records)
    assert own_turns(found) == len(calls)
    assert report.repeated_turns == sum(map(len, longest)) - len(calls)


def own_turns(found: list[Trajectory]) -> int:
    return sum(is_own(message) for item in found for message in item)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=6), st.randoms())
@settings(deadline=None, max_examples=60)
def test_each_turn_counts_once_whichever_results_a_client_clears(
    cleared: list[set[int]], random: Random
) -> None:
    """Each call has a history in which other results of tools are replaced."""

    def turn(number: int) -> dict[str, Any]:
        called = {"id": str(number), "type": "function", "function": {"name": "count", "arguments": "{}"}}
        return reply(f"step {number}", tool_calls=[called])

    def result(number: int, is_cleared: bool) -> dict[str, Any]:
        text = "[cleared]" if is_cleared else f"result {number}"
        return {"role": "tool", "content": text, "tool_call_id": str(number)}

    records = [
        exchange(
            [user("a")]
            + [one for place in range(end) for one in (turn(place), result(place, place in gone))],
            turn(end),
        )
        for end, gone in enumerate(cleared)
    ]
    random.shuffle(records)
    found, report = read(*records)
    assert own_turns(found) == len(records)
    assert report.repeated_turns == sum(is_spoken(one) for item in found for one in item) - len(records)
    assert len(found) + report.repeated == len(records)
    for item in found:  # each turn counts where it was written: with what the model read
        assert item.messages[-1].get("weight") != 0


called = st.tuples(*[st.sampled_from("xyz")] * 3)


@given(st.lists(called, min_size=1, max_size=6), st.lists(called, max_size=2))
@settings(deadline=None, max_examples=60)
def test_equal_texts_of_another_model_system_or_thought_are_another_reply(
    replies: list[tuple[str, ...]], longer: list[tuple[str, ...]]
) -> None:
    """Against brute force; each longer conversation goes on from the call that has the most in common."""

    def record(call: tuple[str, ...], *after: Any) -> dict[str, Any]:
        model, system, thought = call
        said = reply("b", **({} if after else {"reasoning_content": thought}))  # clients leave it out
        turns = [{"role": "system", "content": system}, user("a"), said, *after]
        return exchange(turns[:-1], turns[-1], model=model)

    tails = [(user(f"c{number}"), reply("d")) for number in range(len(longer))]
    records = [record(call) for call in replies]
    records += [record(call, *tail) for call, tail in zip(longer, tails, strict=True)]
    found, report = read(*records)
    kinds = list(dict.fromkeys(replies))
    gone_on = {max(kinds, key=lambda kind: (kind[0] == call[0], kind[1] == call[1])) for call in longer}
    assert len(found) == len(kinds) - len(gone_on) + len(longer)
    assert report.repeated == len(records) - len(found)
    assert own_turns(found) == len(kinds) + len(longer)


def test_two_runs_that_begin_alike_have_their_turns_where_ids_tell_them_apart() -> None:
    def run(name: str, answer: str) -> list[dict[str, Any]]:
        called = {"id": name, "type": "function", "function": {"name": "count", "arguments": "{}"}}
        first = reply("", tool_calls=[called])
        result = {"role": "tool", "content": answer, "tool_call_id": name}
        return [exchange([user("a")], first), exchange([user("a"), first, result], reply(answer))]

    for names, turns in {("1", "2"): 4, ("1", "1"): 3}.items():
        found, report = read(*run(names[0], "twelve"), *run(names[1], "none"))
        assert (len(found), report.repeated) == (2, 2)
        assert own_turns(found) == turns
        assert [item.messages[1]["tool_calls"][0]["id"] for item in found] == list(names)


def test_a_call_that_two_loggers_hold_is_one_where_one_of_them_lacks_something() -> None:
    told = exchange([SYSTEM, user("a")], reply("b", reasoning_content="Hm."), model="m")
    plain = exchange([user("a")], reply("b"))
    other = exchange([SYSTEM, user("a")], reply("b"), model="n")
    found, report = read(told, plain, other)
    assert [item.model for item in found] == ["m", "n"]
    assert report.repeated == 1


@given(st.lists(st.sampled_from([None, True, False]), min_size=2, max_size=5), st.sampled_from(["n", "a"]))
@settings(deadline=None, max_examples=60)
def test_the_outcome_of_a_call_hides_no_history(outcomes: list[bool | None], interface: str) -> None:
    """A proxy's flag tells whether the service answered; the conversation has that of its last call."""
    tools = [{"name": "count", "input_schema": {}}] if interface == "a" else []
    said = [message for place in range(len(outcomes)) for message in (user(f"a{place}"), reply(f"b{place}"))]
    pairs = zip(said[::2], said[1::2], strict=True)
    records = [
        {
            "request": {"messages": [*said[: 2 * place], asked], "tools": tools},
            "response": {**({"type": "message"} if tools else {}), **answer},
            "success": outcomes[place],
        }
        for place, (asked, answer) in enumerate(pairs)
    ]
    [found], report = read(*records)
    assert (found.messages, found.success) == (said, outcomes[-1])
    assert report.repeated == len(records) - 1
    lost = report.left_out.get(("(repeated)", "success"))
    others = [one for one in outcomes if one not in (None, outcomes[-1])]
    assert (lost.records if lost else 0) == len(others)


def of_anthropic(name: str, text: str) -> dict[str, Any]:
    request = {"messages": [user("a")], "tools": [{"name": "count", "input_schema": {}}]}
    return {"request": request, "response": {"type": "message", "id": name, **reply(text)}}


def of_responses(name: str, text: str) -> dict[str, Any]:
    output = [{"type": "message", **reply(text)}]
    return {"request": {"input": "a"}, "response": {"object": "response", "id": name, "output": output}}


def of_gemini(name: str, text: str) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    asked = {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    return {"request": asked, "response": {"responseId": name, "candidates": [{"content": content}]}}


def of_stream(name: str, text: str) -> dict[str, Any]:
    chunk = {"id": name, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    events = [{key: value for key, value in chunk.items() if value}]
    sent = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return {"request": {"messages": [user("a")]}, "response": f"{sent}data: [DONE]\n\n"}


def of_chat(name: str, text: str) -> dict[str, Any]:
    return {
        "request": {"messages": [user("a")]},
        "response": {"id": name, "choices": [{"message": reply(text)}]},
    }


def of_litellm(name: str, text: str) -> dict[str, Any]:
    return {"call_type": "completion", "messages": [user("a")], "response": of_chat(name, text)["response"]}


@pytest.mark.parametrize(
    "record",
    [of_chat, of_stream, of_anthropic, of_responses, of_gemini, of_litellm],
    ids=lambda one: one.__name__,
)
@given(
    st.lists(st.tuples(st.sampled_from(["", "1", "2", "3"]), st.sampled_from("xy")), min_size=1, max_size=7)
)
@settings(deadline=None, max_examples=25)
def test_replies_with_different_ids_are_different_calls(record, calls):
    """A call without an id may be any of those with its text."""
    found, report = read(*(record(name, text) for name, text in calls))
    names = {text: {name for name, said in calls if said == text} - {""} for _, text in calls}
    expected = {text: max(1, len(ids)) for text, ids in names.items()}
    assert Counter(one.messages[-1]["content"] for one in found) == expected
    assert report.repeated == len(calls) - len(found)


def test_a_history_has_no_ids_of_replies() -> None:
    """However many calls have the beginning of a longer conversation, they are no conversations beside it."""
    longer = exchange([user("a"), reply("x"), user("b")], reply("y"))
    found, report = read(*(of_chat(str(number), "x") for number in range(3)), longer)
    assert [len(one) for one in found] == [4]
    assert report.repeated == 3


def test_what_an_import_makes_of_repeated_turns_is_what_reading_makes(tmp_path: Path) -> None:
    """A folder with calls that share turns: the file has what `read_trajectories` gives."""
    history = [user("a"), reply("b"), user("c")]
    for number in range(3):
        last = user(f"d{number}")
        records = [
            exchange(history, reply(f"{number}")),
            exchange([*history, reply(f"{number}"), last], reply("e")),
        ]
        first = [exchange(history[:1], reply("b", reasoning_content="Hm."))] if number == 1 else []
        (tmp_path / f"{number}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in first + records))
    report, imported = Report(), Report()
    found = list(read_trajectories(tmp_path, report=report))
    tally = import_logs([tmp_path], tmp_path / "out.parquet", report=imported, workers=1)
    assert list(read_trajectories(tmp_path / "out.parquet")) == found
    assert imported.repeated_turns == report.repeated_turns == 2
    assert tally.agent_turns == own_turns(found)
    assert imported.first_repeated_turn == report.first_repeated_turn


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=4), st.randoms())
@settings(deadline=None, max_examples=60)
def test_a_turn_is_context_where_all_records_that_hold_it_say_so(weights, random):
    """Each record is the conversation up to a turn, with a weight for each turn of the agent."""
    records = [
        {"messages": [message for place, own in enumerate(record) for message in turn_at(place, own)]}
        for record in weights
    ]
    records += [{"messages": [*turn_at(0, True), *turn_at(1, False), *turn_at(2, False), *turn_at(3, False)]}]
    records += [{"messages": [*records[-1]["messages"], *turn_at(4, True)]}]
    random.shuffle(records)
    [found], report = read(*records)
    own = [place for place in range(4) if any(record[place : place + 1] == [True] for record in weights)]
    assert [place for place in range(5) if "weight" not in found.messages[2 * place + 1]] == sorted(
        {0, 4, *own}
    )
    assert report.repeated == len(records) - 1


def turn_at(place: int, is_agents: bool) -> list[dict[str, Any]]:
    return [user(str(place)), reply(f"said {place}", weight=int(is_agents))]


def test_a_turn_that_two_conversations_share_is_given_back_once() -> None:
    first, others = [user("a"), reply("b", weight=1)], [user("a"), reply("b", weight=0)]
    found, report = read(
        *({"messages": [*others, user(text), reply(text)]} for text in "cd"), {"messages": first}
    )
    assert [message.get("weight") for item in found for message in item if message["content"] == "b"] == [
        None,
        0,
    ]
    assert report.repeated == 1


run = st.tuples(st.lists(turn, min_size=1, max_size=3).map(tuple), st.sampled_from([None, "1", "2"]))


@given(st.lists(run, min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_a_run_that_names_its_task_begins_no_run_of_another_one(runs):
    """Against brute force; a task is another one only where both runs name theirs."""

    def begins(run, other):
        is_of_it = run[1] is None or other[1] in (None, run[1])
        return is_of_it and len(run[0]) < len(other[0]) and other[0][: len(run[0])] == run[0]

    records = [
        {"messages": [message for asked, said in talk for message in (user(asked), reply(said))]}
        | ({} if task is None else {"task_id": task})
        for talk, task in runs
    ]
    found, report = read(*records)
    kept = [run for run in runs if not any(begins(run, other) for other in runs)]
    assert [len(item) for item in found] == [2 * len(talk) for talk, _ in kept]
    assert [item.task.startswith("chat/") for item in found] == [task is not None for _, task in kept]
    assert report.repeated == len(runs) - len(kept)


def test_a_session_that_goes_on_under_another_name_is_one(tmp_path: Path) -> None:
    """Claude Code copies the history when it goes on with a session."""
    for name, length in {"s1": 2, "s2": 4}.items():
        lines = [
            {"uuid": str(place), "parentUuid": str(place - 1) if place else None, "sessionId": name}
            | {"type": message["role"], "message": message}
            for place, message in enumerate([user("a"), reply("b"), user("c"), reply("d")][:length])
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    report = Report()
    [found] = read_trajectories(tmp_path, report=report)
    assert (found.task, len(found), report.repeated) == ("s2", 4, 1)


window = st.tuples(st.integers(0, 3), st.integers(2, 7), st.booleans())


def window_of(history: list[Any], head: int, tail: int, has_note: bool) -> list[Any]:
    """What a client sends of a history: its first messages, if any a note on those between, and the last."""
    if len(history) <= head + tail:
        return history
    note = [user("(some messages are left out)")] if head and has_note else []
    return [*history[:head], *note, *history[-tail:]]


@given(st.lists(st.tuples(st.integers(1, 8), window), min_size=1, max_size=3), st.booleans(), st.randoms())
@settings(deadline=None, max_examples=100)
def test_each_turn_counts_once_and_for_one_task_whatever_windows_clients_send(
    talks: list[tuple[int, tuple[int, int, bool]]], is_ordered: bool, random: Random
) -> None:
    calls = []
    for name, (length, sent) in enumerate(talks):
        talk = [user(f"{name} asks")]
        for at in range(length):
            answer = reply(f"{name} says {at} ".ljust(LONG, "."))
            written = {
                **answer,
                "reasoning_content": "Hm. " * random.choice([0, 1, LONG]),
            }  # clients leave it out
            calls.append((random.random(), at, name, exchange(window_of(talk, *sent), written)))
            talk = [*talk, answer, {"role": "tool", "content": f"{name} has {at}"}]
    calls.sort(key=lambda call: call[1] if is_ordered else call[0])
    found, report = read(*(call[3] for call in calls))
    counted = Counter(one["content"] for item in found for one in item if is_own(one))
    assert counted == Counter(call[3]["response"]["choices"][0]["message"]["content"] for call in calls)
    assert report.resent_turns == 0
    assert len({(item.task, item.messages[-1]["content"][0]) for item in found}) == len(talks)
    assert len({item.task for item in found}) == len(talks)


def test_what_conversations_share_by_chance_is_no_window() -> None:
    """The same short answers, the same beginning at two tasks, and another try at a task."""
    rules = [
        reply("I read the rules."),
        {"role": "tool", "content": "Rules. " * LONG},
        reply("Read. " * LONG),
    ]
    short = [user("And now?"), reply("Yes.")]
    records = [
        exchange([user("a"), *rules[:2]], rules[2]),
        exchange([user("b"), *rules, user("c")], reply("d")),
        exchange([user("e"), reply("f"), *short[:1]], short[1]),
        exchange([*short, user("g")], reply("h")),
        exchange([user("a"), reply("I look."), user("i"), reply("Found. " * LONG), user("j")], reply("k")),
    ]
    found, report = read(*records)
    assert report.repeated_turns == report.repeated == 0
    assert len({item.task for item in found}) == 4


def test_a_window_is_known_though_its_client_leaves_reasoning_out() -> None:
    """The thought is long, the reply that remains is short, and the result of a tool is long."""
    result = {"role": "tool", "content": "Found. " * LONG}
    first = [user("a"), reply("b"), result]
    later = [result, reply("c"), user("d")]
    found, report = read(
        exchange(first, reply("c", reasoning_content="Hm. " * LONG)), exchange(later, reply("e"))
    )
    assert (own_turns(found), report.repeated_turns, len({item.task for item in found})) == (3, 1, 1)


def test_a_window_keeps_the_task_that_its_log_names() -> None:
    talk = [user("a"), reply("b" * LONG), user("c"), reply("d" * LONG), user("e"), reply("f")]
    first, second = exchange(talk[:3], talk[3]), exchange(talk[2:5], talk[5])
    found, report = read({**first, "task_id": "1"}, {**second, "task_id": "2"})
    assert ([item.task for item in found], report.repeated_turns) == (["chat/1", "chat/2"], 1)


def changed(talk: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The calls of a conversation whose client sends the last messages and writes a time into the first."""
    calls = []
    for at in range(1, len(talk), 2):
        first, *others = talk[max(0, at - most) : at]
        first = {**first, "content": f"At {at}: {first['content']}"}
        calls.append(exchange([first, *others], talk[at]))
    return calls


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 9), st.integers(-1, 1))
@settings(deadline=None, max_examples=60)
def test_long_turns_that_changed_histories_repeat_are_counted(
    lengths: list[int], most: int, more: int
) -> None:
    """Against brute force: turns of histories, each with the message before it, that another call has."""
    records = []
    for talk, length in enumerate(lengths):
        said = [(user(f"{talk} asks {turn}"), reply(f"{turn}".ljust(LONG + more))) for turn in range(length)]
        records += changed([message for pair in said for message in pair], most)
    found, report = read(*records)
    turns = [
        (name, (before["content"], after["content"]), after is not one.messages[-1])
        for name, one in enumerate(found)
        for before, after in pairwise(one.messages)
        if is_own(after) and after["role"] == "assistant" and more >= 0
    ]
    resent = [
        turn
        for name, turn, is_history in turns
        if is_history and any(turn == b and name != a for a, b, _ in turns)
    ]
    assert (report.long_turns, report.resent_turns) == (len(turns), len(resent))


def test_equal_long_replies_to_equal_questions_are_no_histories() -> None:
    """A router's calls: each answer stands alone."""
    found, report = read(*(of_chat(str(number), "x" * LONG) for number in range(5)))
    assert (len(found), report.long_turns, report.resent_turns) == (5, 5, 0)


def test_an_import_makes_of_windows_and_changed_histories_what_reading_makes(tmp_path: Path) -> None:
    """Beside plain lines, whose turns are no calls'."""
    talk = [message for turn in range(6) for message in (user(f"{turn}?"), reply(f"{turn}".ljust(LONG, ".")))]
    records = [{"messages": talk[4:8]}] * 2 + changed(talk, 5)
    talk = [user("Hello."), *talk[1:]]
    records += [exchange(window_of(talk[:at], 1, 4, True), talk[at]) for at in range(1, len(talk), 2)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    for name in ("out.parquet", "out.jsonl"):
        report, imported = Report(), Report()
        found = list(read_trajectories(tmp_path / "log.jsonl", report=report))
        import_logs([tmp_path / "log.jsonl"], tmp_path / name, report=imported, workers=1)
        assert list(read_trajectories(tmp_path / name)) == found
        assert imported == report
        assert min(report.resent_turns, report.repeated_turns) > 0


def test_also_across_files(tmp_path: Path) -> None:
    first = exchange([SYSTEM, user("a")], reply("b"))
    second = exchange([SYSTEM, user("a"), reply("b"), user("c")], reply("d"))
    for name, record in {"1.jsonl": second, "2.jsonl": first}.items():
        (tmp_path / name).write_text(json.dumps(record) + "\n")
    report = Report()
    [found] = read_trajectories(tmp_path, report=report)
    assert [message["content"] for message in found] == ["You count.", "a", "b", "c", "d"]
    assert report.first_repeated == f"{tmp_path / '2.jsonl'}, record 1, line 1"


def test_a_reply_is_kept_as_the_model_wrote_it() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "count", "arguments": '{"bay":4}'}}
    resent = {"id": "1", "type": "function", "function": {"name": "count", "arguments": '{"bay": 4}'}}
    wrote = reply("<think>hm</think>I look. ", reasoning_content="Bay 4 first.", tool_calls=[call])
    repeated = reply("I look.", tool_calls=[resent])
    result = {"role": "tool", "content": "12", "tool_call_id": "1"}
    [found], report = read(
        exchange([user("a")], wrote), exchange([user("a"), repeated, result], reply("Twelve."))
    )
    assert found.messages[1] == wrote
    assert report.repeated == 1


spoken = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from(["", "n", "m"]))


@given(st.lists(spoken, min_size=2, max_size=4), st.randoms())
@settings(deadline=None, max_examples=60)
def test_notices_of_the_system_replace_no_turn(talk: list[tuple[str, str, str]], random: Random) -> None:
    """Each record is a beginning of the conversation, up to a reply and the notices behind it."""
    whole = [message for asked, said, _ in talk for message in (user(asked), reply(said))]
    runs = [whole]
    for length in range(1, len(talk)):
        run: list[dict[str, Any]] = []
        for asked, said, notice in talk[:length]:
            run += [user(asked), reply(said, reasoning_content=f"thought of {length}")]
            run += [{"role": "system", "content": notice}] if notice else []
        runs.append(run)
    random.shuffle(runs)
    [found], report = read(*({"messages": run} for run in runs))
    said = [message for message in found if message["role"] != "system"]
    assert [(one["role"], one["content"]) for one in said] == [(one["role"], one["content"]) for one in whole]
    thoughts = [message["reasoning_content"] for message in said[1:-1:2]]
    assert thoughts == [f"thought of {length}" for length in range(1, len(talk))]
    assert report.repeated == len(talk) - 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_each_result_names_its_call_where_a_client_renames_them(named: list[tuple[bool, bool]]) -> None:
    """Of each call, whether the reply and its repetition have an id; a result names that of its history."""

    def calls(owner: int) -> list[dict[str, Any]]:
        return [
            {"id": f"{owner}-{place}" if ids[owner] else None, "type": "function"}
            | {"function": {"name": "count", "arguments": f'{{"bay":{place}}}'}}
            for place, ids in enumerate(named)
        ]

    results = [
        {"role": "tool", "content": str(place)} | ({"tool_call_id": call["id"]} if call["id"] else {})
        for place, call in enumerate(calls(1))
    ]
    [found], report = read(
        exchange([user("a")], reply("I look.", reasoning_content="Hm.", tool_calls=calls(0))),
        exchange([user("a"), reply("I look.", tool_calls=calls(1)), *results], reply("Done.")),
    )
    assert report.repeated == 1
    assert found.messages[1]["reasoning_content"] == "Hm."
    ids = [call["id"] for call in found.messages[1]["tool_calls"]]
    assert ids == [again["id"] or first["id"] for first, again in zip(calls(0), calls(1), strict=True)]


def test_what_only_the_first_request_has_is_kept() -> None:
    [found], _ = read(
        exchange([SYSTEM, user("a")], reply("b"), tools=TOOLS),
        exchange([user("a"), reply("b"), user("c")], reply("d")),
    )
    assert found.messages[0] == SYSTEM
    assert found.tools == TOOLS


def test_a_changed_system_text_does_not_hide_the_history() -> None:
    later = {"role": "system", "content": "You count. It is noon."}
    [found], _ = read(
        exchange([SYSTEM, user("a")], reply("b")),
        exchange([later, user("a"), reply("b"), user("c")], reply("d")),
    )
    assert found.messages[0] == later


def test_texts_of_dropped_calls_are_counted_and_not_held() -> None:
    """A clock in the system's text: each dropped call has a text that is lost."""
    said = [message for number in range(200) for message in (user(f"a{number}"), reply(f"b{number}"))]
    calls = [
        Trajectory("i", "t", [{"role": "system", "content": f"It is {number}."}, *said[: 400 - 2 * number]])
        for number in range(200)
    ]
    report, openings = Report(), b"".join(opening(Found(call, is_call=True)) for call in calls)
    with closing(WaitingRows()) as rows:
        for call in calls:
            rows.add(call, "log.jsonl")
        repeats = Repeats(rows, openings, report)
        tracemalloc.start()
        repeats.restored(0, calls[0], "log.jsonl")
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert report.left_out["(repeated)", "messages[].content"].records == 199
    assert held / 199 < 28


def test_runs_are_attempts_and_stay() -> None:
    run = {"messages": [user("a"), reply("b")]}
    longer = {"messages": [user("a"), reply("b"), user("c"), reply("d")]}
    found, report = read(run, run)
    assert (len(found), report.repeated) == (2, 0)
    found, report = read({**run, "success": False}, longer)
    assert (len(found), report.repeated) == (2, 0)
    found, report = read(*[exchange([user("a")], reply("b")) | {"success": True}] * 2)
    assert (len(found), report.repeated) == (2, 0)
    found, report = read(
        exchange([user("a")], reply("b")) | {"task": "1"}, exchange([user("a")], reply("b")) | {"task": "2"}
    )
    assert (len(found), report.repeated) == (2, 0)
