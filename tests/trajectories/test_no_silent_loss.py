"""Over a log of every format: damage is explained; a text put anywhere is kept, counted or refused."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.audit import LABELS
from lar.trajectories.importing import import_logs
from testing.damage import loads_or_explains

LOGS = Path(__file__).parent / "logs"
FILES = sorted(
    path
    for path in LOGS.rglob("*")
    if path.suffix in (".json", ".jsonl", ".har") and path.stat().st_size < 60_000
)
# Of JSON text in members with these names a program reads more than it shows (ids, kinds, times).
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})


def content_of(path: Path) -> list[Any]:
    """The documents of a file: one, or one a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return [json.loads(text)]


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within `content` with each of its keys or indices."""
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from places(content[key])


def read(path: Path, documents: list[Any]) -> tuple[list[Trajectory], Report]:
    """The trajectories of a file with the name of `path`, in a folder of its own, and the report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
        report = Report()
        found = loads_or_explains(lambda: list(read_trajectories(file, report=report)))
        return found or [], report


def names(path: Path) -> str:
    return path.relative_to(LOGS).as_posix()


@pytest.mark.parametrize("path", FILES, ids=names)
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_damage_is_read_or_explained(path: Path, data: st.DataObject) -> None:
    documents = content_of(path)
    for _ in range(data.draw(st.integers(1, 2))):
        if not (found := list(places(documents))):
            break
        container, key = data.draw(st.sampled_from(found))
        if data.draw(st.booleans()):
            container[key] = data.draw(VALUES)
        else:
            del container[key]
    read(path, documents)


def texts(found: list[Trajectory]) -> str:
    return json.dumps([item.to_dict() for item in found], ensure_ascii=False)


def texts_in(documents: list[Any]) -> list[tuple[Any, Any]]:
    """The places of texts; a name or a time is none (those of a repeated history are the kept one's)."""
    return [
        (container, key)
        for container, key in places(documents)
        if isinstance(container[key], str) and key not in LABELS and _is_text(container[key])
    ]


def _is_text(value: str) -> bool:
    return " " in value.strip() and not value.startswith(("{", "["))


@pytest.mark.parametrize("path", [path for path in FILES if texts_in(content_of(path))], ids=names)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_a_text_is_kept_or_counted_or_its_record_is_a_problem(path: Path, data: st.DataObject) -> None:
    """One text of the log is replaced by an unknown one, short and long: 40 characters more must show."""
    documents = content_of(path)
    _, before = read(path, documents)
    container, key = data.draw(st.sampled_from(texts_in(documents)))
    lost = []
    for length in (40, 80):
        container[key] = "qz " * (length // 3) + "x" * (length % 3)
        found, report = read(path, documents)
        refused = report.problems.count > before.problems.count or not found
        if refused or report.repeated != before.repeated or container[key] in texts(found):
            return
        lost.append(sum(left.characters for left in report.left_out.values()))
    assert lost[1] - lost[0] == 40, key


@pytest.mark.parametrize("family", ["chatml", "llama 3", "mistral", "gemma", "deepseek", "plain"])
def test_prompts_that_a_template_has_rendered_are_warned_of(family: str) -> None:
    prompt = {
        "chatml": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "llama 3": "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant",
        "mistral": "[INST] Hi [/INST]",
        "gemma": "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
        "deepseek": "<\uff5cUser\uff5c>Hi<\uff5cAssistant\uff5c>",
        "plain": "What does <|im_start|> mean?",
    }[family]
    report = Report()
    assert list(read_trajectories([{"prompt": prompt, "completion": "Hello."}], report=report))
    assert report.rendered == (family != "plain")
    assert [("has rendered" in doubt) for doubt in report.doubts()] == [True] * report.rendered
    merged = Report()
    merged.merge(report)
    assert (merged.rendered, merged.first_rendered) == (report.rendered, report.first_rendered)


@pytest.mark.parametrize("wrap", ["docker", "text", "message"])
def test_lines_that_hold_a_record_as_json_text_are_read_as_the_record(wrap: str, tmp_path: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi."}]}
    answer = {"choices": [{"message": {"role": "assistant", "content": "Hello."}}]}
    text = json.dumps({"request": asked, "response": answer})
    line: dict[str, Any] = {
        "docker": {"log": f"{text}\n", "stream": "stdout", "time": "2026-01-01T00:00:00Z"},
        "message": {"timestamp": 1, "message": text},
        "text": text,
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(line[wrap]) + "\n")
    import_logs([tmp_path / "log.jsonl"], tmp_path / "out.jsonl", workers=1)
    for path in (tmp_path / "log.jsonl", tmp_path / "out.jsonl"):
        (found,) = read_trajectories(path)
        assert [message["content"] for message in found.messages] == ["Hi.", "Hello."]
