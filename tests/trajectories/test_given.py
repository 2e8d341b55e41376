"""Trajectories from a program are read like the same records in a log."""

import enum
import importlib.util
import json
import marshal
import pickle
from collections import OrderedDict
from dataclasses import replace
from datetime import date
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.corpus import Corpus
from lar.errors import TrajectoryError
from lar.trajectories import BadRecordWarning, Report, Trajectory, read_trajectories, write_trajectories
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.exact import exact
from lar.trajectories.given import TYPES, _is_normalized, as_trajectories
from lar.trajectories.schema import Message
from testing import toy

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "Lima"}'}}
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "How warm "}, {"type": "text", "text": "is it?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
    {"role": "tool", "content": "12", "tool_call_id": "c1"},
    {"role": "assistant", "content": "12 degrees.", "tool_calls": None},
]


def test_a_dict_a_list_and_an_object_are_read_as_a_log_is(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": MESSAGES}) + "\n")
    (expected,) = read_trajectories(tmp_path / "log.jsonl")
    given = [{"messages": MESSAGES}, MESSAGES, Trajectory("x", "t", MESSAGES)]
    found = list(as_trajectories(given))
    assert [one.messages for one in found] == [expected.messages] * 3
    assert found[0].task == found[1].task == expected.task
    assert (found[2].id, found[2].task) == ("x", "t")


@pytest.mark.parametrize(
    "messages",
    [
        MESSAGES,
        [{"role": "user", "content": "Hi"}, MESSAGES[3]],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
    ],
)
def test_a_list_of_messages_is_read_and_counted_like_a_dict_of_them(messages):
    reports = Report(), Report()
    found = [
        list(read_trajectories([one], report=report))
        for one, report in zip((messages, {"messages": messages}), reports, strict=True)
    ]
    assert found[0] == found[1]
    assert reports[0] == reports[1]
    assert reports[0].formats["chat"].trajectories == 1


def test_what_is_normalized_stays_the_same_object():
    logs = toy.trajectories(3)
    assert all(found is given for found, given in zip(as_trajectories(logs), logs, strict=True))


def test_every_member_of_a_message_has_a_type():
    assert TYPES.keys() == Message.__annotations__.keys()


class Said(str):
    """A text of a type of its own, as parsers of HTML have."""


ROLE = enum.Enum("ROLE", {"USER": "user", "AGENT": "assistant"}, type=str)
TEXTS = st.sampled_from(["a", "", " ", "{}", "\ud800", None, 1, {"a": 1}, np.str_("b"), Said("c"), ROLE.USER])
CALLS = st.fixed_dictionaries(
    {"function": st.dictionaries(st.sampled_from(["name", "arguments", "note"]), TEXTS)},
    optional={"id": TEXTS, "type": st.just("function"), "note": TEXTS},
)
NEARLY = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "tool", "human", ROLE.USER, ROLE.AGENT]),
        "content": TEXTS,
    },
    optional=dict.fromkeys(("name", "tool_call_id", "reasoning_content", "note"), TEXTS)
    | {"tool_calls": st.lists(CALLS, max_size=2), "weight": st.sampled_from([0, 1, False, None])},
)


@given(NEARLY)
def test_what_counts_as_normalized_would_not_change(message):
    if _is_normalized(message):
        assert exact(Trajectory("a", "b", normalize_messages([message]))).messages == [message]
        now = normalize_messages([message])[0]
        assert json.dumps(message, sort_keys=True) == json.dumps(now, sort_keys=True)


@given(st.lists(NEARLY, min_size=1, max_size=3))
@settings(deadline=None, max_examples=50)
def test_a_program_can_write_what_it_made_or_hears_why_not(tmp_path_factory, messages):
    """Both kinds of file then hold the same, in exact types."""
    folder = tmp_path_factory.mktemp("written")
    made = Trajectory("a", "b", [{"role": "user", "content": "Hi"}, *messages, MESSAGES[3]])
    written = []
    for name in ("a.jsonl", "a.parquet"):
        try:
            write_trajectories([made], folder / name)
        except TrajectoryError:
            continue
        written.append(list(read_trajectories(folder / name)))
    assert len(written) in (0, 2)
    if written:
        (found,) = as_trajectories([made])
        assert written == [[found], [found]]
        assert {type(value) for message in found for value in message.values()} <= {str, list, int}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messages", [{"role": "user", "content": np.str_("Hi")}, MESSAGES[3]]),
        ("messages", [{"role": ROLE.USER, "content": "Hi"}, MESSAGES[3]]),
        ("messages", [{"role": "user", "content": Said("Hi")}, OrderedDict(MESSAGES[3])]),
        ("reward", np.float64(1.0)),
        ("id", np.str_("run")),
        ("tools", [OrderedDict(name=ROLE.USER, parameters={"most": np.int64(3), "of": np.array([1, 2])})]),
        ("tools", [{"name": "f", "parameters": MappingProxyType({Said("since"): date(2026, 1, 1)})}]),
    ],
)
def test_values_of_other_types_than_json_are_read_as_what_they_look_like(tmp_path, name, value):
    record = {"messages": [{"role": "user", "content": "Hi"}, MESSAGES[3]], name: value}
    (found,) = as_trajectories([record])
    assert list(read_trajectories([record])) == [found]
    assert marshal.loads(marshal.dumps(found.to_dict())) == found.to_dict()  # it is strict about types
    for file in ("a.jsonl", "a.parquet"):
        write_trajectories([record], tmp_path / file)
        assert list(read_trajectories(tmp_path / file)) == [found]


@pytest.mark.parametrize("value", [object(), "\ud800"])
def test_a_tool_that_cannot_be_written_costs_its_record(value):
    wrong = {"messages": [{"role": "user", "content": "Hi"}, MESSAGES[3]], "tools": [{"name": value}]}
    with pytest.raises(TrajectoryError, match=r"^trajectory 1: a value that JSON cannot hold: "):
        list(as_trajectories([wrong]))
    report = Report()
    assert len(list(read_trajectories([wrong, MESSAGES], report=report))) == 1
    assert report.problems.count == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("fields", [{"id": "\ud800"}, {"tools": [{"name": "\ud800"}]}, {"tools": [object()]}])
def test_an_object_that_cannot_be_written_is_one_clear_line(tmp_path, name, fields):
    made = replace(Trajectory("a", "b", [MESSAGES[3]]), **fields)
    with pytest.raises(TrajectoryError):
        write_trajectories([made], tmp_path / name)


@pytest.mark.parametrize("wrong", [{"nothing": 1}, 7, [], [{"role": "emperor", "content": "a"}]])
def test_what_is_none_is_named_by_its_number(wrong):
    with pytest.raises(TrajectoryError, match=r"^trajectory 2: "):
        list(as_trajectories([MESSAGES, wrong]))


def test_a_corpus_takes_them(tokenizer):
    logs = toy.trajectories(4)
    dicts = [{"id": log.id, "task": log.task, "messages": log.messages} for log in logs]
    expected, found = Corpus.build(logs, tokenizer), Corpus.build(dicts, tokenizer)
    tokens = [[shard.tokens.tolist() for shard in corpus.shards()] for corpus in (expected, found)]
    assert tokens[0] == tokens[1]


def test_an_error_of_the_reader_keeps_its_own_words():
    wrong = [{"role": "user", "content": "a"}, {"role": "emperor", "content": "b"}]
    with pytest.raises(TrajectoryError) as caught:
        list(as_trajectories([wrong]))
    assert str(caught.value) == "trajectory 1: message 2: unknown role 'emperor'"


def test_what_is_easily_mistaken_gets_a_hint():
    with pytest.raises(TrajectoryError, match="give a list of lists of messages"):
        list(as_trajectories(MESSAGES))
    with pytest.raises(TrajectoryError, match=r"one record .*: give a list of records"):
        list(as_trajectories({"messages": MESSAGES}))
    with pytest.raises(TrajectoryError, match=r"^a int has no rows"):
        read_trajectories(7)


# Two tools whose arguments differ: a table of structs gives each the other's, as null.
ROWS = [
    {
        "id": name,
        "task": f"warm/{name}",
        "success": success,
        "messages": [
            {"role": "user", "content": f"How warm is {name}?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", **call}]},
            {"role": "tool", "content": "12", "tool_call_id": "c"},
        ],
    }
    for name, success, call in (
        ("Lima", True, {"function": {"name": "look", "arguments": {"at": "Lima"}}}),
        ("Oslo", None, {"function": {"name": "ask", "arguments": {"whom": "Ann", "on": "Monday"}}}),
    )
]


def tables() -> dict[str, object]:
    """The same rows as each kind of table that is installed."""
    arrow = pa.Table.from_pylist(ROWS)
    found: dict[str, object] = {"list": ROWS, "generator": iter(ROWS)}
    if pa.array([{"b": 1, "a": 1}]).type[0].name == "b":  # pyarrow before 24 sorted the members of objects
        found["pyarrow"] = arrow
    if importlib.util.find_spec("pandas"):
        pandas = pytest.importorskip("pandas")
        found["pandas"] = pandas.DataFrame(ROWS)
        found["pandas of arrow"] = arrow.to_pandas()
    if importlib.util.find_spec("datasets"):
        dataset = pytest.importorskip("datasets").Dataset.from_list(ROWS)
        found["dataset"] = dataset
        found["formatted dataset"] = dataset.with_format("numpy")
        found["iterable dataset"] = dataset.to_iterable_dataset()
    return found


@pytest.mark.parametrize("name", tables())
def test_every_table_gives_the_trajectories_of_its_rows(name):
    expected = list(as_trajectories(ROWS))
    assert [one.messages[1]["tool_calls"][0]["function"]["arguments"] for one in expected] == [
        '{"at": "Lima"}',
        '{"whom": "Ann", "on": "Monday"}',
    ]
    assert list(as_trajectories(tables()[name])) == expected
    assert list(read_trajectories(tables()[name])) == expected


def test_a_column_of_a_frame_that_mixes_texts_and_parts_is_read():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({"messages": [MESSAGES, ROWS[0]["messages"]], "id": ["a", None]})
    found = list(read_trajectories(frame))
    assert [one.id for one in found] == ["a", "given:2"]
    assert found[0].messages == next(as_trajectories([MESSAGES])).messages


def test_a_dict_of_splits_asks_for_one():
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    with pytest.raises(TrajectoryError, match=r"^a DatasetDict has a dataset for each split: .* 'train'$"):
        read_trajectories(splits)


def test_records_in_memory_are_collected_as_those_of_files_are():
    report = Report()
    problems = report.problems
    found = list(read_trajectories([7, ROWS[0], {"no": 1}], report=report, task_key="id"))
    assert [one.task for one in found] == ["Lima"]
    assert [str(problem)[:16] for problem in problems.records] == ["given, record 1:", "given, record 3:"]
    with pytest.warns(BadRecordWarning, match="1 bad record"):
        list(read_trajectories([7, ROWS[0]]))
    with pytest.raises(TrajectoryError, match="given, record 1: "):
        list(read_trajectories([7, ROWS[0]], strict=True))


def test_files_may_come_as_paths_texts_or_an_iterator(tmp_path):
    write_trajectories(toy.trajectories(2), str(tmp_path / "a.jsonl"))
    file = tmp_path / "a.jsonl"
    expected = list(read_trajectories(file))
    for source in (str(file), [file], iter([str(file)]), tmp_path.glob("*.jsonl")):
        assert list(read_trajectories(source)) == expected


def test_a_trajectory_is_an_object_like_others():
    trajectory = toy.trajectories(1)[0]
    again = pickle.loads(pickle.dumps(trajectory))
    assert again == trajectory
    assert len({again, trajectory}) == 1
    assert len(trajectory) == len(list(trajectory)) == len(trajectory.messages)
    assert len(repr(trajectory)) < 150
    assert json.loads(json.dumps(trajectory.to_dict()))["messages"] == trajectory.messages
    assert next(as_trajectories([trajectory.to_dict()])) == trajectory
