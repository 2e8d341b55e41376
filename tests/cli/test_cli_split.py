"""The split of a corpus on the command line: made once, obeyed everywhere, repeated, and not contradicted."""

import json

import pytest

from lar.cli.pairs import differences
from lar.corpus import Corpus
from lar.trajectories import write_trajectories
from lar.utils.task_digests import TRAINED_FILE, task_digest, write_digests
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

SPLIT = {"hold_out": 0.3, "seed": 3}
FLAGS = ("--hold-out", "0.3", "--split-seed", "3")
STEPS = ("--max-steps", "1", "--max-length", "200", "--device", "cpu", "--lora-rank", "4")


@pytest.fixture
def folder(tmp_path, tokenizer):
    write_trajectories(toy.trajectories(24), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.fixture
def done(run):
    """Runs a command that succeeds; its JSON, or its text."""

    def call(*arguments):
        code, out, err = run(*arguments)
        assert code == 0, err
        return json.loads(out) if "--json" in arguments else out

    return call


@pytest.fixture
def refused(run):
    """Runs a command that is refused; its one line."""

    def call(*arguments):
        code, _, err = run(*arguments)
        assert code == 2, err
        (line,) = err.splitlines()
        return line

    return call


def corpus_command(folder, *flags):
    return "corpus", folder / "logs.jsonl", "--tokenizer", folder / "model", "-o", folder / "corpus", *flags


def record(folder, name, file="distillation.json"):
    return json.loads((folder / name / file).read_text(encoding="utf-8"))


def test_the_whole_way_needs_it_once(done, folder):
    made = done(*corpus_command(folder, *FLAGS, "--json"))
    assert made["split"] == SPLIT
    assert 0 < made["held_out_tasks"] < made["tasks"]
    corpus, teacher, vocabulary = folder / "corpus", folder / "teacher", folder / "vocabulary"
    evaluated = ("--evaluate-steps", "1", "--evaluated-windows", "2")
    done("adapt", corpus, "--model", folder / "model", "-o", teacher, *STEPS, *evaluated)
    assert done("score", corpus, "--model", teacher, "--json")["teacher"]["split"] == SPLIT
    done("mine", corpus, "--size", "4", "--max-entropy", "p90", "-o", vocabulary)
    common = ("distill", corpus, "--model", teacher, *STEPS, *evaluated)
    done(*common, "--vocabulary", vocabulary, "-o", folder / "student")
    as_the_student = ("--options", folder / "student" / "distillation.json")
    done("distill", corpus, "--model", teacher, "--control", *as_the_student, "-o", folder / "control")
    of_control = {**record(folder, "student")["options"], "control": True, "loss": "sft"}
    assert record(folder, "control")["options"] == of_control
    assert "held-out tasks (hold out 0.3, seed 3)" in done("evaluate", corpus, vocabulary)
    arms = [f"--{name}={folder / name}" for name in ("control", "student")]
    found = done("evaluate", corpus, vocabulary, "--model", teacher, *arms, "--json")
    assert found["tasks"] == made["held_out_tasks"]
    assert found["splits"] == {"corpus": SPLIT}
    assert (found["seen_tasks"], found["in_sample"]) == (0, False)
    assert set(found["bits_per_byte"]) == {"base", "control", "student"}


def test_the_corpus_command_prints_and_changes_it(done, folder):
    assert done(*corpus_command(folder, "--json"))["split"] is None
    assert "held out tasks" in done(*corpus_command(folder, *FLAGS))
    assert done(*corpus_command(folder, "--json"))["split"] == SPLIT
    assert done(*corpus_command(folder, "--hold-out", "0", "--json"))["split"] is None


@pytest.mark.parametrize("flags", [("--hold-out", "0.4"), (*FLAGS[:2],), ("--hold-out", "0")])
def test_a_flag_that_contradicts_it_is_refused(done, refused, folder, flags):
    done(*corpus_command(folder, *FLAGS))
    corpus = folder / "corpus"
    common = (corpus, "--model", folder / "model", "-o", folder / "out", *STEPS, *flags)
    for command in (
        ("mine", corpus, "-o", folder / "out", *flags),
        ("adapt", *common),
        ("distill", *common, "--control"),
    ):
        line = refused(*command)
        assert "contradicts the split of" in line
        assert "hold out 0.3, seed 3" in line
        assert not (folder / "out").exists()
    done("mine", corpus, "--size", "4", "-o", folder / "out", *FLAGS)  # the same one again


def test_a_seed_alone_is_refused(done, refused, folder):
    assert "--split-seed needs --hold-out" in refused(*corpus_command(folder, "--split-seed", "3"))
    done(*corpus_command(folder))
    mined = ("mine", folder / "corpus", "-o", folder / "out", "--split-seed", "3")
    assert "--split-seed needs --hold-out" in refused(*mined)


def test_logs_and_corpora_without_one_take_it_from_flags(done, folder):
    mined = ("--size", "4", *FLAGS, "--json")
    done(*corpus_command(folder))
    here = done("mine", folder / "corpus", *mined, "-o", folder / "of-corpus")
    logs = (folder / "logs.jsonl", "--tokenizer", folder / "model")
    assert done("mine", *logs, *mined, "-o", folder / "of-logs")["mining"] == here["mining"]
    assert here["mining"]["split"] == SPLIT
    assert Corpus.load(folder / "corpus").own_split is None
    seen = LatentVocabulary.load(folder / "of-corpus").mined_tasks
    assert len(seen) == here["mining"]["tasks"] < 24


@pytest.mark.parametrize("stored", [True, False])
def test_the_options_of_a_record_repeat_its_run(done, folder, stored):
    done(*corpus_command(folder, *(FLAGS if stored else ())))
    common = ("distill", folder / "corpus", "--model", folder / "model")
    flags = () if stored else FLAGS
    evaluated = ("--evaluate-steps", "1")
    done(*common, "--control", *STEPS, *flags, *evaluated, "-o", folder / "first", "--loss", "sft")
    done(*common, "--options", folder / "first" / "distillation.json", "-o", folder / "second")
    first, second = (record(folder, name) for name in ("first", "second"))
    assert first["split"] == second["split"] == SPLIT
    assert first["options"] == second["options"]
    weights = [(folder / name / "adapter_model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
    tasks = [(folder / name / "trained_tasks.txt").read_text() for name in ("first", "second")]
    assert tasks[0] == tasks[1]


def test_a_record_of_another_split_is_refused_unless_the_corpuss_is_asked_for(done, refused, folder):
    done(*corpus_command(folder, *FLAGS))
    common = ("distill", folder / "corpus", "--model", folder / "model")
    done(*common, "--control", *STEPS, "-o", folder / "first")
    done(*corpus_command(folder, "--hold-out", "0.4"))
    again = (*common, "--options", folder / "first" / "distillation.json", "-o", folder / "second")
    line = refused(*again)
    assert "distillation.json (hold out 0.3, seed 3) contradicts the split of" in line
    assert "--hold-out 0.4 --split-seed 0 keeps the corpus's" in line
    done(*again, "--hold-out", "0.4", "--split-seed", "0")
    assert record(folder, "second")["split"] == {"hold_out": 0.4, "seed": 0}


def test_an_arm_that_has_seen_measured_tasks_is_named(done, refused, folder):
    done(*corpus_command(folder))
    corpus, model = folder / "corpus", folder / "model"
    done("mine", corpus, "--size", "4", *FLAGS, "-o", folder / "vocabulary")
    done("distill", corpus, "--model", model, "--control", *STEPS, "-o", folder / "control")
    evaluated = ("evaluate", corpus, folder / "vocabulary", "--model", model)
    line = refused(*evaluated, "--control", folder / "control")
    assert f"{folder / 'control'} was trained on" in line
    assert "'toy/" in line
    done(*evaluated)


def test_without_any_split_figures_of_seen_tasks_have_a_warning(run, done, folder):
    done(*corpus_command(folder))
    corpus, model = folder / "corpus", folder / "model"
    done("mine", corpus, "--size", "4", "-o", folder / "vocabulary")
    done("distill", corpus, "--model", model, "--control", *STEPS, "-o", folder / "control")
    arms = ("--model", model, "--control", folder / "control")
    code, out, err = run("evaluate", corpus, folder / "vocabulary", *arms)
    assert code == 0, err
    assert "every task was seen in mining" in err
    assert "control" in out


def arm(folder, vocabulary, *, control):
    """A folder with the files of a student or control that tell its kind and its latents."""
    vocabulary.save(folder / "vocabulary")
    (folder / "distillation.json").write_text(json.dumps({"options": {"control": control}}), encoding="utf-8")
    return folder


def test_arms_that_are_not_what_they_are_given_as_are_refused_before_a_model_is_loaded(
    refused, folder, corpus, vocabulary, monkeypatch
):
    from lar.distillation import Student

    loaded = []
    monkeypatch.setattr(Student, "load", lambda *_, **__: loaded.append(1))
    vocabulary.save(folder / "vocabulary")
    other = LatentVocabulary(vocabulary.latents[:1], vocabulary.tokenizer)
    student, control = (
        arm(folder / "student", other, control=False),
        arm(folder / "control", LatentVocabulary((), vocabulary.tokenizer), control=True),
    )
    evaluated = ("evaluate", corpus.path, folder / "vocabulary", "--model", folder / "model")
    line = refused(*evaluated, "--student", student)
    assert f"it has other latents than {folder / 'vocabulary'}; give the vocabulary {student}" in line
    assert f"--control {student}: a student" in refused(*evaluated, "--control", student)
    assert f"--student {control}: a control" in refused(*evaluated, "--student", control)
    assert "neither a student nor a control" in refused(*evaluated, "--control", folder / "model")
    assert not loaded


@pytest.fixture
def tickets(folder):
    """Logs in which two runs, with other first messages, are at one ticket."""
    rows = []
    for number, run_ in enumerate(toy.trajectories(24)):
        said = [{"role": "user", "content": f"Number {number}"}, *run_.messages]
        rows.append({"messages": said, "ticket": f"t{number // 2}", "passed": True})
    file = folder / "tickets.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_every_command_reads_a_conversation_by_the_fields_that_are_named(tickets, folder, done, run):
    lines = tickets.read_text(encoding="utf-8").splitlines()
    rows = [{"ticket": row["ticket"], "log": {"said": row["messages"]}} for row in map(json.loads, lines)]
    tickets.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fields = ("--task-key", "ticket", "--messages-key", "log.said")
    tokenizer = ("--tokenizer", folder / "model")
    assert done("import", tickets, *fields, "-o", folder / "t.parquet", "--json")["trajectories"] == 24
    made = done("corpus", tickets, *tokenizer, *fields, "-o", folder / "corpus", "--json")
    mined = done("mine", tickets, *tokenizer, *fields, "--size", "4", "-o", folder / "vocabulary", "--json")
    assert made["tasks"] == mined["mining"]["tasks"] == 12
    assert done("evaluate", tickets, folder / "vocabulary", *fields, "--json")["tasks"] == 12
    page = folder / "report.html"
    done("report", tickets, *tokenizer, *fields, "--size", "4", "-o", page, "--json")
    assert "--messages-key log.said" in page.read_text(encoding="utf-8")
    code, _, err = run("estimate", tickets, *tokenizer, *fields, "--size", "4", "--splits", "1")
    assert code == 0, err
    assert "--task-key ticket --messages-key log.said" in " ".join(err.split())


def test_logs_are_read_by_the_fields_that_their_corpus_was_read_by(tickets, folder, done, refused):
    fields = ("--task-key", "ticket", "--success-key", "passed")
    tokenizer = ("--tokenizer", folder / "model")
    done("corpus", tickets, *tokenizer, *fields, "-o", folder / "corpus", "--json")
    mined = done("mine", folder / "corpus", "--size", "4", "-o", folder / "vocabulary", "--json")
    assert mined["mining"]["tasks"] == 12
    found = done("evaluate", tickets, folder / "vocabulary", *fields, "--json")
    assert (found["tasks"], found["in_sample"]) == (12, True)
    own = ("mine", tickets, *tokenizer, *fields, "--size", "4", "--hold-out", "0.3", "-o", folder / "own")
    assert done(*own, "--json")["mining"]["tasks"] < 12
    held_out = done("evaluate", tickets, folder / "own", *fields, "--json")
    assert held_out["tasks"] + held_out["seen_tasks"] == 12
    page = folder / "report.html"
    done("report", tickets, *tokenizer, "--task-key", "ticket", "--size", "4", "-o", page, "--json")
    assert "--task-key ticket" in page.read_text(encoding="utf-8")
    for command in (
        ("mine", folder / "corpus", "-o", folder / "other"),
        ("evaluate", folder / "corpus", folder / "vocabulary"),
        ("report", folder / "corpus", "-o", page),
    ):
        assert "--task-key is for logs: a corpus has its tasks" in refused(*command, "--task-key", "ticket")
        assert "--success-key is for logs" in refused(*command, "--success-key", "passed")


def test_the_next_command_has_the_fields_of_the_logs(tickets, folder, run):
    flags = ("--tokenizer", folder / "model", "--task-key", "ticket", "--hold-out", "0.3", "--size", "4")
    code, _, err = run("mine", tickets, *flags, "-o", folder / "own")
    assert code == 0, err
    assert [line.count("--task-key ticket") for line in err.splitlines() if " lar " in line] == [1, 1]


RECORD = {
    "split": {"hold_out": 0.2, "seed": 0},
    "start": {},
    "steps": 4,
    "options": {"learning_rate": 1e-3, "max_steps": 4, "epochs": 1.0, "patience": None, "device": "cpu"},
}
_OPTIONS = RECORD["options"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, []),
        ({"split": None}, ["the split"]),
        ({"steps": 1}, ["steps (1 and 4)"]),
        ({"start": {"from": {"student": "s"}}}, ["the start (--from)"]),
        ({"options": {**_OPTIONS, "learning_rate": 0.1}}, ["learning_rate (0.1 and 0.001)"]),
        ({"options": {**_OPTIONS, "device": "cuda", "loss": "sft", "epochs": 2.0}}, []),
        ({"options": {"control": True}}, []),
        ({"steps": 1, "options": {**_OPTIONS, "patience": 1}}, ["patience (1 and None)"]),
    ],
)
def test_what_a_control_and_a_student_differ_in_is_named(tmp_path, changed, named):
    for name, record in (("control", RECORD | changed), ("student", RECORD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "distillation.json").write_text(json.dumps(record), encoding="utf-8")
    control, student = tmp_path / "control", tmp_path / "student"
    assert differences(control, student) == named
    write_digests(student / TRAINED_FILE, [task_digest("a"), task_digest("b")])
    assert differences(control, student) == named  # earlier versions did not write the tasks
    write_digests(control / TRAINED_FILE, [task_digest("a")])
    assert "the trained tasks (1 and 2)" in differences(control, student)


def test_records_of_earlier_versions_lack_what_is_not_compared(tmp_path):
    started = {**RECORD, "start": {"from": {"student": "s"}}}
    for name, record in (("control", {}), ("student", started)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "distillation.json").write_text(json.dumps(record), encoding="utf-8")
    assert differences(tmp_path / "control", tmp_path / "student") == []
