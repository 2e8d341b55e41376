"""`lar run`: the whole way with one command, stopped and gone on with."""

import gc
import json
import os
import shlex
import shutil
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lar.cli.common import print_json
from lar.cli.run import _report_in, again, command
from lar.cli.run_inputs import check_same
from lar.errors import OptionError
from lar.trajectories import write_trajectories
from lar.utils.files import only_writer, write_json
from testing import tiny, toy

STAGES = ["import", "corpus", "mine", "distill", "control", "evaluate", "export"]

NEW = ("training", "inputs")  # of the record, in later versions


@pytest.fixture
def folder(tmp_path, tokenizer):
    write_trajectories(toy.trajectories(24), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model")
    (tmp_path / "options.yaml").write_text("max_steps: 1\nmax_length: 200\nlora_rank: 4\n")
    return tmp_path


@pytest.fixture
def whole(run, folder):
    def call(*flags):
        common = ("--model", folder / "model", "-o", folder / "run", "--device", "cpu", "--size", "4")
        return run("run", folder / "logs.jsonl", *common, "--options", folder / "options.yaml", *flags)

    return call


def test_the_whole_way_in_two_parts(whole, folder, run):
    code, shown, err = whole("--until", "mine")
    assert code == 0, err
    assert "4 latents" in shown
    assert not (folder / "run" / "student").exists()
    following = [shlex.split(line.removeprefix("Next:")) for line in err.splitlines() if "Next:" in line]
    assert following == [list(map(str, again(folder / "run")))]  # those of the stages are not repeated
    assert not (folder / "run" / "corpus" / "teacher").exists()  # nothing would read the scores
    before = (folder / "run" / "vocabulary" / "latent_vocabulary.json").stat()
    code, shown, err = whole()
    assert code == 0, err
    assert [line.split(":")[0] for line in err.splitlines() if line.endswith("done already")] == STAGES[:3]
    assert (folder / "run" / "vocabulary" / "latent_vocabulary.json").stat().st_mtime == before.st_mtime
    assert [line for line in err.splitlines() if "Next:" in line] == [
        f"Next: vllm serve {folder / 'run' / 'export'}"
    ]
    for word in ("held-out tasks", "a turn of the agent", "control", "student", "for each byte", "export"):
        assert word in shown
    code, out, err = whole("--json")
    assert code == 0, err
    stages = json.loads(out)["stages"]
    assert list(stages) == STAGES
    assert stages["corpus"]["split"] == stages["distill"]["split"] == {"hold_out": 0.2, "seed": 0}
    assert stages["evaluate"]["in_sample"] is False
    assert set(stages["evaluate"]["bits_per_byte"]) == {"base", "control", "student"}
    code, out, _ = run("status", folder / "run", "--json")
    assert code == 0
    assert json.loads(out)["next"] == [["vllm", "serve", str(folder / "run" / "export")]]


def test_fields_of_the_logs_may_name_task_and_outcome(folder, run):
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone to Linden street"}]
    rows = [{"messages": said, "meta": {"issue": f"i{n // 2}", "passed": n % 2}} for n in range(40)]
    (folder / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    flags = ("--model", folder / "model", "-o", folder / "run", "--until", "corpus", "--json")
    code, out, err = run(
        *("run", folder / "logs.jsonl", *flags, "--task-key", "meta.issue", "--success-key", "meta.passed")
    )
    assert code == 0, err
    imported = json.loads(out)["stages"]["import"]
    assert (imported["tasks"], imported["succeeded"], imported["failed"]) == (20, 20, 20)


def test_fields_of_the_logs_may_name_the_conversation(folder, run):
    rows = [{"call": {"asked": f"go {n}"}, "said": "gone to Linden street"} for n in range(20)]
    (folder / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    flags = ("--model", folder / "model", "-o", folder / "run", "--json")
    keys = ("--messages-key", "call.asked", "--reply-key", "said")
    code, out, err = run("run", folder / "logs.jsonl", *flags, *keys, "--until", "import")
    assert code == 0, err
    assert json.loads(out)["stages"]["import"]["trajectories"] == 20
    code, _, err = run("run", folder / "logs.jsonl", *flags, "--until", "import")
    assert code == 2
    assert "a run with another messages_key and reply_key" in " ".join(err.split())
    code, out, err = run("run", folder / "logs.jsonl", *flags, *keys, "--until", "corpus")
    assert code == 0, err
    assert json.loads(out)["stages"]["corpus"]["trajectories"] == 20


def test_all_stages_with_a_model_compute_where_they_are_told_to(whole, monkeypatch):
    from lar.distillation import Student
    from lar.distillation.training.bits_per_byte import bits_per_byte

    loaded, load = [], bits_per_byte.__globals__["load_model"]
    models, lengths = [], []

    def noted(*arguments, **keywords):
        loaded.append(keywords)
        gc.collect()
        assert not any(model() for model in models)  # two may be more than a GPU holds
        model = load(*arguments, **keywords)
        models.append(weakref.ref(model))
        return model

    def measured(*arguments, max_length, **keywords):
        lengths.append(max_length)
        return bits_per_byte(*arguments, max_length=max_length, **keywords)

    monkeypatch.setitem(bits_per_byte.__globals__, "load_model", noted)
    monkeypatch.setitem(Student.load.__func__.__globals__, "load_model", noted)
    monkeypatch.setattr("lar.distillation.training.bits_per_byte.bits_per_byte", measured)
    code, _, err = whole("--dtype", "bfloat16", "--until", "evaluate")
    assert code == 0, err
    assert loaded == [{"dtype": "bfloat16", "device": "cpu"}] * 3
    assert lengths == [200] * 3  # as they were trained


def test_the_record_of_a_control_as_the_options(whole, folder):
    with (folder / "options.yaml").open("a") as file:
        file.write("control: true\n")
    code, _, err = whole("--until", "distill")
    assert code == 0, err
    assert not json.loads((folder / "run" / "student" / "distillation.json").read_text())["options"][
        "control"
    ]


@pytest.fixture
def refusing(folder):
    """The folder, with a model whose chat template refuses one of the logs."""
    condition = "{% if messages[0].content == 'never' %}{{ raise_exception('not this one') }}{% endif %}"
    template = folder / "model" / "chat_template.jinja"
    template.write_text(condition + template.read_text(encoding="utf-8"), encoding="utf-8")
    said = [{"role": "user", "content": "never"}, {"role": "assistant", "content": "said"}]
    with (folder / "logs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "odd", "split_key": "t", "messages": said}) + "\n")
    return folder


@pytest.mark.usefixtures("refusing")
def test_what_the_template_refuses_ends_a_run_or_is_left_out(whole):
    code, _, err = whole("--until", "corpus")
    assert code == 2
    assert (
        "trajectory odd: the chat template refuses it: not this one (skip_refused, --skip-refused: leave"
        in err
    )
    code, _, err = whole("--until", "corpus", "--skip-refused", "--max-entropy", "none")
    assert code == 2
    assert "a run with another skip_refused" in " ".join(err.split())


@pytest.mark.usefixtures("refusing")
def test_a_run_without_what_the_template_refuses(whole):
    code, out, err = whole("--until", "corpus", "--skip-refused", "--json")
    assert code == 0, err
    assert json.loads(out)["stages"]["corpus"]["left_out"] == 1
    assert "1 trajectories left out" in err


@pytest.mark.parametrize("command", ["mine", "estimate"])
def test_one_refused_trajectory_of_logs_is_left_out_with_a_warning(run, refusing, command):
    more = ("--size", "4", "-o", refusing / "vocabulary") if command == "mine" else ()
    code, _, err = run(command, refusing / "logs.jsonl", "--tokenizer", refusing / "model", *more)
    assert code == 0, err
    assert "1 trajectories left out; the first: trajectory odd" in " ".join(err.split())


@pytest.mark.parametrize("in_sample", [True, False])
def test_a_finished_run_says_which_tasks_it_measured(run, folder, in_sample):
    logs, at = folder / "logs.jsonl", folder / "run"
    split = {"hold_out": 0.2, "seed": 0}
    counts = {"tasks": 24, "seen_tasks": 24 if in_sample else 0, "in_sample": in_sample, "reduction": 0.25}
    counts["decode_only"] = in_sample
    reports = {
        "import": {},
        "corpus": {"trajectories": 24, "tokens": 9, "held_out_tasks": 0},
        "mine": {"latents": 1, "reduction": 0.5},
        "distill": {"steps": 1},
        "control": {"steps": 1},
        "evaluate": {**counts, "splits": {"corpus": None if in_sample else split}},
    }
    flags = ("--model", folder / "model", "-o", at, *(("--hold-out", "0") if in_sample else ()), "--until")
    code, _, err = run("run", logs, *flags, "import")
    assert code == 0, err
    for name, report in reports.items():
        (at / f"{name}.json").write_text(json.dumps(report), encoding="utf-8")
    code, out, err = run("run", logs, *flags, "evaluate")
    assert code == 0, err
    words = (
        "24 tasks, all of them seen" if in_sample else "24 held-out tasks (hold out 0.2, seed 0), none seen"
    )
    assert f"25.0% fewer units on {words} in mining" in out
    assert ("the student reads base tokens (decode_only)" in out) is in_sample


def test_a_gate_that_gates_nothing_is_refused_before_the_first_stage(whole, folder):
    code, _, err = whole("--max-entropy", "60")
    assert code == 2
    assert "write p60" in err
    assert not (folder / "run").exists()


def test_what_contradicts_the_run_or_the_folder_is_refused(whole, folder, run):
    code, _, err = whole("--until", "import")
    assert code == 0, err
    code, _, err = whole("--until", "import", "--hold-out", "0.3")
    assert code == 2
    assert "a run with another hold_out" in err
    assert err.count("\n") == 1
    (folder / "full").mkdir()
    (folder / "full" / "letter.txt").write_text("mine")
    code, _, err = run("run", folder / "logs.jsonl", "--model", folder / "model", "-o", folder / "full")
    assert code == 2
    assert "already contains something else" in err


def test_other_options_of_student_and_control_are_refused_by_name(whole, folder):
    code, _, err = whole("--until", "import")
    assert code == 0, err
    with (folder / "options.yaml").open("a") as file:
        file.write("learning_rate: 0.1\nweight_decay: 0.5\n")
    code, _, err = whole("--until", "import")
    assert code == 2
    assert "a run with another learning_rate and weight_decay" in err
    assert err.count("\n") == 1


def test_a_run_that_an_earlier_version_began_goes_on(whole, folder):
    code, _, err = whole("--until", "import")
    assert code == 0, err
    file = folder / "run" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({name: record[name] for name in record if name not in NEW}), encoding="utf-8")
    code, _, err = whole("--until", "import")
    assert code == 0, err
    assert "import: done already" in err


def test_logs_and_a_tokenizer_that_have_changed_are_refused(folder, run):
    logs = folder / "logs"
    logs.mkdir()
    (folder / "logs.jsonl").rename(logs / "a.jsonl")
    flags = ("--model", folder / "model", "-o", logs / "run", "--until")
    assert run("run", logs, *flags, "import")[0] == 0
    # Nothing has read the tokenizer yet; the folder of results lies in the logs and is none of them.
    shutil.copy(folder / "model" / "tokenizer.json", folder / "model" / "tokenizer_2.json")
    assert run("run", logs, *flags, "corpus")[0] == 0
    code, _, err = run("run", logs, *flags, "corpus")
    assert code == 0, err
    shutil.copy(logs / "a.jsonl", logs / "b.jsonl")
    code, _, err = run("run", logs, *flags, "corpus")
    assert code == 2
    assert f"the logs changed since they were read: {logs / 'b.jsonl'} is new; choose another -o" in err
    assert err.count("\n") == 1
    (logs / "b.jsonl").unlink()
    os.utime(folder / "model" / "tokenizer.json", ns=(1, 1))
    code, _, err = run("run", logs, *flags, "corpus")
    assert code == 2
    assert (
        f"the tokenizer changed since it was read: {folder / 'model' / 'tokenizer.json'} has changed" in err
    )


FILES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([[1, 1], [1, 2], [0, None]]))


@given(before=FILES, now=st.none() | FILES, done=st.sets(st.sampled_from(STAGES)), known=st.booleans())
@example({"a": [1, 1]}, {"a": [1, 2]}, {"import"}, True)
@example({"a": [1, 1]}, {"a": [1, 2]}, {"import"}, False)
@example({"a": [1, 1]}, None, {"import"}, True)
def test_files_are_compared_once_they_were_read(before, now, done, known):
    recorded = {"logs": before} if known else {}
    compared = known and "import" in done and now is not None
    if compared and before != now:
        with pytest.raises(OptionError, match="the logs changed"):
            check_same(Path("run"), recorded, {"logs": now}, done)
        return
    kept = check_same(Path("run"), recorded, {"logs": now}, done)
    assert kept == {"logs": before if known and "import" in done else now}


def test_a_control_learns_by_the_options_of_its_student(whole, folder):
    code, _, err = whole("--until", "distill")
    assert code == 0, err
    file = folder / "run" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["training"]
    file.write_text(json.dumps(record), encoding="utf-8")
    with (folder / "options.yaml").open("a") as changed:
        changed.write("learning_rate: 0.1\n")
    code, out, err = whole("--until", "control", "--json")
    assert code == 0, err
    stages = json.loads(out)["stages"]
    rates = [stages[name]["options"]["learning_rate"] for name in ("distill", "control")]
    assert rates[0] == rates[1] != 0.1


@pytest.mark.parametrize("flags", [("--max-entropy", "p90"), ("--until", "score")])
def test_a_corpus_is_scored_for_those_who_read_the_scores(whole, folder, flags):
    code, out, err = whole("--until", "mine", *flags, "--json")
    assert code == 0, err
    assert "score" in json.loads(out)["stages"]
    assert (folder / "run" / "corpus" / "teacher" / "teacher.json").exists()


def test_a_cached_teacher_is_scored_as_the_student_will_read_it(whole, folder):
    with (folder / "options.yaml").open("a") as file:
        file.write("cached_teacher: true\nloss: marginal\n")
    code, out, err = whole("--until", "distill", "--json")
    assert code == 0, err
    assert json.loads(out)["stages"]["score"]["teacher"]["max_length"] == 200


def parameters(words):
    return dict(command.make_context("run", [str(word) for word in words]).params)


@given(
    flags=st.fixed_dictionaries(
        {},
        optional={
            "--hold-out": st.sampled_from([0, 0.0, 0.2, 0.35]),
            "--size": st.integers(1, 3),
            "--max-entropy": st.sampled_from(["none", "p90", "0.5"]),
            "--most-tokens": st.integers(1, 3),
            "--task-key": st.sampled_from(["0", "a b", "False"]),
            "--dtype": st.sampled_from(["auto", "bfloat16"]),
        },
    ),
    skips=st.booleans(),
)
@example({"--hold-out": 0}, False)
def test_the_command_that_goes_on_has_the_options_of_the_run(flags, skips):
    with TemporaryDirectory() as folder:
        words = ["logs.jsonl", "--model", folder, *(("--skip-refused",) if skips else ())]
        words += [word for item in flags.items() for word in item]
        wanted = parameters([*words, "-o", folder])
        record = {name: value for name, value in wanted.items() if name not in ("output", "until", "as_json")}
        record["logs"] = list(map(str, record["logs"]))
        write_json(Path(folder, "run.json"), {**record, "model": folder})
        assert parameters(again(Path(folder))[2:]) == wanted


@pytest.mark.parametrize("before", ["", "View run at: http://host\n", '{\n"a": 1}\n', "{\n{}\n"])
@pytest.mark.parametrize("report", [{"a": 1}, {"a": {"b": [{}, {"c": "{\n{\u2028{\u2028"}]}, "d": "é"}])
def test_what_packages_print_is_no_part_of_a_report(before, report, capsys):
    print_json(report)
    assert _report_in(before + capsys.readouterr().out) == report


def test_one_run_at_a_time_writes_to_a_folder(whole, folder):
    with only_writer(folder / "run"):
        code, _, err = whole("--until", "import")
    assert code == 2
    assert "another process is writing to it" in err
    assert list((folder / "run").iterdir()) == []
    for _ in range(2):
        code, _, err = whole("--until", "import")
        assert code == 0, err


def test_a_run_that_was_killed_while_it_wrote_its_record_goes_on(whole, folder):
    (folder / "run").mkdir()
    (folder / "run" / ".run.json.abc.partial").write_text("{")
    code, _, err = whole("--until", "import")
    assert code == 0, err


def test_a_run_of_logs_whose_name_is_no_utf8_goes_on(run, folder):
    logs = folder / os.fsdecode(b"logs-\xff.jsonl")
    (folder / "logs.jsonl").rename(logs)
    for stage in ("import", "corpus"):
        flags = ("--model", folder / "model", "-o", folder / "run", "--until", stage)
        code, _, err = run("run", logs, *flags)
        assert code == 0, err
    assert "import: done already" in err
    assert again(folder / "run")[2] == str(logs)


def test_options_that_no_student_takes_are_refused_before_the_first_stage(whole, folder):
    (folder / "options.yaml").write_text("lora_rang: 4\n")
    code, _, err = whole()
    assert code == 2
    assert "options.yaml: 'lora_rang' is no option" in err
    assert not (folder / "run").exists()


def test_a_model_without_weights_is_refused_before_the_first_stage(whole, folder):
    (folder / "model" / "model.safetensors").unlink()
    code, _, err = whole("--until", "mine")  # for which the tokenizer is enough
    assert code == 0, err
    code, _, err = whole()
    assert code == 2
    assert "no weights" in err
    assert err.count("\n") == 1


def test_a_stage_that_fails_is_done_again(whole, folder):
    tokenizer = folder / "model" / "tokenizer.json"
    tokenizer.rename(folder / "hidden")
    code, _, err = whole("--until", "corpus")
    assert code == 2
    assert "Traceback" not in err
    assert (folder / "run" / "import.json").exists()
    assert not (folder / "run" / "corpus.json").exists()
    (folder / "hidden").rename(tokenizer)
    code, _, err = whole("--until", "corpus")
    assert code == 0, err


def stages_done(err):
    """The stages that a run has done, in their order."""
    return [line.split(":")[0] for line in err.splitlines() if line.endswith(": ...")]


@pytest.mark.parametrize(
    ("gone", "again"),
    [
        (["trajectories.parquet", "corpus"], []),  # nothing reads them any more
        (["vocabulary"], ["mine"]),
        (["vocabulary", "corpus"], ["corpus", "mine"]),
        (["vocabulary", "trajectories.parquet"], ["mine"]),
        (["vocabulary", "corpus", "trajectories.parquet"], ["import", "corpus", "mine"]),
    ],
)
def test_a_stage_whose_result_is_gone_is_done_again_if_it_is_read(whole, folder, gone, again):
    code, before, err = whole("--until", "mine", "--json")
    assert code == 0, err
    for name in gone:
        path = folder / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, after, err = whole("--until", "mine", "--json")
    assert code == 0, err
    assert stages_done(err) == again
    vocabularies = [json.loads(text)["stages"]["mine"] for text in (before, after)]
    assert all(of.pop("seconds") >= 0 for of in vocabularies)
    assert vocabularies[0] == vocabularies[1]


def test_what_was_made_of_another_result_is_made_anew(whole, folder):
    at = folder / "run"
    code, _, err = whole("--until", "distill")
    assert code == 0, err
    (at / "student").rename(folder / "student")
    code, _, err = whole("--until", "mine")
    assert code == 0, err
    assert stages_done(err) == []  # nothing up to there reads the student
    record = json.loads((at / "run.json").read_text())
    record["results"]["distill"]["mine"] = "another vocabulary's"
    (at / "run.json").write_text(json.dumps(record))
    (folder / "student").rename(at / "student")
    code, _, err = whole("--until", "distill")
    assert code == 0, err
    assert stages_done(err) == ["distill"]


def test_a_result_that_was_replaced_is_refused(whole, folder, run):
    at = folder / "run"
    code, _, err = whole("--until", "mine")
    assert code == 0, err
    mine = ("mine", at / "corpus", "--size", "3", "-o", at / "vocabulary", "--overwrite")
    code, _, err = run(*mine)
    assert code == 0, err
    code, _, err = whole("--until", "mine")
    assert code == 2
    assert "latent_vocabulary.json: not what the run's stage mine has written; put that back" in err
    assert err.count("\n") == 1
    (at / "mine.json").unlink()
    code, out, err = whole("--until", "mine", "--json")
    assert code == 0, err
    assert stages_done(err) == ["mine"]
    assert json.loads(out)["stages"]["mine"]["latents"] == 4


def test_a_run_goes_on_from_another_working_directory(folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    options = ("--model", "model", "-o", "run", "--options", "options.yaml", "--until")
    code, _, err = run("run", "logs.jsonl", *options, "import")
    assert code == 0, err
    monkeypatch.chdir(folder / "model")
    given = again(folder / "run")
    code, _, err = run(*given[1:], "--until", "corpus")
    assert code == 0, err
    assert stages_done(err) == ["corpus"]
    code, _, err = run("run", "../logs.jsonl", "--model", ".", "-o", "../run", *options[4:], "corpus")
    assert code == 2  # options.yaml is not there
    code, _, err = run("run", "../logs.jsonl", "--model", ".", "-o", "../run", "--until", "corpus")
    assert code == 2
    assert "a run with another options_file" in err
