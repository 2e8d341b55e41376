"""`lar status`: what lies in a folder, what belongs together, what is stopped, and the next command."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lar.corpus import Corpus
from lar.corpus.manifest import Manifest
from lar.corpus.seen_tasks import digests_of
from lar.evaluation.boundary import Point, Sweep
from lar.trajectories import write_trajectories
from lar.utils.result_files import SWEEP_FILE, SWEEP_RESULT_FILE
from lar.utils.task_digests import TRAINED_FILE, write_digests
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

STEPS = ("--max-steps", "1", "--max-length", "200", "--device", "cpu", "--lora-rank", "4")


@pytest.fixture
def folder(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.fixture
def status(run, folder):
    """The status as JSON: results by the name of their folder, and the commands to go on with."""

    def call():
        code, out, err = run("status", folder, "--json")
        assert code == 0, err
        value = json.loads(out)
        by_name = {one["path"].rsplit("/", 1)[1]: one for one in value["found"]}
        return by_name, [step[1] for step in value["next"]]

    return call


@pytest.fixture
def done(run):
    def call(*arguments):
        code, _, err = run(*arguments)
        assert code == 0, err

    return call


def test_names_that_are_no_utf8_are_printed_as_escapes(run, vocabulary, tmp_path):
    vocabulary.save(tmp_path / os.fsdecode(b"v\xff"))
    code, out, err = run("status", tmp_path)
    assert code == 0, err
    assert f"vocabulary: {tmp_path}/v\\udcff\n" in out


def test_each_stage_is_seen_with_what_it_was_made_of(done, status, folder):
    write_trajectories(toy.trajectories(4), folder / "logs.jsonl")
    found, steps = status()
    assert (found["model"]["kind"], steps) == ("model", ["import"])
    write_trajectories(toy.trajectories(24), folder / "t.parquet")
    found, steps = status()
    assert (found["t.parquet"]["facts"], steps) == ({"trajectories": 24}, ["corpus"])
    corpus, model, vocabulary = folder / "corpus", folder / "model", folder / "vocabulary"
    done("corpus", folder / "t.parquet", "--tokenizer", model, "--hold-out", "0.3", "-o", corpus)
    found, steps = status()
    assert found["corpus"]["facts"]["split"] == {"hold_out": 0.3, "seed": 0}
    assert steps == ["mine", "score"]
    done("score", corpus, "--model", model)
    assert status()[1] == ["mine", "mine"]  # without an entropy gate, or with one
    done("mine", corpus, "--size", "4", "--max-entropy", "p60", "-o", vocabulary)
    found, steps = status()
    assert found["vocabulary"]["facts"]["max_entropy"] == "p60"
    assert found["vocabulary"]["goes_with"] == [str(corpus)]
    assert steps == ["evaluate", "distill"]
    done(
        *("distill", corpus, "--model", model, *STEPS),
        *("--vocabulary", vocabulary, "-o", folder / "student"),
    )
    found, steps = status()
    assert found["student"]["goes_with"] == [str(corpus), str(vocabulary)]
    assert steps == ["distill", "evaluate", "export"]
    done("distill", corpus, "--model", model, *STEPS, "--control", "-o", folder / "control")
    found, steps = status()
    assert found["control"]["kind"] == "control"
    assert found["control"]["goes_with"] == [str(corpus), str(folder / "student")]
    assert steps == ["evaluate", "export"]
    done("export", folder / "student", "-o", folder / "export")
    found, steps = status()
    assert found["export"]["goes_with"] == [str(vocabulary), str(folder / "student")]
    assert steps == ["serve"]


def test_results_of_other_logs_do_not_go_together(done, status, folder):
    for name, first in (("one", 0), ("two", 100)):
        write_trajectories(toy.trajectories(10, first=first), folder / f"{name}.jsonl")
        common = ("--tokenizer", folder / "model", "-o", folder / f"{name}-corpus")
        done("corpus", folder / f"{name}.jsonl", *common)
        done("mine", folder / f"{name}-corpus", "--size", "4", "-o", folder / f"{name}-vocabulary")
    found, _ = status()
    for name in ("one", "two"):
        assert found[f"{name}-vocabulary"]["goes_with"] == [str(folder / f"{name}-corpus")]


def test_a_vocabulary_that_has_seen_held_out_tasks_is_not_gone_on_with(done, run, status, folder):
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    logs, corpus, model = folder / "logs.jsonl", folder / "corpus", folder / "model"
    done("corpus", logs, "--tokenizer", model, "--hold-out", "0.3", "-o", corpus)
    done("mine", logs, "--tokenizer", model, "--size", "4", "-o", folder / "of-all")
    found, steps = status()
    assert found["of-all"]["goes_with"] == [str(corpus)]
    code, _, err = run("evaluate", corpus, folder / "of-all")
    assert (code, "held-out tasks" in err) == (2, True)
    assert steps == ["mine", "score"]
    done("mine", corpus, "--size", "4", "-o", folder / "half")
    assert status()[1] == ["evaluate", "distill"]
    assert f"Next: lar evaluate {corpus} {folder / 'half'}" in run("status", folder)[1]


def test_a_student_that_has_seen_held_out_tasks_is_not_gone_on_with(done, status, folder, vocabulary):
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    common = ("--tokenizer", folder / "model", "--hold-out", "0.3", "-o", folder / "corpus")
    done("corpus", folder / "logs.jsonl", *common)
    corpus = Corpus.load(folder / "corpus")
    vocabulary.save(folder / "student" / "vocabulary")
    (folder / "student" / "adapter_config.json").write_text("{}")
    record = {"base_fingerprint": "0" * 8, "steps": 1, "options": {"control": False}}
    (folder / "student" / "distillation.json").write_text(json.dumps(record))
    for tasks, after in ((corpus.training, "distill"), (corpus, "mine")):
        write_digests(folder / "student" / TRAINED_FILE, digests_of(tasks))
        assert status()[1][0] == after


def test_what_was_stopped_or_is_broken_is_named(run, done, status, folder):
    write_trajectories(toy.trajectories(10), folder / "logs.jsonl")
    done("corpus", folder / "logs.jsonl", "--tokenizer", folder / "model", "-o", folder / "corpus")
    manifest = Manifest.read(folder / "corpus")
    manifest.complete = False
    manifest.write(folder / "corpus")
    (folder / "student.checkpoints" / "checkpoint-20").mkdir(parents=True)
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "latent_vocabulary.json").write_text("{")
    (folder / ".t.parquet.xyz.partial").write_text("")
    found, _ = status()
    assert found["corpus"]["state"] == found["student.checkpoints"]["state"] == "stopped"
    assert found["student.checkpoints"]["facts"] == {"steps": 20}
    assert found["vocabulary"]["state"] == "broken"
    _, shown, _ = run("status", folder)
    assert shown.count("run the same command again to continue") == 2
    assert "latent_vocabulary.json: not JSON" in shown
    assert "1 temporary file" in shown


def student_in(folder, vocabulary, tasks, record):
    """A folder with the files of a student that the inventory reads."""
    vocabulary.save(folder / "vocabulary")
    (folder / "adapter_config.json").write_text("{}")
    (folder / "distillation.json").write_text(json.dumps(record))
    write_digests(folder / TRAINED_FILE, tasks)


def test_a_renewed_vocabulary_and_student_go_with_the_new_corpus(done, run, status, folder):
    """An update has seen the tasks of the earlier corpus too, and so has a student that starts from one."""
    model = folder / "model"
    for name, first in (("corpus", 0), ("new-corpus", 100)):
        write_trajectories(toy.trajectories(24, first=first), folder / "logs.jsonl")
        common = ("--tokenizer", model, "--hold-out", "0.3", "-o", folder / name)
        done("corpus", folder / "logs.jsonl", *common)
    corpora = [str(folder / "corpus"), str(folder / "new-corpus")]
    done("mine", corpora[0], "--size", "4", "-o", folder / "vocabulary")
    assert status()[1] == ["mine", "score"]
    done("mine", corpora[1], "--update", folder / "vocabulary", "-o", folder / "updated")
    found, steps = status()
    assert found["vocabulary"]["goes_with"] == corpora[:1]
    assert found["updated"]["goes_with"] == corpora
    assert steps == ["evaluate", "distill"]
    assert f"Next: lar evaluate {corpora[1]} {folder / 'updated'}" in run("status", folder)[1]
    tasks = [digests_of(Corpus.load(path).training) for path in corpora]
    split = {"hold_out": 0.3, "seed": 0}
    record = {"base_fingerprint": "0" * 8, "steps": 1, "split": split, "options": {"control": False}}
    old = LatentVocabulary.load(folder / "vocabulary")
    student_in(folder / "student", old, tasks[0], record)
    assert status()[1] == ["evaluate", "distill"]  # the new corpus has no student yet
    new = LatentVocabulary.load(folder / "updated")
    student_in(folder / "new-student", new, tasks[0] | tasks[1], record)
    found, steps = status()
    assert found["student"]["goes_with"][:1] == corpora[:1]
    assert found["new-student"]["goes_with"][:2] == corpora
    assert steps == ["distill", "evaluate", "export"]
    assert str(folder / "new-student") in run("status", folder)[1].splitlines()[-1]


@pytest.mark.parametrize(
    "record",
    [
        {"steps": "many", "options": {"control": False}},
        {"steps": 1, "tasks": [1], "options": {"control": False}},
        {"steps": 1, "split": {"hold_out": "x", "seed": 0}, "options": {"control": False}},
        {"steps": 1, "split": 3, "options": {"control": False}},
    ],
)
def test_values_of_wrong_types_make_a_record_broken(run, folder, corpus, vocabulary, record):
    student = folder / "student"
    vocabulary.save(student / "vocabulary")
    write_digests(student / TRAINED_FILE, digests_of(corpus))
    (student / "adapter_config.json").write_text("{}")
    file = student / "distillation.json"
    file.write_text(json.dumps({"base_fingerprint": "0" * 8, "steps": 1, "options": {"control": False}}))
    assert "student: " in run("status", folder)[1]
    assert "broken" not in run("status", folder)[1]
    file.write_text(json.dumps({"base_fingerprint": "0" * 8, **record}))
    code, shown, err = run("status", folder)
    assert code == 0, err
    assert f"{student} (broken)" in shown
    code, _, err = run("status", folder, "--json")
    assert code == 0, err


def test_an_export_whose_lora_is_damaged_is_named(run, folder):
    export = folder / "export"
    (export / "adapter").mkdir(parents=True)
    (export / "lar_export.json").write_text(json.dumps({"form": "lora", "latents": 4, "dtype": "float32"}))
    (export / "adapter" / "adapter_config.json").write_text("{")
    code, shown, err = run("status", folder)
    assert code == 0, err
    assert f"export: {export} (broken)" in shown


def test_trajectories_whose_tasks_are_damaged_are_named(run, folder):
    file = folder / "t.parquet"
    write_trajectories(toy.trajectories(40), file)
    column = pq.ParquetFile(file).metadata.row_group(0)
    places = [column.column(index) for index in range(column.num_columns)]
    task = next(place for place in places if place.path_in_schema == "task")
    content = bytearray(file.read_bytes())
    start = task.dictionary_page_offset or task.data_page_offset
    content[start : start + task.total_compressed_size] = b"\xff" * task.total_compressed_size
    file.write_bytes(content)
    code, shown, err = run("status", folder)
    assert code == 0, err
    assert f"trajectories: {file} (broken)" in shown


def test_folders_that_may_not_be_entered_are_nothing_of_lars(run, folder, monkeypatch):
    (folder / "private").mkdir()
    stat = Path.stat

    def guarded(path, **keywords):
        if path.parent.name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **keywords)

    monkeypatch.setattr(Path, "stat", guarded)
    write_trajectories(toy.trajectories(10), folder / "logs.jsonl")
    for command in (["status", folder], ["import", folder / "logs.jsonl", "-o", folder / "t.parquet"]):
        code, _, err = run(*command)
        assert code == 0, err


def test_a_stopped_score_is_to_go_on(done, run, folder):
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    corpus, model = folder / "corpus", folder / "model"
    done("corpus", folder / "logs.jsonl", "--tokenizer", model, "-o", corpus)
    done("score", corpus, "--model", model, "--max-length", "64")
    _, shown, _ = run("status", folder)
    assert "Next: lar mine" in shown
    assert "or: lar mine" in shown  # a gate is another way to the same vocabulary
    assert "then:" not in shown
    next((corpus / "teacher").glob("part-*.arrow")).unlink()
    _, shown, _ = run("status", folder)
    next_line = f"Next: lar score {corpus} --model {model} --max-length 64"
    assert shown.splitlines()[-1] == next_line
    done(*next_line.split()[2:])
    assert "Next: lar mine" in run("status", folder)[1]


def test_a_stopped_score_of_a_sample_is_to_go_on(done, run, folder):
    write_trajectories(toy.trajectories(60), folder / "logs.jsonl")
    corpus, model = folder / "corpus", folder / "model"
    done("corpus", folder / "logs.jsonl", "--tokenizer", model, "-o", corpus)
    tokens = Corpus.load(corpus).num_tokens
    command = ("score", corpus, "--model", model, "--most-tokens", tokens // 2)
    scored = json.loads(run(*command, "--json")[1])
    assert scored["tasks"] < scored["tasks_in_all"] == 60
    assert f"of a sample of {scored['tasks']} of 60 tasks" in " ".join(run(*command)[1].split())
    share = Corpus.load(corpus).teacher.share
    shown = " ".join(run("status", folder)[1].split())
    assert f"a sample of {scored['tasks']} tasks scored by model" in shown
    next((corpus / "teacher").glob("part-*.arrow")).unlink()
    next_line = run("status", folder)[1].splitlines()[-1]
    assert next_line.startswith(f"Next: lar score {corpus} ")
    done(*next_line.split()[2:])
    assert Corpus.load(corpus).teacher.share == share
    assert "Next: lar mine" in run("status", folder)[1]


def test_a_run_that_was_stopped_is_to_go_on(done, run, folder):
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    given = (folder / "logs.jsonl", "--model", folder / "model", "--size", "4", "--device", "cpu")
    done("run", *given, "-o", folder / "run", "--until", "corpus")
    for place in ("run", "."):
        code, out, _ = run("status", folder / place, "--json")
        value = json.loads(out)
        (found,) = [one for one in value["found"] if one["kind"] == "run"]
        assert found["facts"] == {"done": ["import", "corpus"]}
        ((*again, output),) = value["next"]
        assert again[:3] == ["lar", "run", str(folder / "logs.jsonl")]
        done(*again[1:], output, "--until", "corpus")
    (folder / "run" / "run.json").write_text("{}")
    code, shown, _ = run("status", folder / "run")
    assert code == 0
    assert "not the record of a run" in shown


def test_a_sweep_is_seen_with_its_recommendation(run, folder):
    sweep = folder / "sweep"
    (sweep / "none-8" / "student").mkdir(parents=True)
    settings = {"model": str(folder / "model"), "split": {"hold_out": 0.2, "seed": 0}}
    (sweep / SWEEP_FILE).write_text(json.dumps(settings))
    code, shown, err = run("status", sweep)
    assert code == 0, err
    assert shown.startswith(f"sweep: {sweep} (stopped)\n")
    assert "run the same command again to continue" in shown
    assert "Next:" not in shown
    control = Point(None, 0, 0, 0.0, 0.0, 1.0)
    for bits, recommended in ((1.02, "none-8"), (2.0, None)):
        result = Sweep(control, (Point(None, 8, 8, 0.5, 0.0, bits),), 0.05)
        (sweep / SWEEP_RESULT_FILE).write_text(json.dumps(result.to_dict()))
        for place in (sweep, folder):
            code, shown, err = run("status", place)
            assert code == 0, err
            assert f"sweep: {sweep}\n" in shown
            assert "1 students, measure bits_per_byte, tolerance 0.05" in shown
            assert (f"recommended {recommended}" in shown) is (recommended is not None)
            export = f"Next: lar export {sweep / 'none-8' / 'student'} -o {sweep / 'export'}"
            assert (export in shown) is (recommended is not None)
            assert "lar import" not in shown


def test_a_vocabulary_or_a_student_alone_is_gone_on_with(run, tmp_path, vocabulary):
    alone = tmp_path / "vocabulary"
    vocabulary.save(alone)
    for place in (tmp_path, alone):
        code, shown, err = run("status", place)
        assert code == 0, err
        assert f"Next: lar evaluate LOGS {alone}" in shown
        assert f"or: lar corpus LOGS --tokenizer {alone / 'tokenizer'} -o {tmp_path / 'corpus'}" in shown
    student = tmp_path / "student"
    student_in(student, vocabulary, [], {"base_fingerprint": "0", "steps": 1, "options": {"control": False}})
    assert f"Next: lar export {student} -o {tmp_path / 'export'}" in run("status", tmp_path)[1]


def test_figures_that_are_0_are_shown(run, tmp_path):
    record = {"tasks": 40, "reduction": 0.5, "success_change": 0.0}
    (tmp_path / "demo.json").write_text(json.dumps(record))
    assert "40 tasks, reduction 0.5, success change 0\n" in run("status", tmp_path)[1]
    (tmp_path / "demo.json").write_text(json.dumps(record | {"tasks": 0, "success_change": None}))
    assert "0 tasks, reduction 0.5\n" in run("status", tmp_path)[1]


def test_of_several_the_last_is_that_of_the_largest_number(done, run, folder):
    write_trajectories(toy.trajectories(24), folder / "logs.jsonl")
    corpus = folder / "corpus"
    common = ("--tokenizer", folder / "model", "--hold-out", "0.3", "-o", corpus)
    done("corpus", folder / "logs.jsonl", *common)
    names = ["vocabulary", "vocabulary-2", "vocabulary-9", "vocabulary-10"]
    for name in names:
        done("mine", corpus, "--size", "4", "-o", folder / name)
    shown = run("status", folder)[1]
    lines = [line for line in shown.splitlines() if line.startswith("vocabulary: ")]
    assert lines == [f"vocabulary: {folder / name}" for name in names]
    assert f"Next: lar evaluate {corpus} {folder / 'vocabulary-10'}\n" in shown


def test_a_finished_result_beside_its_place_is_named(run, tmp_path, vocabulary):
    place = tmp_path / "my.vocabulary"

    def failing(path, target):
        if Path(path).name.endswith(".finished"):
            raise OSError(16, "Device or resource busy")
        return rename(path, target)

    rename = Path.rename
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="kept as"):
            vocabulary.save(place)
    [kept] = tmp_path.iterdir()
    code, shown, err = run("status", tmp_path)
    assert code == 0, err
    line = "a finished result that could not be moved to its place; if nothing is running: "
    assert shown == f"{line}mv {kept} {place}\n"
    value = json.loads(run("status", tmp_path, "--json")[1])
    assert (value["finished"], value["next"]) == ({str(kept): str(place)}, [])
    vocabulary.save(place)
    assert f"its place; move {place} away; if nothing is running: mv" in run("status", tmp_path)[1]


def test_an_empty_folder_and_none(run, tmp_path):
    code, shown, _ = run("status", tmp_path)
    assert code == 0
    assert "nothing that lar has written" in shown
    assert "Next: lar import LOGS" in shown
    code, _, err = run("status", tmp_path / "absent")
    assert code == 2
    assert err.count("\n") == 1
