"""Batches of OpenAI and Anthropic: requests and results in files of their own, joined by custom_id."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.importing import import_logs
from testing.sessions import agent, call, read, user, write_lines
from tests.trajectories.test_trajectories_properties import folder

SYSTEM: Any = {"role": "system", "content": "Be brief."}


def asked(name: str, text: str = "Count") -> dict[str, Any]:
    """A request to OpenAI."""
    body = {"model": "acme-1", "messages": [SYSTEM, user(text)]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def answered(name: str, text: str = "Twelve.") -> dict[str, Any]:
    """Its result."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"id": f"chatcmpl-{name}", "object": "chat.completion", "model": "acme-1", "choices": [choice]}
    response = {"status_code": 200, "request_id": f"q-{name}", "body": body}
    return {"id": f"batch_req_{name}", "custom_id": name, "response": response, "error": None}


def problems(report: Report) -> list[str]:
    """What is wrong, each behind the name of its file."""
    return [f"{Path(one.path).name}, {one.place_in_file}: {one.reason}" for one in report.problems.records]


def test_openai(tmp_path: Path) -> None:
    write_lines(tmp_path / "requests.jsonl", [asked(f"r{n}", f"Count bay {n}") for n in range(3)])
    write_lines(tmp_path / "output.jsonl", [answered(f"r{n}", f"Bay {n}: twelve.") for n in (2, 0, 1)])
    found, report = read(tmp_path, strict=True)
    assert [one.id for one in found] == ["r0", "r1", "r2"]
    assert [one.messages for one in found] == [
        [SYSTEM, user(f"Count bay {n}"), agent(f"Bay {n}: twelve.")] for n in range(3)
    ]
    assert found[0].source == f"{tmp_path.name}/requests.jsonl"
    assert {path for _, path in report.left_out} <= {
        *("batch_request.url", "batch_request.method", "batch_request.custom_id", "batch_result.custom_id"),
        *("batch_result.id", "batch_result.response.request_id"),
    }


def test_anthropic(tmp_path: Path) -> None:
    params = {"model": "claude-acme", "system": "Be brief.", "messages": [user("Count bay 4")]}
    use = {"type": "tool_use", "id": "c1", "name": "count", "input": {"bay": 4}}
    message = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "content": [use],
        "stop_reason": "tool_use",
    }
    failed = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    names = ("good", "bad", "late", "off")
    write_lines(tmp_path / "requests.jsonl", [{"custom_id": name, "params": params} for name in names])
    results = [
        {"custom_id": "off", "result": {"type": "canceled"}},
        {"custom_id": "late", "result": {"type": "expired"}},
        {"custom_id": "bad", "result": {"type": "errored", "error": failed}},
        {"custom_id": "good", "result": {"type": "succeeded", "message": message}},
    ]
    write_lines(tmp_path / "results.jsonl", results)
    (found,), report = read(tmp_path)
    assert found.id == "good"
    assert found.messages == [SYSTEM, user("Count bay 4"), agent("", call("count", '{"bay": 4}', "c1"))]
    assert problems(report) == [
        "requests.jsonl, record 2, line 2: the request 'bad': no answer (errored, invalid_request_error)",
        "requests.jsonl, record 3, line 3: the request 'late': no answer (expired)",
        "requests.jsonl, record 4, line 4: the request 'off': no answer (canceled)",
    ]


def test_responses(tmp_path: Path) -> None:
    body = {"model": "acme-1", "instructions": "Be brief.", "input": "Count bay 4"}
    part = {"type": "output_text", "text": "Twelve."}
    output = [{"type": "message", "role": "assistant", "content": [part]}]
    reply = {"id": "resp_1", "object": "response", "output": output}
    request = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    result = {"id": "b", "custom_id": "a", "response": {"status_code": 200, "body": reply}, "error": None}
    write_lines(tmp_path / "requests.jsonl", [request])
    write_lines(tmp_path / "results.jsonl", [result])
    (found,), _ = read(tmp_path, strict=True)
    assert found.messages == [SYSTEM, user("Count bay 4"), agent("Twelve.")]


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
batch = st.dictionaries(text, st.tuples(text, text), min_size=1, max_size=8)


@given(batch=batch, data=st.data())
@settings(deadline=None, max_examples=40)
def test_any_order_and_any_files_give_the_pairs(
    batch: dict[str, tuple[str, str]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(list(batch)))
    cuts = [data.draw(st.integers(0, len(batch))) for _ in range(2)]
    pairs = [
        {
            "id": name,
            "request": asked(name, question)["body"],
            "response": answered(name, reply)["response"]["body"],
        }
        for name, (question, reply) in batch.items()
    ]
    requests = [asked(name, question) for name, (question, _) in batch.items()]
    results = [answered(name, batch[name][1]) for name in order]
    halves = (requests[: cuts[0]], requests[cuts[0] :], results[: cuts[1]], results[cuts[1] :])
    with folder() as path:
        files = [write_lines(path / f"{number}.jsonl", half) for number, half in enumerate(halves) if half]
        files[-1].write_bytes(gzip.compress(files[-1].read_bytes()))
        found = list(read_trajectories(files, strict=True))
        expected = list(read_trajectories(pairs, strict=True))
        assert [(one.id, one.messages) for one in found] == [(one.id, one.messages) for one in expected]
        import_logs(files, path / "all.parquet", workers=1, strict=True)
        assert list(read_trajectories(path / "all.parquet")) == found


def both(tmp_path: Path, requests: list[Any], results: list[Any]) -> tuple[list[Trajectory], Report]:
    write_lines(tmp_path / "requests.jsonl", requests)
    write_lines(tmp_path / "results.jsonl", results)
    report = Report()
    import_logs([tmp_path], tmp_path / "all.jsonl", report=report, workers=1)
    written = list(read_trajectories(tmp_path / "all.jsonl"))
    (tmp_path / "all.jsonl").unlink()
    found, other = read(tmp_path)
    assert (found, problems(other)) == (written, problems(report))
    return found, report


def test_what_has_no_other_half_is_named(tmp_path: Path) -> None:
    refused = {
        "status_code": 400,
        "body": {"error": {"message": "no", "type": "invalid_request_error", "code": None}},
    }
    late = {"code": "batch_expired", "message": "This request could not be executed in time."}
    requests = [asked("alone"), asked("a"), asked("late"), asked("refused")]
    results = [
        answered("nobody"),
        answered("a"),
        {**answered("late"), "response": None, "error": late},
        {**answered("refused"), "response": refused},
        {"other": 1},
    ]
    (found,), report = both(tmp_path, requests, results)
    assert found.id == "a"
    assert problems(report) == [
        "results.jsonl, record 5, line 5: no result of a batch",
        "results.jsonl, record 1, line 1: a result without its request, 'nobody'",
        "requests.jsonl, record 1, line 1: the request 'alone': no result",
        "requests.jsonl, record 3, line 3: the request 'late': no answer (error, batch_expired)",
        "requests.jsonl, record 4, line 4: the request 'refused': no answer "
        "(status 400, invalid_request_error)",
    ]
    with pytest.raises(TrajectoryError, match="no result of a batch"):
        read(tmp_path, strict=True)


def test_a_request_that_was_sent_again_has_its_answer(tmp_path: Path) -> None:
    late = {**answered("a"), "response": None, "error": {"code": "batch_expired", "message": ""}}
    (found,), report = both(tmp_path, [asked("a"), asked("a")], [late, answered("a")])
    assert found.messages[-1] == agent("Twelve.")
    assert problems(report) == [
        "results.jsonl, record 1, line 1: not the only result of 'a'",
        "requests.jsonl, record 2, line 2: the request 'a' once more",
    ]


def test_names_that_two_batches_share_are_not_joined_by_chance(tmp_path: Path) -> None:
    found, report = both(
        tmp_path,
        [asked("a", "Count"), asked("a", "Sum"), asked("b"), asked("c")],
        [answered("a", "Twelve."), answered("b", "One."), answered("b", "Two."), answered("c")],
    )
    assert [one.id for one in found] == ["c"]
    assert problems(report) == [
        "results.jsonl, record 1, line 1: not the only result of 'a'",
        "results.jsonl, record 2, line 2: not the only result of 'b'",
        "results.jsonl, record 3, line 3: not the only result of 'b'",
        "requests.jsonl, record 1, line 1: 2 requests with the custom_id 'a': import each batch by itself",
        "requests.jsonl, record 2, line 2: 2 requests with the custom_id 'a': import each batch by itself",
        "requests.jsonl, record 3, line 3: the request 'b': 2 results with the same custom_id; "
        "import each batch by itself",
    ]


def test_a_folder_with_both_halves_is_a_batch_of_its_own(tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        write_lines(tmp_path / day / "requests.jsonl", [asked("r1", f"Count {day}")])
        write_lines(tmp_path / day / "results.jsonl", [answered("r1", f"Counted {day}.")])
    for half in ("in", "out"):
        (tmp_path / half).mkdir()
    write_lines(tmp_path / "in" / "a.jsonl", [asked("r1", "Count all")])
    write_lines(tmp_path / "out" / "a.jsonl", [answered("r1", "Counted all.")])
    found, _ = read(tmp_path, strict=True)
    said = {one.messages[1]["content"]: one.messages[2]["content"] for one in found}
    assert said == {f"Count {it}": f"Counted {it}." for it in ("all", "monday", "tuesday")}


def test_fields_of_both_halves_name_task_and_success(tmp_path: Path) -> None:
    write_lines(tmp_path / "requests.jsonl", [{**asked("a"), "ticket": 7}])
    write_lines(tmp_path / "results.jsonl", [{**answered("a"), "passed": True}])
    (found,), _ = read(tmp_path, task_key="ticket", success_key="passed", strict=True)
    assert (found.task, found.success) == ("7", True)


def test_other_lines_of_the_files_stay_what_they_are(tmp_path: Path) -> None:
    lines = [json.dumps(asked("a")), "", "{broken", json.dumps({"messages": [user("Hi"), agent("Hello!")]})]
    (tmp_path / "requests.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    write_lines(tmp_path / "results.jsonl", [answered("a")])
    found, report = read(tmp_path)
    assert [one.messages[-1]["content"] for one in found] == ["Twelve.", "Hello!"]
    (problem,) = problems(report)
    assert problem.startswith("requests.jsonl, record 2, line 3: not JSON")


def test_a_half_alone_names_the_other(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="give the file of the results too"):
        read(write_lines(tmp_path / "requests.jsonl", [asked("a")]))
    with pytest.raises(TrajectoryError, match="give the file of the requests too"):
        read(write_lines(tmp_path / "results.jsonl", [answered("a")]))
    talk = asked("a")
    talk["body"]["messages"] += [agent("Which bay?"), user("Four")]
    with pytest.raises(TrajectoryError, match="give the file of the results too"):
        read(write_lines(tmp_path / "requests.jsonl", [talk]))


def test_where_results_break_off_is_said(tmp_path: Path) -> None:
    write_lines(tmp_path / "requests.jsonl", [asked("a"), asked("b")])
    results = write_lines(tmp_path / "results.jsonl", [answered("a"), answered("b")])
    results.write_bytes(results.read_bytes()[:-30])
    found, report = read(tmp_path)
    assert [one.id for one in found] == ["a"]
    assert "results.jsonl, record 2, line 2: not JSON: the file may be cut off here" in problems(report)


def test_no_line_that_only_looks_alike_is_joined(tmp_path: Path) -> None:
    whole = {"custom_id": "a", "body": asked("a")["body"], "response": answered("a")["response"]["body"]}
    write_lines(tmp_path / "requests.jsonl", [asked("a")])
    write_lines(tmp_path / "whole.jsonl", [whole])
    (found,), report = read(tmp_path)
    assert found.messages == [SYSTEM, user("Count"), agent("Twelve.")]
    assert "give the file of the results too" in problems(report)[0]
