"""The commands score, adapt and distill, and their errors without torch."""

import json

import numpy as np
import pytest

from lar import cli
from lar.cli.common import Bar
from lar.cli.training import taken
from lar.corpus import Corpus
from lar.distillation import Student
from lar.trajectories.schema import Trajectory
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy
from testing.conversations import agent, user

STEPS = ["--max-steps", "2", "--max-length", "200", "--device", "cpu"]


@pytest.fixture
def folders(tmp_path, tokenizer, vocabulary):
    Corpus.build(toy.trajectories(8), tokenizer, tmp_path / "corpus")
    vocabulary.save(tmp_path / "vocabulary")
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize(
    ("first", "shown"),
    [(1, "5 steps in"), (4, "5 steps, 2 of them now, in"), (None, "5 steps, 0 of them now, in")],
)
def test_the_steps_of_this_call_are_told_from_those_of_an_earlier_one(first, shown):
    bar = Bar(None, "distilling", "steps")
    for step in range(first or 6, 6):
        bar(step, 5)
    assert taken(5, bar, 2.04) == f"{shown} 2.0 s"


def test_the_whole_way(run, folders):
    corpus, model, vocabulary = folders / "corpus", folders / "model", folders / "vocabulary"
    code, out, err = run("adapt", corpus, "--model", model, "-o", folders / "teacher", *STEPS, "--json")
    assert code == 0, err
    assert json.loads(out)["options"]["max_steps"] == 2
    code, out, err = run("score", corpus, "--model", folders / "teacher", "--json")
    assert code == 0, err
    spoken = [
        shard.action & ~np.isin(shard.tokens, Corpus.load(corpus).tokenizer.barriers)
        for shard in Corpus.load(corpus).shards()
    ]
    assert json.loads(out)["tokens"] == sum(int(part.sum()) for part in spoken)
    common = ["distill", corpus, "--model", folders / "teacher", *STEPS]
    code, out, err = run(*common, "--vocabulary", vocabulary, "-o", folders / "student", "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 2
    code, _, err = run(*common, "--control", "-o", folders / "control", "--loss", "sft")
    assert code == 0, err
    student = Student.load(folders / "student", str(folders / "teacher"))
    assert student.vocabulary.latents == LatentVocabulary.load(vocabulary).latents
    assert Student.load(folders / "control", str(folders / "teacher")).rows is None


def test_a_device_that_is_not_there_is_refused_before_any_work(run, folders, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    corpus, model, out = folders / "corpus", folders / "model", folders / "out"
    for command in (
        ("run", folders / "logs", "--model", model, "-o", out),
        ("adapt", corpus, "--model", model, "-o", out),
        ("evaluate", corpus, folders / "vocabulary", "--model", model),
    ):
        code, _, err = run(*command, "--device", "cuda")
        assert code == 2
        assert err == "lar: error: device 'cuda' is not there: torch finds no GPU\n"
        assert not out.exists()


def test_bits_per_byte_of_tasks_without_an_agent_are_refused_in_one_line(run, folders, tokenizer):
    """Beside a corpus with an agent they count as before: nothing."""
    turns = [user("Hello?"), {**agent("Hi."), "weight": 0}]
    Corpus.build(
        [Trajectory(f"silent-{i}", f"task {i}", turns) for i in range(4)], tokenizer, folders / "silent"
    )
    end = (folders / "vocabulary", "--model", folders / "model", "--device", "cpu", "--json")
    code, _, err = run("evaluate", folders / "silent", *end)
    assert code == 2
    assert err.splitlines()[-1] == "lar: error: silent: the measured tasks hold no token of an agent"
    Corpus.build(toy.trajectories(8, first=100), tokenizer, folders / "fresh")
    found = [run("evaluate", folders / "fresh", *more, *end) for more in ((), (folders / "silent",))]
    assert [code for code, _, _ in found] == [0, 0]
    first, second = (json.loads(out)["bits_per_byte"] for _, out, _ in found)
    assert first == second


def test_bits_are_of_the_tasks_whose_units_are_counted(run, folders, tokenizer, monkeypatch):
    """Of each corpus those that it holds out itself: others are held out of another one."""
    for name, seed in (("one", 0), ("two", 1)):
        logs = toy.trajectories(20, first=100)
        Corpus.build(logs, tokenizer, folders / name, hold_out=0.3, split_seed=seed)
    read = []

    def bits(corpora, *_):
        read.extend(corpora)
        return 1.0

    monkeypatch.setattr("lar.cli.evaluate._bits_of_arm", bits)
    given = (folders / "one", folders / "two", folders / "vocabulary", "--model", folders / "model")
    code, out, err = run("evaluate", *given, "--json")
    assert code == 0, err
    counted = json.loads(out)["per_corpus"]
    assert [one.num_action_tokens for one in read] == [counted[name]["base_tokens"] for name in counted]


@pytest.mark.parametrize("option", [("--max-length", "64"), ("--dtype", "float32"), ("--device", "cpu")])
def test_options_of_models_need_one(run, folders, option):
    code, _, err = run("evaluate", folders / "corpus", folders / "vocabulary", *option)
    assert code == 2
    assert err == "lar: error: --max-length, --dtype and --device are for bits per byte: they need --model\n"


def test_from_an_earlier_student(run, folders, vocabulary):
    common = ["distill", folders / "corpus", "--model", folders / "model", *STEPS]
    common += ["--vocabulary", folders / "vocabulary"]
    code, out, err = run(*common, "-o", folders / "first", "--lora-rank", "4")
    assert code == 0, err
    assert "started from" not in out
    code, out, err = run(*common, "-o", folders / "second", "--from", folders / "first")
    assert code == 0, err
    expected = f"started from {folders / 'first'}: {len(vocabulary)} latents keep their rows, 0 are new"
    assert out.splitlines()[0] == expected
    record = json.loads((folders / "second" / "distillation.json").read_text())
    assert record["options"]["lora_rank"] == 4
    code, _, err = run(*common, "-o", folders / "third", "--from", folders / "first", "--control")
    assert code == 2
    assert err.count("\n") == 1
    assert not (folders / "third").exists()


def test_options_from_a_file_and_flags_before_it(run, folders):
    file = folders / "options.yaml"
    file.write_text("max_steps: 5\nlora_rank: 4\nlearning_rate: 1e-3\ngradient_checkpointing: true\n")
    common = [folders / "corpus", "--model", folders / "model", *STEPS, "--options", file, "--json"]
    code, out, err = run("adapt", *common, "-o", folders / "adapted")
    assert code == 0, err
    found = json.loads(out)["options"]
    assert (found["max_steps"], found["lora_rank"], found["learning_rate"]) == (2, 4, 1e-3)
    assert found["gradient_checkpointing"]
    assert json.loads((folders / "adapted" / "adaptation.json").read_text())["options"] == found
    flags = ["--control", "--no-gradient-checkpointing", "-o", folders / "control"]
    code, out, err = run("distill", *common, *flags)
    assert code == 0, err
    record = json.loads((folders / "control" / "distillation.json").read_text())["options"]
    assert {**record, **found, "gradient_checkpointing": False} == record
    file.write_text("max_step: 5\n")
    code, _, err = run("adapt", *common, "-o", folders / "none")
    assert code == 2
    assert "options.yaml" in err
    assert "max_step" in err


def test_the_record_of_a_control_as_the_options_of_a_student(run, folders):
    common = ["distill", folders / "corpus", "--model", folders / "model"]
    code, _, err = run(*common, *STEPS, "--control", "-o", folders / "control")
    assert code == 0, err
    options = ["--options", folders / "control" / "distillation.json", "--device", "cpu"]
    flags = ["--vocabulary", folders / "vocabulary", "-o", folders / "student"]
    code, _, err = run(*common, *options, *flags)
    assert code == 0, err
    assert Student.load(folders / "student", str(folders / "model")).rows is not None
    code, _, err = run(*common, *options, "-o", folders / "again")
    assert code == 0, err
    assert Student.load(folders / "again", str(folders / "model")).rows is None


def test_evaluation_early_stopping_and_an_adapter_that_is_kept(run, folders):
    corpus, model = folders / "corpus", folders / "model"
    split = ["--hold-out", "0.4"]
    evaluated = ["--evaluate-steps", "1", "--evaluated-windows", "3", "--patience", "1"]
    flags = [*STEPS, *split, *evaluated, "--min-improvement", "100"]
    vocabulary = folders / "fresh"
    code, _, err = run("mine", corpus, "--size", "4", *split, "-o", vocabulary)
    assert code == 0, err
    code, out, err = run("adapt", corpus, "--model", model, "-o", folders / "lora", *flags, "--keep-adapter")
    assert code == 0, err
    assert "held-out bits per byte" in out
    assert "kept step" in out
    assert (folders / "lora" / "adapter_config.json").is_file()
    code, _, err = run("score", corpus, "--model", folders / "lora")
    assert code == 0, err
    common = ["distill", corpus, "--model", folders / "lora", "--vocabulary", vocabulary]
    code, out, err = run(*common, "-o", folders / "student", *flags, "--json")
    assert code == 0, err
    assert json.loads(out)["kept"]["stopped_early"]
    assert any("eval_latent_use" in line for line in json.loads(out)["log"])


def test_score_prints_the_distribution(run, folders):
    code, out, err = run("score", folders / "corpus", "--model", folders / "model")
    assert code == 0, err
    assert "p50" in out
    assert "0.05" in out


@pytest.mark.parametrize("command", ["score", "adapt", "distill"])
def test_help_shows_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lar {command} corpus/" in out


@pytest.mark.parametrize("command", ["score", "adapt", "distill"])
def test_a_missing_extra_is_one_clear_line(run, folders, monkeypatch, command):
    find = cli.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else find(name))
    output = [] if command == "score" else ["-o", folders / "out"]
    code, _, err = run(command, folders / "corpus", "--model", folders / "model", *output)
    assert code == 2
    assert "pip install" in err
    assert "'lar[" not in err  # the index has no such name
    assert len(err.splitlines()) == 1


def test_mistakes_are_one_clear_line_and_leave_nothing(run, folders, tokenizer):
    tiny.model(tokenizer.base_size - 8).save_pretrained(folders / "narrow")
    corpus, output = folders / "corpus", folders / "out"
    common = ["distill", corpus, "-o", output, *STEPS]
    cases = [
        [*common, "--model", folders / "model"],
        [*common, "--model", folders / "narrow", "--vocabulary", folders / "vocabulary"],
        [*common, "--model", folders / "corpus", "--vocabulary", folders / "vocabulary"],
        [*common, "--model", folders / "model", "--control", "--learning-rate", "0"],
        [*common, "--model", folders / "model", "--control", "--loss", "paper"],
        [*common, "--model", folders / "model", "--control", "--evaluate-steps", "1"],
        [*common, "--model", folders / "model", "--control", "--patience", "1"],
        [*common, "--model", folders / "model", "--control", "--report-to", "paper"],
        ["score", corpus, "--model", folders / "narrow"],
        ["score", folders / "model", "--model", folders / "model"],
    ]
    for case in cases:
        code, _, err = run(*case)
        assert code == 2, err
        assert len(err.splitlines()) == 1, err
        assert not output.exists()
