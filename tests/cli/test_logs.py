"""The package's log messages, and which of them the command line shows."""

import json
import logging
import subprocess
import sys

import pytest

import lar
from lar.corpus import Corpus
from lar.evaluation.reduction import evaluate
from lar.mining.mine import mine
from lar.trajectories import write_trajectories
from testing import toy


def run(*arguments):
    command = [sys.executable, "-m", "lar", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Logs of which one record cannot be read and one holds no text of the agent, and a model's folder."""
    folder = tmp_path_factory.mktemp("logs")
    write_trajectories(toy.trajectories(8), folder / "logs.jsonl")
    with (folder / "logs.jsonl").open("a") as file:
        turns = [{"role": "user", "content": "hello?"}, {"role": "assistant", "content": "hi", "weight": 0}]
        file.write('{"nothing": 1}\n' + json.dumps({"messages": turns}) + "\n")
    toy.tokenizer().save(folder / "model")
    return folder


WARNINGS = [
    "lar: warning: 1 trajectories hold no text of the agent",
    "lar: warning: bad record: ",
]


def warns(stderr):
    lines = stderr.splitlines()
    return [any(line.startswith(warning) for line in lines) for warning in WARNINGS]


@pytest.mark.parametrize(
    ("before", "after", "shown", "told"),
    [
        ([], [], True, False),
        ([], ["-v"], True, True),
        (["--verbose"], [], True, True),
        ([], ["--quiet"], False, False),
        (["-q"], [], False, False),
        (["-v"], ["-q"], False, False),
    ],
)
def test_warnings_are_shown_and_options_show_more_or_less(logs, tmp_path, before, after, shown, told):
    made = ("--tokenizer", logs / "model", "-o", tmp_path / "corpus", "--json")
    done = run(*before, "corpus", logs / "logs.jsonl", *made, *after)
    assert json.loads(done.stdout)["trajectories"] == 9  # standard output is pure
    assert warns(done.stderr) == [shown, shown]
    lines = done.stderr.splitlines()
    assert any(line.startswith("lar: read 9 trajectories; 1 bad record") for line in lines) == told
    assert any(line.startswith(f"lar: Corpus('{tmp_path}") for line in lines) == told
    assert (lines == []) == (not shown)


def test_a_build_that_goes_on_is_reported(logs, tmp_path):
    made = ("corpus", logs / "logs.jsonl", "--tokenizer", logs / "model", "-o", tmp_path / "corpus", "-v")
    run(*made)
    assert "built already from 9 trajectories, complete" in run(*made).stderr


def test_help_names_the_options_everywhere():
    for arguments in (["--help"], ["mine", "--help"]):
        text = run(*arguments).stdout
        assert "-v, --verbose" in text
        assert "-q, --quiet" in text


def test_the_package_itself_prints_nothing(logs):
    program = (
        "import lar, sys; "
        f"c = lar.Corpus.build({str(logs / 'logs.jsonl')!r}, {str(logs / 'model')!r}); "
        "lar.evaluate(c, lar.mine(c, 4, max_entropy='p60'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == done.stderr == ""


def test_what_is_substituted_or_seen_already_is_a_warning(corpus, caplog):
    vocabulary = mine(corpus, size=4, max_entropy="p60")
    evaluate(corpus, vocabulary)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == [
        "the corpus is not scored: its n-gram entropy replaces a teacher's entropy; such gates cost tiny"
        " agents success (docs/howto/choose.md), so run lar score first",
        "every task was seen in mining: the figures do not hold for new ones (hold tasks out)",
    ]
    assert {record.name for record in caplog.records} <= {
        "lar.mining.entropy_gate",
        "lar.evaluation.reduction",
    }


def test_a_few_lines_however_much_is_done(corpus, caplog):
    """Not a line for each trajectory, token or step."""
    caplog.set_level(logging.DEBUG, logger="lar")
    Corpus.build(toy.trajectories(60), corpus.tokenizer, shard_tokens=100)
    assert len(caplog.records) <= 2


def test_the_package_has_a_handler_of_its_own():
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("lar").handlers)
    assert lar.__name__ == "lar"
