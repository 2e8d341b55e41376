"""`lar corpus`: a folder, a table or JSON, and one line with exit code 2 for bad input."""

import json
import re
import sys

import pytest

from lar.cli import main
from lar.corpus import Corpus
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import agent, tokenizer_with, user
from testing.lossy_templates import LOSSY


@pytest.fixture
def folder(tmp_path):
    tokenizer_with(without_tags(TEMPLATES["mistral"])).save(tmp_path / "model")
    records = [
        {"id": f"r{number}", "split_key": f"t{number % 3}", "messages": [user(f"do {number}"), agent("done")]}
        for number in range(9)
    ]
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def run(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def corpus_command(folder, *more):
    return "corpus", folder / "logs.jsonl", "--tokenizer", folder / "model", "-o", folder / "corpus", *more


def test_json_and_folder(folder, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, *corpus_command(folder, "--json", "--workers", 1))
    summary = json.loads(out)
    corpus = Corpus.load(folder / "corpus")
    assert code == 0
    assert (summary["trajectories"], summary["tasks"]) == (9, 3)
    assert summary["tokens"] == corpus.num_tokens
    assert summary["action_tokens"] == corpus.num_action_tokens
    assert (summary["bad_records"], summary["left_out"], summary["without_agent"]) == (0, 0, 0)


def test_the_tokenizer_is_a_folder_or_its_file(folder, monkeypatch, capsys):
    arguments = ("corpus", folder / "logs.jsonl", "-o", folder / "corpus", "--tokenizer")
    assert run(monkeypatch, capsys, *arguments, folder / "model")[0] == 0
    assert run(monkeypatch, capsys, *arguments, folder / "model/tokenizer.json")[0] == 0  # the same corpus
    code, _, err = run(monkeypatch, capsys, *arguments, "Qwen/Qwen3-8B")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "hf download Qwen/Qwen3-8B --include '*.j*' --local-dir Qwen3-8B" in err


def test_only_succeeded_counts_the_others_by_reason(folder, monkeypatch, capsys):
    lines = (folder / "logs.jsonl").read_text().splitlines()
    outcomes = [{"success": True}] * 4 + [{"success": False}] * 3 + [{}] * 2
    records = [{**json.loads(line), **more} for line, more in zip(lines, outcomes, strict=True)]
    (folder / "logs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    code, out, _ = run(monkeypatch, capsys, *corpus_command(folder, "--only-succeeded", "--json"))
    summary = json.loads(out)
    counts = [summary[name] for name in ("trajectories", "failed_left_out", "unknown_left_out")]
    assert (code, summary["only_succeeded"], counts) == (0, True, [4, 3, 2])
    _, out, _ = run(monkeypatch, capsys, *corpus_command(folder, "--only-succeeded"))
    rows = dict(line.rsplit(None, 1) for line in out.splitlines())
    assert (rows["failed left out"], rows["unknown left out"]) == ("3", "2")


@pytest.mark.parametrize(("tasks", "is_told"), [(30, True), (300, False)])
def test_few_held_out_tasks_are_told(folder, monkeypatch, capsys, tasks, is_told):
    with (folder / "logs.jsonl").open("w") as file:
        for number in range(tasks):
            print(json.dumps({"split_key": f"t{number}", "messages": [user("do"), agent("done")]}), file=file)
    _, out, err = run(monkeypatch, capsys, *corpus_command(folder, "--hold-out", 0.2, "--json"))
    held_out = json.loads(out)["held_out_tasks"]
    assert (held_out < 20) == is_told
    told = [line for line in err.splitlines() if f"{held_out} of {tasks} tasks are held out" in line]
    assert len(told) == is_told


@pytest.mark.parametrize(
    ("begin", "reasons", "is_told"),
    [("", False, True), ("", True, False), ("{%- set enable_thinking = false %}", False, False)],
)
def test_a_switch_for_reasoning_is_told(folder, monkeypatch, capsys, begin, reasons, is_told):
    switched = f"{begin}{without_tags(TEMPLATES['chatml'])}{{% if enable_thinking is false %}}-{{% endif %}}"
    tokenizer_with(switched).save(folder / "model")
    thought = {"reasoning_content": "So."} if reasons else {}
    record = {"split_key": "t", "messages": [user("do"), agent("done", **thought)]}
    (folder / "logs.jsonl").write_text(json.dumps(record))
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder))
    assert code == 0
    assert ("the chat template has a switch, enable_thinking" in err) is is_told


def test_table(folder, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, *corpus_command(folder))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "tokens",
        "action",
        "tasks",
        "held",
        "trajectories",
        "shards",
        "seconds",
    ]


def test_the_refusal_to_go_on_names_redacted_names(folder, monkeypatch, capsys):
    pytest.importorskip("kingfisher_sdk", reason="needs lar[redact]")
    pytest.importorskip("phonenumbers", reason="needs lar[redact]")
    command = corpus_command(folder, "--redact", "--workers", 1)
    for _ in range(2):  # no name holds a private value
        assert run(monkeypatch, capsys, *command)[0] == 0
    text = (folder / "logs.jsonl").read_text()
    (folder / "logs.jsonl").write_text(text.replace('"t1"', '"jane@example.com"'))
    other = [folder / "other" if part == folder / "corpus" else part for part in command]
    assert run(monkeypatch, capsys, *other)[0] == 0
    code, _, err = run(monkeypatch, capsys, *other)
    assert code == 2
    assert "names that were redacted in another run" in err


def test_bad_records_and_refusals_are_told(folder, monkeypatch, capsys):
    with (folder / "logs.jsonl").open("a") as file:
        orphan = {
            "id": "orphan",
            "split_key": "t",
            "messages": [user("go"), {"role": "tool", "content": "x"}, {"role": "assistant", "content": "y"}],
        }
        file.write('{"id": "broken", \n' + json.dumps(orphan) + "\n")
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder))
    assert code == 2
    assert "trajectory orphan" in err.splitlines()[-1]
    code, out, err = run(monkeypatch, capsys, *corpus_command(folder, "--skip-refused", "--json"))
    assert code == 0
    summary = json.loads(out)
    assert (summary["left_out"], summary["bad_records"]) == (1, 1)
    assert [group["records"] for group in summary["bad_record_groups"]] == [1]
    assert "logs.jsonl" in err
    assert "orphan" in err


def test_what_the_template_leaves_out_is_told(folder, monkeypatch, capsys):
    turns = [user("do it"), agent("so", reasoning_content="It is so."), user("on"), agent("done")]
    with (folder / "logs.jsonl").open("a") as file:
        file.write(json.dumps({"id": "thinks", "split_key": "t", "messages": turns}) + "\n")
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder, "--strict"))
    assert code == 2
    assert "lar: error: the chat template leaves out reasoning of earlier turns" in err.splitlines()[-1]
    code, out, err = run(monkeypatch, capsys, *corpus_command(folder, "--json"))
    assert code == 0
    assert err.splitlines() == [
        "lar: warning: the chat template leaves out reasoning of earlier turns: 9 of 9 characters of the "
        "agent's reasoning (100.0%), in 1 turn; the first: trajectory thinks, agent turn 1"
    ]
    assert json.loads(out)["unwritten"] == {
        "reasoning": 9,
        "text": 42,
        "calls": 0,
        "losses": [
            {
                "kind": "reasoning of earlier turns",
                "characters": 9,
                "turns": 1,
                "first": "thinks",
                "first_turn": 1,
            }
        ],
    }


def test_reasoning_that_the_template_drops_later_makes_rows_which_are_told(folder, monkeypatch, capsys):
    LOSSY["last thought"].save(folder / "model")
    turns = [user("do it"), agent("so", reasoning_content="It is so."), user("on"), agent("done")]
    with (folder / "logs.jsonl").open("a") as file:
        file.write(json.dumps({"id": "thinks", "split_key": "t", "messages": turns}) + "\n")
    code, out, err = run(monkeypatch, capsys, *corpus_command(folder, "--strict"))
    assert (code, "warning" in err) == (0, False)
    assert re.search(r"^trajectories +10\nrows +11$", out, re.MULTILINE)
    assert "So a trajectory is several rows" in " ".join(out.split())
    code, out, _ = run(monkeypatch, capsys, *corpus_command(folder, "--json"))
    summary = json.loads(out)
    assert (summary["trajectories"], summary["rows"], summary["unwritten"]["losses"]) == (10, 11, [])
    code, out, _ = run(monkeypatch, capsys, "status", folder / "corpus", "--json")
    assert json.loads(out)["found"][0]["facts"]["trajectories"] == 10


def test_strict_stops_at_a_record_that_cannot_be_read(folder, monkeypatch, capsys):
    with (folder / "logs.jsonl").open("a") as file:
        file.write('{"id": "broken", \n')
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder, "--strict"))
    assert code == 2
    assert "logs.jsonl" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "logs.jsonl").write_text(""), ""),
        (lambda folder: (folder / "logs.jsonl").unlink(), "no such file or folder"),
        (lambda folder: (folder / "model/tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "model/chat_template.jinja").unlink(), "no chat template"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, monkeypatch, capsys, damage, message):
    damage(folder)
    code, out, err = run(monkeypatch, capsys, *corpus_command(folder))
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert line.startswith("lar: error: ")
    assert message in line


@pytest.mark.parametrize("share", ["20", "20%", "-0.1", "nan", "1"])
def test_what_is_no_share_is_answered_with_one(folder, monkeypatch, capsys, share):
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder, "--hold-out", share))
    assert (code, "no share: from 0 to less than 1, such as 0.2" in " ".join(err.split())) == (2, True)


def test_logs_of_one_task_cannot_be_split_by_another_seed(folder, monkeypatch, capsys):
    (folder / "logs.jsonl").write_text(json.dumps({"task": "a", "messages": [user("a"), agent("b")]}) + "\n")
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder, "--hold-out", 0.2))
    assert (code, "a split needs two" in err, "--task-key" in err, "seed" in err) == (2, True, True, False)


@pytest.mark.parametrize("command", ["corpus", "import"])
def test_a_corpus_in_place_of_logs_is_called_so(folder, monkeypatch, capsys, command):
    assert run(monkeypatch, capsys, *corpus_command(folder))[0] == 0
    more = {"corpus": ("--tokenizer", folder / "model", "-o", folder / "b"), "import": ("-o", "b.jsonl")}
    monkeypatch.chdir(folder)
    code, _, err = run(monkeypatch, capsys, command, "corpus", *more[command])
    assert (code, "corpus is a corpus of lar: give the logs" in err) == (2, True)
    assert "manifest" not in err


def test_another_corpus_is_not_touched(folder, monkeypatch, capsys):
    assert run(monkeypatch, capsys, *corpus_command(folder))[0] == 0
    before = (folder / "corpus/manifest.json").read_bytes()
    with (folder / "logs.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "split_key": "t", "messages": [user("a"), agent("b")]}) + "\n")
    code, _, err = run(monkeypatch, capsys, *corpus_command(folder))
    assert (code, "holds another corpus" in err) == (2, True)
    assert (folder / "corpus/manifest.json").read_bytes() == before


def test_standard_input(folder, monkeypatch, capsys):
    arguments = ("corpus", "-", "--tokenizer", folder / "model", "-o", folder / "corpus", "--json")
    with (folder / "logs.jsonl").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        code, out, _ = run(monkeypatch, capsys, *arguments)
    assert (code, json.loads(out)["trajectories"]) == (0, 9)
