"""Texts come back with their spaces from tokenizers that write a space as another character."""

import json
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.cli import main
from lar.errors import VocabularyError
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing.metaspace import metaspace, metaspace_first, with_spaces_as_tokens

CODE = "if x:\n    return  b\n\n  (y)"
texts = st.text(st.sampled_from("ab: \n\té"), max_size=30)


def vocabulary(backend, *latents: str) -> LatentVocabulary:
    tokenizer = Tokenizer(backend)
    found = [tokenizer.encode(text).tolist() for text in latents]
    first = tokenizer.base_size
    return LatentVocabulary(
        tuple(
            Latent(first + number, tuple(ids), text, count=2, support=2, uses=2)
            for number, (ids, text) in enumerate(zip(found, latents, strict=True))
        ),
        tokenizer,
    )


SPACES = vocabulary(with_spaces_as_tokens(), "    return", "  b", ":\n    ")


def streamed(units, **options) -> tuple[str, str | None]:
    stream = SPACES.stream(**options)
    text = ""
    for unit in units:
        text += stream.push(int(unit))
        if stream.finish_reason is not None:
            break
    return text + stream.flush(), stream.finish_reason


def test_runs_of_spaces_are_spaces_and_no_barriers():
    tokenizer = SPACES.tokenizer
    ids = tokenizer.encode(CODE)
    assert "▁▁▁▁" in [tokenizer.backend.id_to_token(int(index)) for index in ids]
    assert len(tokenizer.barriers) == 2
    assert tokenizer.bytes_of(ids) == CODE.encode()
    assert tokenizer.decode(ids) == CODE
    assert not tokenizer.puts_space_before


@given(text=texts)
def test_text_and_stream_are_the_text(text):
    for units in (SPACES.encode_text(text), SPACES.encode(SPACES.tokenizer.encode(text))):
        assert SPACES.text(units) == text
        assert streamed(units) == (text, "flushed")


@pytest.mark.parametrize("stop", ["\n    return", "    ", "return  b", " b"])
def test_stop_strings_with_spaces_are_found(stop):
    for units in (SPACES.encode_text(CODE), SPACES.tokenizer.encode(CODE)):
        assert streamed(units, stop=stop) == (CODE[: CODE.index(stop)], "stop")


@pytest.mark.parametrize("decoder", ["strip", "metaspace"])
def test_a_saved_latents_text_keeps_its_first_space(decoder, tmp_path):
    tokenizer = Tokenizer(metaspace_first(decoder))
    ids = tuple(tokenizer.encode("</s> a b")[1:].tolist())
    latent = Latent(tokenizer.base_size, ids, " a b", count=2, support=2, uses=2)
    LatentVocabulary((latent,), tokenizer).save(tmp_path / "right")
    assert LatentVocabulary.load(tmp_path / "right")[0].text == " a b"
    LatentVocabulary((replace(latent, text="a b"),), tokenizer).save(tmp_path / "wrong")
    with pytest.raises(VocabularyError, match=r"has the text 'a b', .* is ' a b'"):
        LatentVocabulary.load(tmp_path / "wrong")


@pytest.mark.parametrize("backend", [metaspace, with_spaces_as_tokens])
def test_encode_and_expand_give_the_lines_back(backend, monkeypatch, capsys, tmp_path):
    lines = ["if a:", "    a  b", "", "  ", "ab\r", "a\u2028b", "b "]
    vocabulary(backend()).save(tmp_path / "vocabulary")
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines), newline="")
    for arguments in (
        ("encode", tmp_path / "vocabulary", tmp_path / "in.txt", "--text", "-o", tmp_path / "units.jsonl"),
        ("expand", tmp_path / "vocabulary", tmp_path / "units.jsonl", "--text", "-o", tmp_path / "out.jsonl"),
    ):
        monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, capsys.readouterr().err
    written = (tmp_path / "out.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    assert [json.loads(line) for line in written] == lines
