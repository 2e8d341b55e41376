"""`lar estimate` on the command line: logs and corpora, bad input in one line, narrow terminals."""

import io
import json
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lar
from lar.cli.estimate_text import REALISED, curve
from lar.corpus import Corpus
from lar.evaluation.estimate import Point
from lar.evaluation.usage import Tokens, Usage
from lar.trajectories import write_trajectories
from lar.vocabulary.turn_lengths import TurnLength
from testing import toy

SMALL = ("--size", "4", "--size", "8", "--splits", "2")
PRICES = ("--price-input", "0.2", "--price-output", "0.6", "--runs-per-month", "1000")


def chat_log(path, tasks):
    """A log of chats, each with a field for its task."""
    lines = [
        json.dumps({"messages": one.messages, "meta": {"issue": task}}) + "\n"
        for one, task in zip(toy.trajectories(len(tasks)), tasks, strict=True)
    ]
    path.write_text("".join(lines))
    return path


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=3), st.integers(-30, 30))
@example([0], 0)
@example([3], -3)
def test_what_rounds_to_nothing_has_no_sign(saved, of_prompts):
    base = Tokens(generated=20_000, prompt=20_000)
    units = [Tokens(generated=20_000 - tokens, prompt=20_000 - of_prompts) for tokens in saved]
    splits = tuple(Usage(1, 1, base, one) for one in units)
    point = Point(4, None, splits, 0.0, Usage(1, 1, base, base), 4.0, TurnLength(20_000, 20_000, 1))
    cells = [cell for column in curve([point]).columns for cell in column.cells]
    assert not [cell for cell in cells if re.search(r"[-+]0\.0%", cell)]


@pytest.fixture
def logs(tmp_path):
    return chat_log(tmp_path / "logs.jsonl", [f"issue-{number}" for number in range(40)])


def test_a_bill_of_a_log_of_calls_says_how_many_of_them_a_run_is(run, logs, model):
    records = [json.loads(line) for line in logs.read_text().splitlines()]
    calls = [
        {**record, "messages": record["messages"][:end]}
        for record in records
        for end, message in enumerate(record["messages"], start=1)
        if message["role"] == "assistant"
    ]
    arguments = ("estimate", logs, "--tokenizer", model, "--task-key", "meta.issue", *SMALL, *PRICES)
    assert "count your month in runs" not in run(*arguments)[1]
    logs.write_text("".join(json.dumps(call) + "\n" for call in calls))
    mind = f"a run is {len(calls) / 40:.1f} of the {len(calls)} records of these logs: count your month in"
    assert mind in " ".join(run(*arguments)[1].split())


@pytest.mark.parametrize(("tasks", "are_few"), [(10, True), (40, False)])
def test_few_tasks_are_named(run, tmp_path, model, tasks, are_few):
    logs = chat_log(tmp_path / "few.jsonl", [f"issue-{number % tasks}" for number in range(40)])
    out = run("estimate", logs, "--tokenizer", model, "--task-key", "meta.issue", *SMALL)[1]
    assert ("Few tasks: a split holds out about 2 of 10," in " ".join(out.split())) is are_few


@pytest.fixture
def model(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "model")
    return tmp_path / "model"


def test_logs_give_what_their_corpus_gives_and_leave_nothing_behind(run, logs, model, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    key = ("--task-key", "meta.issue")
    code, out, err = run("estimate", logs, "--tokenizer", model, *key, *SMALL, "--json")
    assert code == 0, err
    assert run("corpus", logs, "--tokenizer", model, *key, "-o", tmp_path / "corpus")[0] == 0
    of_corpus = json.loads(run("estimate", tmp_path / "corpus", *SMALL, "--json")[1])
    found = json.loads(out)
    assert (found.pop("records"), of_corpus.pop("records")) == (40, None)
    assert found == of_corpus
    assert (found["tasks_in_all"], found["tokens_in_all_error"]) == (40, 0)
    assert not list(temporary.iterdir())


def next_lines(err):
    return [line.split(": ", 1)[1] for line in err.splitlines() if line.startswith(("Next:", "then:"))]


def test_without_sizes_mining_is_left_to_choose_of_the_tasks_that_are_not_held_out(run, corpus, tmp_path):
    _, out, err = run("estimate", corpus.path, "--splits", "1")
    assert re.search(r"Take \d+ latents.* by lar mine's rule", out)
    (mine,) = next_lines(err)
    assert "--hold-out 0.2" in mine
    assert "--size" not in mine
    few = Corpus.build(toy.trajectories(8), corpus.tokenizer, tmp_path / "few")
    assert "as lar mine does; more logs would help" in run("estimate", few.path, "--splits", "1")[1]
    Corpus.build(toy.trajectories(40), corpus.tokenizer, tmp_path / "split", hold_out=0.25)
    for path, holds_out in ((corpus.path, False), (tmp_path / "split", True)):
        shown = run("estimate", path, "--splits", "1", "--size", "4")[1]
        assert ("When tasks are held out, fewer uses are left." in shown) is not holds_out
        assert "lar mine may take" not in shown  # the next command has --size 4


def test_the_next_commands_build_score_and_mine(run, logs, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = ("--task-key", "meta.issue")
    _, out, err = run("estimate", logs, "--tokenizer", model, *key, *SMALL)
    first, mine = next_lines(err)
    assert first == f"lar corpus {logs} --tokenizer {model} --task-key meta.issue --hold-out 0.2 -o corpus"
    size = re.search(r"Take (\d+) latents", out)[1]
    assert mine == f"lar mine corpus --size {size} -o vocabulary"
    _, out, err = run("estimate", logs, "--tokenizer", model, *SMALL, "--max-entropy", "p60", *key)
    size = re.search(r"Take (\d+) latents behind the gate p60", out)[1]
    assert [line.split(": ", 1)[1] for line in err.splitlines()][1:] == [
        "lar score corpus --model MODEL",
        f"lar mine corpus --size {size} --max-entropy p60 -o vocabulary",
    ]


def test_the_next_command_has_the_weight_and_no_pipe(run, logs, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(logs.read_bytes())))
    key = ("--task-key", "meta.issue")
    _, _, err = run("estimate", "-", "--tokenizer", model, *key, *SMALL, "--prompt-weight", "0.05")
    first, mine = [line.split(": ", 1)[1] for line in err.splitlines()]
    assert first.startswith(f"lar corpus LOGS --tokenizer {model} ")
    assert mine == "lar mine corpus --size 8 --prompt-weight 0.05 -o vocabulary"


def test_with_a_gpu_the_training_has_a_price_and_is_paid_back(run, logs, model):
    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size")
    (model / "config.json").write_text(
        json.dumps(dict(zip(names, (4096, 32, 12288, 32, 151936), strict=True)))
    )
    given = ("estimate", logs, "--tokenizer", model, "--task-key", "meta.issue", *SMALL)
    gpu = ("--gpu-hour", "2.5", "--tokens-per-second", "2000", "--runs-per-month")
    for runs, paid_back in (
        ("1", r"paid back in [\d.,]+ to [\d.,]+ months"),
        ("1000000", "in under 0.1 months"),
    ):
        shown = run(*given, *gpu, runs)[1]
        assert re.search(rf"less than a minute of one H100.* at your price of an hour, .*{paid_back}", shown)
        found = json.loads(run(*given, *gpu, runs, "--json")[1])
        assert f"the default: {found['training']['tokens']:,} tokens" in shown  # and no 0.0 M
        training, bill = found["training"], found["bill"]
        assert training["price"] == pytest.approx(2 * 2.5 * training["hours"], abs=1e-6)
        for months, month in zip(training["months"], bill["with"], strict=True):
            assert months * (bill["without"] - month) == pytest.approx(training["price"], rel=0.2)
    assert "price" not in json.loads(run(*given, *PRICES, "--json")[1])["training"]


def test_without_scores_the_stand_in_is_named_and_nothing_is_warned_of(run, corpus):
    _, out, err = run("estimate", corpus.path, *SMALL, "--max-entropy", "p60")
    assert "The gates are by the n-gram entropy of these logs." in out
    assert "stands in for a teacher's" in out
    assert "warning" not in err


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (
            (4, 8),
            r"Take 8 latents by lar mine's rule: .* in all 60 tasks, with none held out \(.*; 4 latents .*\)",
        ),
        ((4, 40), r"Take 4 latents by lar mine's rule: .* \(.* writes\)\. When tasks"),
        (
            (40,),
            r"Too few logs: even of 40 latents \(\d+ found\) only \d+% have .*\. Take 40 \(.*\);"
            " fewer latents or more logs would help",
        ),
    ],
)
def test_latents_that_are_too_rare_are_not_recommended(run, corpus, sizes, expected):
    options = [text for size in sizes for text in ("--size", str(size))]
    shown = run("estimate", corpus.path, "--splits", "1", *options)[1]
    assert re.search(expected, shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("few", "short", "expected"),
    [
        (0, [False, False], "Take 8 latents by lar mine's rule: [^;(]* [(]"),
        (
            8,
            [False, True],
            "Take 4 latents by lar mine's rule: [^;(]*; with more, a turn would be fewer than",
        ),
        (30, [True, True], "Take 4 latents, the smallest number: with each, a turn would be fewer than"),
    ],
)
def test_a_size_that_leaves_a_turn_few_units_is_not_recommended(
    run, corpus, monkeypatch, few, short, expected
):
    monkeypatch.setattr("lar.vocabulary.turn_lengths.FEW_UNITS", few)
    found = lar.estimate(corpus, sizes=[4, 8], splits=1, probes=False)
    assert [point.turn.is_short for point in found.points] == short
    assert re.search(expected, run("estimate", corpus.path, "--splits", "1", "--size", "4", "--size", "8")[1])


def test_a_sample_is_named_as_one(run, logs, model, monkeypatch):
    monkeypatch.setattr("lar.evaluation.sample.FEWEST", 8)
    key = ("--task-key", "meta.issue")
    _, out, _ = run("estimate", logs, "--tokenizer", model, *key, *SMALL, "--most-tokens", "1500")
    assert "40 runs at 40 tasks, about " in out
    assert re.search(r"^Measured on a sample: (\d+) runs at \1 tasks", out, re.MULTILINE)
    assert "mini_swe" not in out  # figures of other logs are in the documentation


def test_the_lower_end_of_the_bill_is_what_the_worse_of_two_trained_agents_saved():
    docs = Path(__file__).parents[2] / "docs"
    evidence = (docs / "evidence.md").read_text()
    saved = re.findall(r"\| \*\*-([\d.]+)%\*\* \| -[\d.]+% \|$", evidence, re.MULTILINE)
    of_text = re.search(r"64 save ([\d.]+)%", (docs / "results/agents.md").read_text())[1]
    assert len(saved) == 2
    assert REALISED[0] == round(min(map(float, saved)) / float(of_text), 2)


def test_the_bill_of_a_sample_has_its_standard_error(run, logs, model, monkeypatch):
    monkeypatch.setattr("lar.evaluation.sample.FEWEST", 8)
    given = ("estimate", logs, "--tokenizer", model, "--task-key", "meta.issue", *SMALL, *PRICES)
    for most, is_sample in ((1500, True), (10**9, False)):
        _, out, _ = run(*given, "--most-tokens", most)
        shown = re.search(r"^by a sample +without latents ± \d+\.\d%, two", out, re.MULTILINE)
        assert bool(shown) is is_sample
        found = json.loads(run(*given, "--most-tokens", most, "--json")[1])
        assert (found["bill"]["without_error"] > 0) is is_sample
        assert found["bill"]["without_error"] >= found["tokens_in_all_error"]


@pytest.mark.parametrize("columns", [40, 60])
def test_narrow_terminals_get_every_figure_in_short_lines(run, corpus, monkeypatch, columns):
    wide = run("estimate", corpus.path, *SMALL, *PRICES)[1]
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = run("estimate", corpus.path, *SMALL, *PRICES)[1]
    assert max(map(len, narrow.splitlines())) <= columns
    figures = re.compile(r"[+-]?\d[\d,.]*%?")
    assert sorted(figures.findall(narrow)) == sorted(figures.findall(wide))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["one"] * 12, "1 task is too few to hold some out"),
        (["one", "two"] * 6, "2 tasks are too few to hold some out"),
    ],
)
def test_logs_of_few_tasks_end_in_one_line(run, model, tmp_path, tasks, expected):
    logs = chat_log(tmp_path / "few.jsonl", tasks)
    code, out, err = run("estimate", logs, "--tokenizer", model, "--task-key", "meta.issue")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"lar: error: {expected}")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["LOGS"], "logs need --tokenizer MODEL"),
        (["absent.jsonl"], "absent.jsonl: no such file or folder"),
        (["EMPTY", "--tokenizer", "MODEL"], "no trajectory could be read"),
        (["LOGS", "--tokenizer", "MODEL", "--price-input", "much"], "'much' is not a valid float"),
        (["LOGS", "--tokenizer", "MODEL", "--price-output", "inf"], "a price must be a number"),
        (["LOGS", "--tokenizer", "MODEL", "--max-entropy", "high"], "max_entropy must be nats"),
        (["LOGS", "--tokenizer", "MODEL", "--max-entropy", "60"], "for a quantile, write p60"),
        (["LOGS", "--tokenizer", "MODEL", "--prompt-weight", "nan"], "prompt_weight must be"),
        (["CORPUS", "LOGS", "--tokenizer", "MODEL"], "not both"),
        (["CORPUS", "--task-key", "meta.issue"], "--task-key is for logs"),
        (["CORPUS", "--tokenizer", "OTHER"], "corpus/tokenizer: leave it out"),
        (["VOCABULARY"], "no corpus folder"),
        (["SILENT", "--tokenizer", "MODEL"], "no turn of the agent"),
    ],
)
def test_bad_input_ends_in_one_line(run, logs, model, corpus, vocabulary, tmp_path, options, expected):
    (tmp_path / "empty.jsonl").write_text("")
    users = [{"messages": [{"role": "user", "content": f"Hello {n}"}]} for n in range(20)]
    (tmp_path / "silent.jsonl").write_text("".join(json.dumps(one) + "\n" for one in users))
    vocabulary.save(tmp_path / "vocabulary")
    toy.tokenizer(size=300).save(tmp_path / "other")
    named = {
        "LOGS": logs,
        "OTHER": tmp_path / "other",
        "MODEL": model,
        "CORPUS": corpus.path,
        "EMPTY": tmp_path / "empty.jsonl",
        "SILENT": tmp_path / "silent.jsonl",
        "VOCABULARY": tmp_path / "vocabulary",
    }
    code, out, err = run("estimate", *(named.get(option, option) for option in options))
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith("lar: error: ")
    assert expected in line
    assert "Traceback" not in err


def test_a_corpus_with_a_split_is_measured_on_its_training_side(run, tokenizer, tmp_path):
    Corpus.build(toy.trajectories(40), tokenizer, tmp_path / "split", hold_out=0.25)
    write_trajectories(toy.trajectories(40), tmp_path / "logs.jsonl")
    _, out, err = run("estimate", tmp_path / "split", *SMALL)
    held_out = int(re.search(r"Left out: the (\d+) tasks", out)[1])
    assert f"{40 - held_out} runs at {40 - held_out} tasks" in out
    assert "--hold-out" not in err
