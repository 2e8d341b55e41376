"""`lar encode` and `lar expand`: pipes and formats; lines of text come back exactly, bad names fail."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.cli.ids import read_ids, read_lines, write_results
from lar.errors import OptionError
from testing import toy

LINES = ["The temperature in Oslo is 3 degrees.", "", " naïve ☂ ", "\r", "a\r", "[1]", '"', "\x85 \u2028", ""]


@pytest.fixture(scope="module")
def vocabulary_folder(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipes") / "vocabulary"
    vocabulary.save(folder)
    return folder


@pytest.fixture
def pipe(run, monkeypatch):
    """Runs a command with bytes on its standard input; returns its exit code, output and errors."""

    def call(given, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        return run(*arguments)

    return call


@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_come_back_through_pipes(pipe, vocabulary_folder, end):
    text = "\n".join(LINES) + "x" + end  # the last line is not empty, so that an end changes no line
    code, units, shown = pipe(text.encode(), "encode", vocabulary_folder, "-", "--text", "-o", "-")
    assert code == 0
    assert "standard output" in shown
    code, back, shown = pipe(units.encode(), "expand", vocabulary_folder, "-", "--text", "-o", "-")
    assert code == 0
    assert back == text.removesuffix("\n") + "\n"


def test_a_real_pipe_carries_bytes_as_they_are(vocabulary_folder):
    lar = f"{sys.executable} -m lar"
    rest = f"-q {vocabulary_folder} - --text -o -"
    line = f"{lar} encode {rest} | {lar} expand {rest}"
    text = "\n".join(LINES).encode() + b"x\r\n"
    done = subprocess.run(line, shell=True, input=text, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (text, b"")


def test_ids_come_back_through_pipes(pipe, vocabulary, vocabulary_folder):
    lists = [vocabulary.segments.tokens.tolist(), [], [1, 2, 3]]
    given = "".join(json.dumps(one) + "\n" for one in lists)
    units = pipe(given.encode(), "encode", vocabulary_folder, "-", "-o", "-")[1]
    assert len(json.loads(units.splitlines()[0])) < len(lists[0])
    assert pipe(units.encode(), "expand", vocabulary_folder, "-", "-o", "-")[1] == given


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))))
def test_plain_lines_and_json_lines_hold_all_text(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    write_results(iter(lines), folder / "out.txt")
    assert list(read_lines(folder / "out.txt")) == lines
    write_results(iter(lines), folder / "out.jsonl")
    assert [json.loads(line) for line in read_lines(folder / "out.jsonl")] == lines


def test_special_tokens_are_in_the_text(pipe, vocabulary, vocabulary_folder):
    special = vocabulary.tokenizer.decode([int(vocabulary.tokenizer.special_ids[0])])
    text = f"a{special}b\n"
    units = pipe(text.encode(), "encode", vocabulary_folder, "-", "--text", "-o", "-")[1]
    assert pipe(units.encode(), "expand", vocabulary_folder, "-", "--text", "-o", "-")[1] == text


def test_a_text_with_a_line_break_is_no_plain_line(tmp_path):
    with pytest.raises(OptionError, match=r"list 2.*line break.*\.jsonl"):
        write_results(iter(["a", "b\nc"]), tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.foo", "x", "x.txt", "x.npz", "x.jsonl.gz", "x.NPY"])
def test_an_unknown_ending_is_refused_with_those_there_are(pipe, vocabulary_folder, tmp_path, name):
    out = tmp_path / name
    for command in ("encode", "expand"):
        code, _, shown = pipe(b"[1]\n", command, vocabulary_folder, "-", "-o", out)
        assert code == 2
        assert ".npy" in shown
        assert ".jsonl" in shown
        assert "\n" not in shown.strip()
    assert not out.exists()


def test_texts_have_endings_of_their_own(pipe, vocabulary_folder, tmp_path):
    for name in ("x.npy", "x.foo"):
        code, _, shown = pipe(b"[1]\n", "expand", vocabulary_folder, "-", "--text", "-o", tmp_path / name)
        assert code == 2
        assert ".txt" in shown
        assert ".jsonl" in shown
    assert pipe(b"[1]\n", "expand", vocabulary_folder, "-", "--text", "-o", tmp_path / "x.txt")[0] == 0


def test_what_a_pipe_cannot_carry_is_one_line(pipe, vocabulary_folder, tmp_path):
    array = io.BytesIO()
    np.save(array, np.arange(3))
    code, printed, shown = pipe(array.getvalue(), "encode", vocabulary_folder, "-", "-o", "-")
    assert (code, printed) == (2, "")
    assert "standard input: line 1 is not UTF-8" in shown
    assert "file that ends in .npy" in shown
    code, _, shown = pipe(b"[1]\n", "encode", vocabulary_folder, "-", "-o", "-", "--json")
    assert code == 2
    assert "--json" in shown
    code, _, shown = pipe(b"some text\n", "encode", vocabulary_folder, "-", "-o", tmp_path / "x.jsonl")
    assert code == 2
    assert "line 1" in shown
    assert "--text" in shown
    assert not (tmp_path / "x.jsonl").exists()


def test_lines_that_the_tokenizer_changes_are_counted(pipe, vocabulary_folder, monkeypatch):
    from lar.tokenizer.tokenizer import Tokenizer

    whole = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, text: whole(self, text.replace("é", "e")))
    _, _, shown = pipe("é\na\né\n".encode(), "encode", vocabulary_folder, "-", "--text", "-o", "-")
    assert "2 of 3 lines" in " ".join(shown.split())
    assert "the first is number 1" in " ".join(shown.split())


def test_bytes_that_are_no_characters_are_counted(pipe, vocabulary, vocabulary_folder):
    half = vocabulary.tokenizer.encode("☂")[:1].tolist()
    if len(vocabulary.tokenizer.encode("☂")) == 1:
        pytest.skip("the tokenizer has this character as one token")
    given = f"{half}\n[{toy.tokenizer().encode('a')[0]}]\n"
    code, printed, shown = pipe(given.encode(), "expand", vocabulary_folder, "-", "--text", "-o", "-")
    assert code == 0
    assert printed == "\ufffd\na\n"
    assert "1 of 2" in shown


@pytest.mark.parametrize("command", [("encode",), ("expand",), ("expand", "--text")])
def test_an_id_that_is_none_is_named_with_its_list(pipe, vocabulary_folder, command):
    given = b"[1, 2]\n\n[9999999]\n"
    code, _, shown = pipe(given, command[0], vocabulary_folder, "-", "-o", "-", *command[1:])
    assert code == 2
    assert "standard input: line 3: " in shown
    assert "9999999" in shown


def test_reading_names_the_line(tmp_path):
    (tmp_path / "ids.jsonl").write_text("[1]\n\n[2.5]\n")
    with pytest.raises(OptionError, match="line 3"):
        list(read_ids(tmp_path / "ids.jsonl"))
    (tmp_path / "ids.jsonl").write_bytes(b"[1]\n\xff\n")
    with pytest.raises(OptionError, match=r"line 2 is not UTF-8 .*ends in \.npy"):
        list(read_ids(tmp_path / "ids.jsonl"))
    with pytest.raises(OptionError, match="line 2 is not UTF-8") as found:
        list(read_lines(tmp_path / "ids.jsonl"))
    assert ".npy" not in str(found.value)


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=5), st.data())
def test_list_n_is_that_of_line_n(tmp_path_factory, lists, data):
    file = tmp_path_factory.mktemp("lines") / "ids.jsonl"
    blank = st.sampled_from(["", " ", "[]"])
    lines = [json.dumps(ids) if ids else data.draw(blank) for ids in lists]
    file.write_text("".join(f"{line}\n" for line in lines))
    assert [ids.tolist() for ids in read_ids(file)] == lists


def test_a_second_list_for_an_array_is_refused_before_the_others_are_made(tmp_path):
    made = []

    def lists():
        for number in range(100):
            made.append(number)
            yield np.zeros(1, np.uint32)

    with pytest.raises(OptionError, match=r"holds one list of ids, not several; use \.jsonl"):
        write_results(lists(), tmp_path / "x.npy")
    assert made == [0, 1]
    with pytest.raises(OptionError, match="not none"):
        write_results(iter(()), tmp_path / "x.npy")
    assert list(tmp_path.iterdir()) == []


def test_nested_json_is_no_list_of_ids(tmp_path):
    (tmp_path / "ids.jsonl").write_text("[1]\n" + "[" * 100_000 + "\n")
    reading = read_ids(tmp_path / "ids.jsonl")
    assert next(reading).tolist() == [1]
    with pytest.raises(OptionError, match="line 2"):
        next(reading)


def npy_of(shape):
    """The start of a .npy file: the header of an array of 32-bit ids of this shape, without the array."""
    header = f"{{'descr': '<u4', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00v\x00" + header.encode().ljust(117) + b"\n"


def zipped():
    file = io.BytesIO()
    np.savez(file, ids=np.zeros(2, np.uint32))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no archive",
        zipped(),
        npy_of("(5,)"),
        npy_of(f"({10**14},)"),
        npy_of(f"({10**30},)"),
        npy_of("((("),
        npy_of("(1,), []: 1"),
    ],
)
def test_a_damaged_array_is_refused(tmp_path, content):
    (tmp_path / "ids.npy").write_bytes(content)
    with pytest.raises(OptionError, match=r"ids\.npy: "):
        list(read_ids(tmp_path / "ids.npy"))
