"""inspect_ai: samples of JSON logs and of `.eval` archives."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lar.trajectories.formats.benchmarks.inspect_eval import is_eval, read_samples
from lar.trajectories.layouts.record import BrokenRecordError, Record
from testing.sessions import LOGS, agent, call, read, result, user

LOG = LOGS / "inspect_ai" / "warehouse.json"
SCORED = {"id": "a", "epoch": 1, "input": "Q", "target": "t", "output": {}}
TALK = [user("Q"), agent("A")]


def test_a_sample_with_another_agent() -> None:
    (main, checker, *_), report = read(LOG)
    assert main.messages == [
        {"role": "system", "content": "You count."},
        user("How many crates stand in bay 4?"),
        agent("I count.", call("count", '{"bay": 4}', "t1"), thought="I need the tool."),
        result("The counter is asleep.", "count", "t1"),
        agent("", call("web_search", '{"query": "bay 4"}', "w1")),
        result("twelve", "web_search", "w1"),
        agent("Twelve."),
    ]
    assert checker.messages == [
        {"role": "system", "content": "You check."},
        user("Is twelve right for bay 4?"),
        agent("Twelve is right."),
        user("Sure?"),
        agent("Sure."),
    ]
    assert (main.id, checker.id) == ("run-1", "run-1/1")
    assert {item.task for item in (main, checker)} == {"acme/warehouse/bay-4"}
    assert {(item.success, item.model) for item in (main, checker)} == {(True, "acme/model-1")}
    assert main.tools is not None
    assert main.tools[0]["function"]["description"] == "Counts the crates in a bay."
    # Graders are not the agent, and their calls are counted.
    assert ("inspect_ai", "events[].output.choices[].message.content") in report.left_out


def test_answers_and_older_fields() -> None:
    _, _, answered, older = read(LOG)[0]
    assert answered.messages == [user("How many crates stand in bay 5?"), agent("Three.")]
    assert (answered.task, answered.success) == ("acme/warehouse/5", False)
    assert older.messages == [
        user("Six?"),
        agent("", call("count", '{"bay": 6}', "t6"), thought="Easy."),
        result("6[image]", None, "t6"),
        agent("Six."),
    ]
    assert (older.task, older.success) == ("acme/warehouse/6", True)


def test_a_broken_sample_is_one_problem(tmp_path: Path) -> None:
    log = json.loads(LOG.read_text())
    log["samples"].insert(1, {**SCORED, "messages": [TALK[0], {**TALK[1], "tool_calls": [{"id": "t"}]}]})
    (tmp_path / "log.json").write_text(json.dumps(log))
    found, report = read(tmp_path / "log.json")
    assert len(found) == 4
    assert [problem.record for problem in report.problems.records] == [2]


@pytest.mark.parametrize(
    ("scores", "success"),
    [
        ({"a": {"value": "C"}}, True),
        ({"a": {"value": "C"}, "b": {"value": "I"}}, False),
        ({"a": {"value": "P"}}, False),
        ({"a": {"value": "C"}, "cost": {"value": 0.02}}, True),
        ({"a": {"value": 1}}, True),
        ({"a": {"value": 0.5}}, False),
        ({"a": {"value": {"seen": True, "done": False}}}, False),
        ({"a": {"value": float("nan")}}, None),
        ({"a": {"value": "unclear"}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_success_from_scores(tmp_path: Path, scores: Any, success: bool | None) -> None:
    log = {"eval": {"task": "t", "model": "m"}, "samples": [{**SCORED, "messages": TALK, "scores": scores}]}
    (tmp_path / "log.json").write_text(json.dumps(log))
    (found,), _ = read(tmp_path / "log.json", strict=True)
    assert (found.task, found.success) == ("t/a", success)


@pytest.mark.parametrize(
    ("messages", "answer", "texts"),
    [
        # The answer stands in the messages: by its id, by its text, by its text in parts.
        ([{**TALK[0], "id": "1"}, {**TALK[1], "id": "2"}], {"id": "2", "content": "A"}, ["Q", "A"]),
        (TALK, {"content": [{"type": "text", "text": "A"}]}, ["Q", "A"]),
        (
            [TALK[0], {"role": "assistant", "content": [{"type": "text", "text": "A"}]}],
            {"content": "A"},
            ["Q", "A"],
        ),
        # It does not.
        (TALK[:1], {"id": "2", "content": "A"}, ["Q", "A"]),
        ([], {"content": "A"}, ["Q", "A"]),
        ([], None, None),
    ],
)
def test_the_answer_is_there_once(
    messages: list[Any], answer: Any, texts: list[str] | None, tmp_path: Path
) -> None:
    choices = [{"message": {"role": "assistant", **answer}}] if answer else []
    log = {
        "eval": {"task": "t", "model": "m"},
        "samples": [{**SCORED, "messages": messages, "output": {"choices": choices}}],
    }
    (tmp_path / "log.json").write_text(json.dumps(log))
    if texts is None:
        with pytest.raises(Exception, match="without messages"):
            read(tmp_path / "log.json")
        return
    (found,), _ = read(tmp_path / "log.json", strict=True)
    assert [message["content"] for message in found.messages] == texts


def test_another_agent_may_say_the_same(tmp_path: Path) -> None:
    def called(answer: str, reply: str) -> dict[str, Any]:
        said = {"id": reply, "role": "assistant", "content": answer}
        return {"event": "model", "input": [user("Check.")], "output": {"choices": [{"message": said}]}}

    messages = [{**TALK[0], "id": "1"}, {**TALK[1], "id": "2"}]
    sample = {**SCORED, "messages": messages, "events": [called("A", "2"), called("A", "3")]}
    log = {"eval": {"task": "t", "model": "m"}, "samples": [sample]}
    (tmp_path / "log.json").write_text(json.dumps(log))
    found, _ = read(tmp_path / "log.json", strict=True)
    assert [item.messages for item in found] == [TALK, [user("Check."), agent("A")]]


def _archive(files: dict[str, Any]) -> list[Record | BrokenRecordError]:
    def load(name: str) -> Any:
        if files[name] is None:
            raise BrokenRecordError("not JSON", 1)
        return files[name]

    assert is_eval(files)
    return list(read_samples(files, load))


def test_an_archive_with_samples_in_one_file_and_in_pieces() -> None:
    whole = {**SCORED, "messages": TALK}
    header = {"eval": {"task": "t", "model": "m"}}
    found = _archive(
        {
            "_journal/start.json": {"eval": {"task": "other"}},
            "_journal/summaries/1.json": [{"id": "a"}],
            "samples/a_epoch_1.json": whole,
            "samples/b_epoch_1/sample.json": {**SCORED, "id": "b", "message_refs": [[0, 1], [2, 3]]},
            "samples/b_epoch_1/messages/10.json": [agent("attachment://1")],
            "samples/b_epoch_1/messages/0.json": [user("Q"), user("unused")],
            "samples/b_epoch_1/attachments/0.json": ["x", "A long answer."],
            "samples/b_epoch_1/events/stats.json": {},
            "samples/b_epoch_1/skeleton.json": {},
            "samples/c_epoch_1.json": None,
            "summaries.json": [{"id": "a", "epoch": 1, "input": "Q", "target": "t"}],
            "header.json": header,
        }
    )
    first, second, broken = found
    assert isinstance(first, Record)
    assert (first.value, first.context, first.key) == (whole, header, "a_epoch_1")
    assert isinstance(second, Record)
    assert second.value["message_pool"] == [user("Q"), user("unused"), agent("attachment://1")]
    assert isinstance(broken, BrokenRecordError)
    assert str(broken) == "c_epoch_1: not JSON"


def test_an_archive_on_disk(tmp_path: Path) -> None:
    log = json.loads(LOG.read_text())
    path = tmp_path / "run.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": log["eval"]}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        archive.writestr("samples/broken_epoch_1.json", "{")
        archive.writestr("summaries.json", json.dumps([{"id": "bay-4", "epoch": 1}]))
        archive.writestr("header.json", json.dumps({"eval": log["eval"]}))
    found, report = read(path)
    assert {item.task for item in found} == {f"acme/warehouse/{name}" for name in ("bay-4", "5", "6")}
    assert sorted(map(len, found)) == [2, 4, 5, 7]
    assert [problem.message.partition(":")[0] for problem in report.problems.records] == ["broken_epoch_1"]
    # The same run as JSON.
    texts = {json.dumps(item.messages) for item in read(LOG)[0]}
    assert {json.dumps(item.messages) for item in found} == texts


def test_an_archive_of_an_interrupted_run() -> None:
    start = {"eval": {"task": "t", "model": "m"}}
    (found,) = _archive(
        {"_journal/start.json": start, "samples/a_epoch_1.json": {**SCORED, "messages": TALK}}
    )
    assert isinstance(found, Record)
    assert found.context == start


def test_other_archives_are_no_log() -> None:
    assert not is_eval(["header.json", "data.json"])
    assert not is_eval(["samples/a.json"])
