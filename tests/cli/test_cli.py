"""The command line as users see it: files in, files out, exit codes and single lines."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lar.cli import COMMANDS
from lar.cli.mine import _print_gates
from lar.trajectories import write_trajectories
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy


def lar(*arguments, cwd=None):
    command = [sys.executable, "-m", "lar", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def refused(*arguments):
    """The one line with which a command refuses its input."""
    result = lar(*arguments)
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("lar: error: ")]
    return line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    toy.tokenizer().save(folder / "model")
    write_trajectories(toy.trajectories(30), folder / "train.jsonl.gz")
    write_trajectories(toy.trajectories(10, first=100), folder / "test.parquet")
    result = lar(
        *("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", 12),
        *("-o", folder / "vocabulary", "--json"),
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["latents"] == 12
    return folder


def test_mined_on_one_file_evaluated_on_another(folder):
    result = lar(
        "evaluate", folder / "test.parquet", folder / "train.jsonl.gz", folder / "vocabulary", "--json"
    )
    found = json.loads(result.stdout)
    assert found["per_corpus"]["train"]["base_tokens"] == 0  # every task of it was seen
    assert found["base_tokens"] == found["per_corpus"]["test"]["base_tokens"] > 0
    assert found["lossless"] is True
    assert found["reduction"] == pytest.approx(1 - found["units"] / found["base_tokens"], abs=1e-6)
    assert 0 < found["latents_used"] <= 12


def test_what_fits_engines_is_printed_with_its_cost(folder, tmp_path):
    mined = ("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", 12)
    table = lar(*mined, "-o", tmp_path / "fit").stdout
    for name in ("header", "check_text", "border", "served", "points"):
        assert name in table
    mined_on = r"(\S+)% fewer units on the tasks that they were mined on \(30\), counted in tokens;"
    of_mining = re.search(mined_on, table)[1]
    found = json.loads(lar(*mined, "--gates", "none", "-o", tmp_path / "any", "--json").stdout)
    assert [gate["name"] for gate in found["mining"]["gates"]] == ["characters"]
    assert "points" not in lar(*mined, "--gates", "none", "-o", tmp_path / "any").stdout
    evaluated = lar("evaluate", folder / "test.parquet", tmp_path / "fit")
    assert "an engine's tokenizer gives other ids than the parse" in evaluated.stdout
    assert f"% as engines read the text; it was {of_mining}% on the mined tasks, counted in tokens" in (
        evaluated.stdout
    )
    evaluated = json.loads(lar("evaluate", folder / "test.parquet", tmp_path / "fit", "--json").stdout)
    assert evaluated["text_level_difference"] <= 0.005
    assert evaluated["text_level_difference_action"] <= 0.005


def test_only_engine_gates_that_dropped_something_are_rows(capsys):
    names = ("characters", "normal", "border", "served")
    rows = zip(names, (0, 0, 7, 3), (0.5, 0.5, 0.51, 0.48), strict=True)
    gates = [
        {"name": name, "candidates_dropped": dropped, "reduction": saved} for name, dropped, saved in rows
    ]
    _print_gates(gates)
    shown = capsys.readouterr().out
    assert "-1.00 points" in shown
    assert "3.00 points" in shown
    assert "0.00 points" not in shown
    assert "engine gates that dropped nothing: characters, normal\n" in shown
    assert "a cost below 0: the latents that replaced the dropped ones save more" in shown
    _print_gates(gates[:2])
    assert capsys.readouterr().out == "engine gates that dropped nothing: characters, normal\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "; 4 is taken if no size has enough uses; more logs would help"),
        (("--size", 4), "too few to learn from; more logs would help"),
        (("--size", 5), "without --size, the logs choose a smaller number (docs/howto/choose.md)"),
    ],
)
def test_latents_that_are_too_rare_are_named_with_what_helps(folder, tmp_path, options, expected):
    mined = ("mine", folder / "test.parquet", "--tokenizer", folder / "model", *options)
    shown = lar(*mined, "-o", tmp_path / "rare").stdout
    assert re.search(r"^\d+% of the latents have 40 uses or more: fewer than half", shown, re.MULTILINE)
    assert expected in shown
    assert "occurs in tasks" in shown


def test_mining_again_gives_the_same_bytes(folder, tmp_path):
    lar(
        *("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model"),
        "--size",
        12,
        "-o",
        tmp_path / "again",
    )
    name = "latent_vocabulary.json"
    assert (tmp_path / "again" / name).read_bytes() == (folder / "vocabulary" / name).read_bytes()


def test_a_corpus_folder_needs_no_tokenizer(folder, tmp_path):
    corpus = tmp_path / "corpus"
    assert (
        lar("corpus", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "-o", corpus).returncode
        == 0
    )
    result = lar("mine", corpus, "--size", 5, "--hold-out", 0.3, "-o", tmp_path / "vocabulary", "--json")
    assert json.loads(result.stdout)["latents"] == 5
    held_out = json.loads(lar("evaluate", corpus, tmp_path / "vocabulary", "--json").stdout)
    assert held_out["tasks"] + held_out["seen_tasks"] == 30
    assert held_out["in_sample"] is False


def test_encode_and_expand_are_inverse(folder, tmp_path):
    ids = LatentVocabulary.load(folder / "vocabulary").segments.tokens
    np.save(tmp_path / "ids.npy", ids)
    assert (
        lar("encode", folder / "vocabulary", tmp_path / "ids.npy", "-o", tmp_path / "units.npy").returncode
        == 0
    )
    assert (
        lar("expand", folder / "vocabulary", tmp_path / "units.npy", "-o", tmp_path / "back.npy").returncode
        == 0
    )
    assert len(np.load(tmp_path / "units.npy")) < len(ids)
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), ids)


def test_text_there_and_back(folder, tmp_path):
    lines = ["The temperature in Oslo is 3 degrees Celsius.", "naïve ☂"]
    (tmp_path / "in.txt").write_text("\n".join(lines), encoding="utf-8")
    lar("encode", folder / "vocabulary", tmp_path / "in.txt", "--text", "-o", tmp_path / "units.jsonl")
    vocabulary = LatentVocabulary.load(folder / "vocabulary")
    units = [json.loads(line) for line in (tmp_path / "units.jsonl").read_text().splitlines()]
    assert units == [vocabulary.encode_text(line).tolist() for line in lines]
    lar("expand", folder / "vocabulary", tmp_path / "units.jsonl", "--text", "-o", tmp_path / "out.jsonl")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()] == lines


def test_bad_input_is_one_line_and_leaves_nothing(folder, tmp_path):
    train, model, out = folder / "train.jsonl.gz", folder / "model", tmp_path / "out"
    (tmp_path / "broken.jsonl").write_text('{"messages": [\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "ids.jsonl").write_text("[1, 2]\n[3, 999999]\n")
    assert "size" in refused("mine", train, "--tokenizer", model, "--size", 0, "-o", out)
    without = refused("mine", train, "-o", out)
    assert "train.jsonl.gz: no corpus folder (no manifest.json), and logs need --tokenizer MODEL" in without
    assert "gates" in refused("mine", train, "--tokenizer", model, "--gates", "token,speed", "-o", out)
    assert "nats" in refused("mine", train, "--tokenizer", model, "--max-entropy", "often", "-o", out)
    assert "absent" in refused("mine", tmp_path / "absent.jsonl", "--tokenizer", model, "-o", out)
    assert "broken.jsonl" in refused("mine", tmp_path / "broken.jsonl", "--tokenizer", model, "-o", out)
    assert "empty" in refused("mine", tmp_path / "empty.jsonl", "--tokenizer", model, "-o", out)
    assert "tokenizer.json" in refused("mine", train, "--tokenizer", tmp_path, "-o", out)
    assert f"{tmp_path}: no vocabulary (no latent_vocabulary.json)" in refused("evaluate", train, tmp_path)
    assert "lar evaluate CORPUS VOCABULARY" in refused("evaluate", folder / "vocabulary", train)
    assert "999999" in refused(
        "encode", folder / "vocabulary", tmp_path / "ids.jsonl", "-o", out.with_suffix(".jsonl")
    )
    assert list(tmp_path.glob("out*")) == []
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (("evaluate", "corpus"), "Usage: lar evaluate [OPTIONS] CORPUS... VOCABULARY"),
        (("import", "-o", "a.parquet"), "Usage: lar import [OPTIONS] PATHS..."),
        (("import", "logs"), "'-o' / '--output'"),
    ],
)
def test_what_is_missing_is_shown_in_its_place(run, arguments, usage):
    code, _, err = run(*arguments)
    assert (code, usage in " ".join(err.split())) == (2, True)


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from lar.cli import main
main()
"""


def without_room(*arguments, folder):
    """The one line with which a command ends that cannot write its files."""
    command = [sys.executable, "-c", LIMITED, *map(str, arguments), "--tokenizer", str(folder / "model")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result
    assert result.stderr.startswith("lar: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("name", ["corpus", "estimate"])
def test_a_disk_that_fills_is_named_where_it_is_that_of_temporary_files(folder, tmp_path, monkeypatch, name):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    write_trajectories(toy.trajectories(60), tmp_path / "own.jsonl")
    log = tmp_path / "log.jsonl"  # of another program: those of this one wait in no temporary file
    runs = map(json.loads, (tmp_path / "own.jsonl").read_text().splitlines())
    log.write_text("".join(json.dumps({"messages": run["messages"]}) + "\n" for run in runs))
    output = ["-o", tmp_path / "corpus"] if name == "corpus" else []
    assert f"{tmp_path} (temporary files; TMPDIR names" in without_room(name, log, *output, folder=folder)


def test_a_disk_that_fills_leaves_what_was_there(folder, tmp_path):
    """A limit on the size of files replaces a full disk."""
    target = tmp_path / "vocabulary"
    shutil.copytree(folder / "vocabulary", target)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    said = without_room("mine", folder / "train.jsonl.gz", "-o", target, "--overwrite", folder=folder)
    assert "tokenizer.json" in said  # the file that did not fit is named
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    result = lar(name, "--help")
    assert result.returncode == 0, result.stderr
    assert f"lar {name}" in result.stdout


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == "torch" else found(name, *rest)
from lar.cli import main
main()
"""


@pytest.mark.parametrize("name", ["adapt", "score", "distill", "demo"])
def test_without_torch_a_command_explains_itself_and_says_what_to_install(folder, tmp_path, name):
    def run(*arguments):
        command = [sys.executable, "-c", WITHOUT_TORCH, name, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"lar {name}" in run("--help").stdout
    output = [] if name == "score" else ["-o", tmp_path / "out"]
    inputs = [] if name == "demo" else [folder, "--model", folder / "model"]
    result = run(*inputs, *output, *(["--control"] if name == "distill" else []))
    assert result.returncode == 2, result
    assert "pip install" in result.stderr
    assert "'lar[" not in result.stderr  # the index has no such name
    assert result.stderr.count("\n") == 1


def test_tools_without_a_call_are_mined_from_their_schemas(folder, tmp_path):
    tools, wrong = tmp_path / "tools.json", tmp_path / "wrong.json"
    tools.write_text(json.dumps([{"name": "get_weather"}, {"name": "book_a_room"}]))
    wrong.write_text('{"name": "book_a_room"}')
    mined = ("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", 12)
    printed = lar(*mined, "--tools", tools, "-o", tmp_path / "out").stdout
    assert "2 tools, 1 of them without a call in the logs: each was taken to be called 30 times" in printed
    assert any("book_a_room" in latent.text for latent in LatentVocabulary.load(tmp_path / "out"))
    line = refused(*mined, "--tools", wrong, "-o", tmp_path / "other")
    assert "wrong.json: not a list of tools" in line
    assert "is a directory" in refused(*mined, "--tools", tmp_path, "-o", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_generated_prompt_and_total_are_stated_apart(folder, tmp_path):
    mined = ("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", 12)
    out = tmp_path / "vocabulary"
    found = json.loads(lar(*mined, "--prompt-weight", 0.5, "-o", out, "--json").stdout)
    assert found["units"] + found["prompt_units"] == found["total_units"]
    assert found["base_tokens"] + found["prompt_base_tokens"] == found["total_base_tokens"]
    measured = lar("evaluate", folder / "test.parquet", out).stdout
    assert all(kind in measured for kind in ("generated", "prompt", "total"))
    assert "prompt_weight must be 0" in refused(*mined, "--prompt-weight", -1, "-o", tmp_path / "wrong")


def test_another_tokenizer_than_that_of_the_corpus_is_refused(folder, tmp_path):
    assert (
        lar(
            "corpus", folder / "test.parquet", "--tokenizer", folder / "model", "-o", tmp_path / "c"
        ).returncode
        == 0
    )
    toy.tokenizer(size=350).save(tmp_path / "other")
    said = refused("mine", tmp_path / "c", "--tokenizer", tmp_path / "other", "-o", tmp_path / "v")
    assert f"which lies in {tmp_path / 'c' / 'tokenizer'}: leave it out" in said
    assert lar("mine", tmp_path / "c", "--tokenizer", folder / "model", "-o", tmp_path / "v").returncode == 0


def test_a_vocabulary_is_updated_with_its_own_tokenizer(folder, tmp_path):
    command = ("mine", folder / "test.parquet", "--update", folder / "vocabulary", "-o", tmp_path / "new")
    result = lar(*command)
    assert result.returncode == 0, result.stderr
    assert "latents keep their ids" in result.stdout
    updated, before = (LatentVocabulary.load(path) for path in (tmp_path / "new", folder / "vocabulary"))
    assert updated.mined_tasks > before.mined_tasks
    assert updated.size <= before.size


def test_an_update_takes_over_what_is_not_given_and_says_so(run, folder, tmp_path):
    logs, gated = folder / "test.parquet", tmp_path / "gated"
    options = ("--max-entropy", "p60", "--min-support", "1", "--gates", "none", "--prompt-weight", "0.1")
    code, _, err = run("mine", logs, "--tokenizer", folder / "model", "--size", "6", *options, "-o", gated)
    assert code == 0, err
    code, shown, err = run("mine", logs, "--update", gated, "-o", tmp_path / "again")
    assert code == 0, err
    before, again = (LatentVocabulary.load(path) for path in (gated, tmp_path / "again"))
    assert again == before
    line = (
        f"taken over from the earlier vocabulary: --size {before.size}, --min-support 1, --max-entropy p60,"
        " --gates none, --prompt-weight 0.1"
    )
    assert line in shown
    flags = ("--max-entropy", "none", "--gates", "engines", "--json")
    code, out, err = run("mine", logs, "--update", gated, *flags, "-o", tmp_path / "open")
    assert code == 0, err
    mining = json.loads(out)["mining"]
    assert (mining["max_entropy"], mining["min_support"], mining["prompt_weight"]) == (None, 1, 0.1)
    assert len(mining["gates"]) > 1


def test_how_many_tasks_mining_has_seen_is_printed(folder):
    vocabulary = folder / "vocabulary"
    assert "10 tasks, none seen in mining" in lar("evaluate", folder / "test.parquet", vocabulary).stdout
    both = lar("evaluate", folder / "test.parquet", folder / "train.jsonl.gz", vocabulary).stdout
    assert "10 tasks not seen in mining (30 of 40 left out)" in both
    assert (
        "30 tasks, all of them seen in mining"
        in lar("evaluate", folder / "train.jsonl.gz", vocabulary).stdout
    )


def test_logs_may_come_from_a_pipe(folder, tmp_path):
    given = (folder / "train.jsonl.gz").read_bytes()
    mined = subprocess.run(
        [
            *(sys.executable, "-m", "lar", "mine", "-", "--tokenizer", folder / "model", "--size", "12"),
            *("--hold-out", "0.2", "-o", tmp_path / "v"),
        ],
        input=given,
        capture_output=True,
        check=False,
    )
    assert mined.returncode == 0, mined.stderr
    steps = [line for line in mined.stderr.decode().splitlines() if line.startswith(("Next:", "  or:"))]
    assert len(steps) == 2
    for step in steps:
        assert " - " not in step
        assert "LOGS" in step
    evaluated = subprocess.run(
        [sys.executable, "-m", "lar", "evaluate", "-", tmp_path / "v"],
        input=given,
        capture_output=True,
        check=False,
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert b"standard input" in evaluated.stdout


def test_what_is_not_there_is_named_before_anything_else(folder, tmp_path):
    for command in (
        ("mine", tmp_path / "no", "-o", tmp_path / "v"),
        ("evaluate", tmp_path / "no", folder / "vocabulary"),
    ):
        assert "no' does not exist" in refused(*command)
    adapt = ("adapt", folder / "corpus", "--model", "Qwen/Qwen3-8B", "-o", tmp_path / "teacher")
    assert "hf download Qwen/Qwen3-8B " in refused(*adapt)


@pytest.mark.parametrize("size", [2, 40])
def test_mining_tells_whether_latents_have_enough_uses_to_learn_from(folder, tmp_path, size):
    logs = tmp_path / "logs.jsonl"
    write_trajectories(toy.trajectories(60), logs)
    mined = lar("mine", logs, "--tokenizer", folder / "model", "--size", size, "-o", tmp_path / "vocabulary")
    often = [latent.uses >= 40 for latent in LatentVocabulary.load(tmp_path / "vocabulary").latents]
    text = f"{sum(often) / len(often):.0%} of the latents have 40 uses or more"
    assert text in mined.stdout
    assert (f"{text}: fewer than half are too few" in mined.stdout) == (size == 40)


@pytest.mark.parametrize(("size", "is_few"), [(1, False), (40, True)])
def test_turns_of_few_units_are_named_by_mining_evaluation_and_estimate(folder, tmp_path, size, is_few):
    vocabulary = tmp_path / "vocabulary"
    of_size = (folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", size)
    mined = lar("mine", *of_size, "-o", vocabulary).stdout
    counts = json.loads(lar("evaluate", folder / "train.jsonl.gz", vocabulary, "--json").stdout)
    units = counts["units"] / counts["turns"]
    shown = f"a turn of the agent is {counts['base_tokens'] / counts['turns']:,.1f} tokens on average, and"
    few = f"{shown} {units:,.1f} units: so few that a latent may decide most of a turn"
    assert f"{shown} {units:,.1f} units" in mined
    evaluated = lar("evaluate", folder / "train.jsonl.gz", vocabulary).stdout
    assert (few in mined, few in evaluated) == (is_few, is_few)
    assert f"With {size} latents mined on all of these tasks, {shown}" in lar("estimate", *of_size).stdout


def test_the_size_with_a_prompt_weight_is_not_said_to_be_chosen_by_turns(folder, tmp_path):
    inputs = (folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--prompt-weight", 0.1)
    shown = lar("mine", *inputs, "-o", tmp_path / "vocabulary").stdout
    assert "so few that a latent may decide most of a turn" in shown
    assert "is taken if no size leaves" not in shown
    assert re.search(r"^\d+% of the latents have 40 uses or more$", shown, re.MULTILINE)  # and no judgement


def test_a_bound_on_crossings_is_for_a_gate(folder, tmp_path):
    mined = ("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--max-crossing", 0.5)
    assert refused(*mined, "-o", tmp_path / "no").endswith("it goes with --max-entropy")
    assert lar(*mined, "--max-entropy", "p90", "-o", tmp_path / "yes").returncode == 0


def test_a_share_that_is_kept_is_for_the_gate_served(folder, tmp_path):
    mined = ("mine", folder / "train.jsonl.gz", "--tokenizer", folder / "model", "--size", 4, "-o")
    for gates in ("none", "header,border"):
        line = refused(*mined, tmp_path / "no", "--gates", gates, "--min-kept", 0.9)
        assert line.endswith(f"--min-kept is for the engine gate served, which is not in --gates {gates}")
    assert not (tmp_path / "no").exists()
    assert lar(*mined, tmp_path / "yes", "--gates", "served", "--min-kept", 0.9).returncode == 0
    update = ("--update", tmp_path / "yes", "--gates", "none")  # the share that is taken over has no use then
    assert lar(*mined, tmp_path / "updated", *update).returncode == 0
