"""What the text of a command warns of is in its --json too."""

import json
import re

import pytest

from lar.corpus import Corpus
from lar.utils.result_files import STUDENT_FILE
from testing import toy


def in_one_line(text):
    return " ".join(text.split())


@pytest.fixture
def at(tmp_path, tokenizer, vocabulary):
    """A folder with a corpus that holds tasks out, and a vocabulary of other tasks."""
    Corpus.build(toy.trajectories(40, first=100), tokenizer, tmp_path / "corpus", hold_out=0.3)
    vocabulary.save(tmp_path / "vocabulary")
    return tmp_path


@pytest.mark.parametrize("decode_only", [False, True, None])
def test_a_student_that_reads_base_tokens_is_named(run, at, vocabulary, monkeypatch, decode_only):
    """Of a student of an earlier version, whose record lacks the option, it is not so."""
    monkeypatch.setattr("lar.cli.evaluate._bits_of_arm", lambda *_: 1.0)
    monkeypatch.setattr("lar.cli.evaluate.needs_train_extra", lambda: None)
    options = {} if decode_only is None else {"decode_only": decode_only}
    vocabulary.save(at / "student" / "vocabulary")
    (at / "student" / STUDENT_FILE).write_text(json.dumps({"options": options}))
    (at / "model").mkdir()
    given = ("evaluate", at / "corpus", at / "vocabulary", "--model", at / "model")
    code, out, err = run(*given, "--student", at / "student")
    assert code == 0, err
    assert ("reads base tokens (decode_only), so its prompts are not shorter" in out) == bool(decode_only)
    found = json.loads(run(*given, "--student", at / "student", "--json")[1])
    assert found["decode_only"] is bool(decode_only)
    assert "decode_only" not in json.loads(run(*given, "--json")[1])


def test_the_share_of_latents_with_enough_uses_is_given(run, at):
    given = ("mine", at / "corpus", "--size", "12", "-o")
    code, out, err = run(*given, at / "text")
    assert code == 0, err
    [percent] = re.findall(r"(\d+)% of the latents have 40 uses or more", in_one_line(out))
    found = json.loads(run(*given, at / "json", "--json")[1])
    assert f"{found['learnable']:.0%}" == f"{percent}%"


def test_an_estimate_has_what_it_left_out_and_how_short_turns_get(run, at):
    given = ("estimate", at / "corpus", "--size", "8", "--splits", "2")
    code, out, err = run(*given)
    assert code == 0, err
    found = json.loads(run(*given, "--json")[1])
    assert f"Left out: the {found['held_out_tasks']} tasks that the corpus holds out." in in_one_line(out)
    assert f"and {found['points'][0]['turn_units']:,.1f} units" in in_one_line(out)
    assert (found["rows"], found["scored_tasks"]) == (found["runs"], None)
