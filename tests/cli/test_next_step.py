"""The lines "Next: ...": they can be run as they are, from the logs to the export."""

import json
import shlex

import pytest

from lar.trajectories import write_trajectories
from testing import tiny, toy

STEPS = ("--max-steps", "1", "--max-length", "200", "--device", "cpu", "--lora-rank", "4")


@pytest.fixture
def folder(tmp_path, tokenizer):
    folder = tmp_path / "agent logs"  # the space must be quoted
    folder.mkdir()
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    tokenizer.save(folder / "model")
    tiny.model(tokenizer.base_size).save_pretrained(folder / "model")
    return folder


def steps_of(err):
    """The commands on standard error, each as a list of words."""
    lines = [line.strip() for line in err.splitlines() if line.startswith(("Next:", "then:", "  or:"))]
    return [shlex.split(line.split(":", 1)[1]) for line in lines]


def follow(run, words):
    """Run a command of a line, with few steps where it trains; the commands that it names."""
    assert words[0] == "lar"
    training = STEPS if words[1] in ("adapt", "distill") and "--control" not in words else ()
    small = ("--size", "4") if words[1] == "mine" else ()
    code, _, err = run(*words[1:], *training, *small)
    assert code == 0, err
    return steps_of(err)


def test_the_lines_lead_from_the_logs_to_an_export(run, folder):
    (corpus,) = follow(run, ["lar", "import", folder / "logs.jsonl", "-o", folder / "t.parquet"])
    assert corpus[1] == "corpus"
    mine, score = follow(run, corpus)
    assert [mine[1], score[1]] == ["mine", "score"]
    mine, gated = follow(run, score)
    assert "--hold-out" not in mine  # the corpus stores its split
    assert [words[-2:] for words in (mine, gated)] == [["-o", str(folder / "vocabulary")]] * 2
    assert gated[:-2] == [*mine[:-2], "--max-entropy", "p90"]
    evaluate, distill = follow(run, mine)
    assert follow(run, evaluate) == []
    control, compare, export = follow(run, distill)
    assert [words[1] for words in (control, compare, export)] == ["distill", "evaluate", "export"]
    assert follow(run, control) == [compare, export]
    follow(run, compare)
    assert follow(run, export) == [["vllm", "serve", export[-1]]]
    record = json.loads((folder / "control" / "distillation.json").read_text())
    assert record["split"] == {"hold_out": 0.2, "seed": 0}


def test_a_split_that_no_corpus_stores_goes_on_in_the_flags(run, folder):
    logs, model, corpus = folder / "logs.jsonl", folder / "model", folder / "corpus"
    follow(run, ["lar", "corpus", logs, "--tokenizer", model, "-o", corpus])
    flags = ["--hold-out", "0.3", "--split-seed", "3"]
    mined = ["lar", "mine", corpus, *flags, "-o", folder / "vocabulary"]
    _, distill = follow(run, mined)
    assert distill[distill.index("--hold-out") :][:4] == flags
    evaluate, made = follow(run, ["lar", "mine", logs, "--tokenizer", model, *flags, "-o", folder / "v"])
    assert made[:2] == ["lar", "corpus"]
    assert made[made.index("--hold-out") :][:4] == flags
    follow(run, evaluate)
    (alone,) = follow(run, ["lar", "mine", corpus, "-o", folder / "all"])
    assert (alone[1], "--hold-out" in alone) == ("distill", False)


@pytest.mark.parametrize("flags", [[], ["--hold-out", "0.25", "--split-seed", "2"]])
def test_a_student_of_an_adapted_model_learns_from_the_tasks_that_it_has_learnt(run, folder, flags):
    follow(run, ["lar", "corpus", folder / "logs.jsonl", "--tokenizer", folder / "model", "-o", folder / "c"])
    adapt = ["lar", "adapt", folder / "c", "--model", folder / "model", *flags, "-o", folder / "teacher"]
    mine, distill = follow(run, adapt)
    assert [mine[-len(flags) - 2 : -2], distill[-len(flags) - 2 : -2]] == [flags, flags]
    follow(run, mine)
    assert follow(run, [*adapt, "--overwrite"]) == [distill]
    control, compare, _ = follow(run, distill)
    follow(run, control)
    follow(run, compare)


@pytest.mark.parametrize("silent", ["--json", "-q"])
def test_json_and_quiet_have_none(run, folder, silent):
    logs, model = folder / "logs.jsonl", folder / "model"
    for command in (
        ("import", logs, "-o", folder / "t.parquet"),
        ("corpus", logs, "--tokenizer", model, "-o", folder / "corpus"),
        ("score", folder / "corpus", "--model", model),
        ("mine", folder / "corpus", "--size", "4", "-o", folder / "vocabulary"),
        ("estimate", folder / "corpus", "--size", "4", "--splits", "1"),
    ):
        code, out, err = run(*command, silent)
        assert code == 0, err
        assert "Next:" not in out + err


def test_few_tasks_are_not_held_out(run, folder):
    write_trajectories(toy.trajectories(1), folder / "one.jsonl")
    (corpus,) = follow(run, ["lar", "import", folder / "one.jsonl", "-o", folder / "one.parquet"])
    assert "--hold-out" not in corpus


def test_a_control_of_other_steps_or_tasks_is_none(run, folder):
    """Another control is then named, and each control that a line names is one: the lines come to an end."""
    logs, model, corpus = folder / "logs.jsonl", folder / "model", folder / "corpus"
    follow(run, ["lar", "corpus", logs, "--tokenizer", model, "--hold-out", "0.3", "-o", corpus])
    follow(run, ["lar", "mine", corpus, "-o", folder / "vocabulary"])
    common = ("distill", corpus, "--model", model, *STEPS)
    code, _, err = run(*common, "--control", "--max-steps", "2", "-o", folder / "control")
    assert code == 0, err
    assert [words[1] for words in steps_of(err)] == ["distill"]  # no student goes with it
    student = folder / "student"
    distill = ["lar", *common[:4], "--vocabulary", folder / "vocabulary", "-o", student]
    control, compare, _ = follow(run, distill)
    assert control[-1] == str(folder / "control-2")
    assert compare[compare.index("--control") + 1] == control[-1]
    assert follow(run, control)[0] == compare
    evaluate = [*compare[1:], "--device", "cpu"]
    code, _, err = run(*evaluate)
    assert (code, err) == (0, "")
    evaluate[evaluate.index("--control") + 1] = folder / "control"
    code, _, err = run(*evaluate)
    assert code == 0
    assert "they differ in steps (2 and 1), max_steps (2 and 1)" in err
    assert err.count("\n") == 1


def test_the_control_of_a_student_from_another_starts_from_that_ones_control(run, folder):
    logs, model, corpus = folder / "logs.jsonl", folder / "model", folder / "corpus"
    follow(run, ["lar", "corpus", logs, "--tokenizer", model, "-o", corpus])
    follow(run, ["lar", "mine", corpus, "-o", folder / "vocabulary"])
    student, renewed = folder / "student", folder / "renewed"
    distill = ["lar", "distill", corpus, "--model", model, "--vocabulary", folder / "vocabulary"]
    first, *_ = follow(run, [*distill, "-o", student])
    control, *_ = follow(run, [*distill, "--from", student, "-o", renewed])
    assert control[control.index("--from") + 1] == "CONTROL"
    follow(run, first)
    control, compare, _ = follow(run, [*distill, "--from", student, "-o", renewed, "--overwrite"])
    assert control[control.index("--from") + 1] == first[-1]
    assert follow(run, control)[0] == compare
