"""Mining within a bound of memory: the same bytes, nothing left on disk, one line if the disk is full."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar import _core
from lar.cli.size import parse_size
from lar.corpus import Corpus
from lar.errors import OptionError, VocabularyError
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.utils.result_files import VOCABULARY_FILE
from testing import toy
from testing.scores import score_with

NO_BARRIERS = np.zeros(0, dtype=np.uint32)
LIMITS = _core.Limits(min_count=1, min_support=1, max_length=8, most=1000)
PARTS = st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 3)), max_size=10)


@pytest.fixture(scope="module")
def sharded(tokenizer, tmp_path_factory):
    """A corpus of many shards, without scores."""
    folder = tmp_path_factory.mktemp("spilling") / "corpus"
    return Corpus.build(toy.trajectories(60), tokenizer, folder, shard_tokens=700)


@pytest.fixture(scope="module")
def with_scores(tokenizer, tmp_path_factory):
    """The same with a teacher's entropies."""
    folder = tmp_path_factory.mktemp("scored") / "corpus"
    corpus = Corpus.build(toy.trajectories(60), tokenizer, folder, shard_tokens=700)
    return score_with(corpus, lambda shard: shard.tokens % 7 / 10)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder that runs are spilled to, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def saved(vocabulary, folder):
    vocabulary.save(folder)
    return (folder / VOCABULARY_FILE).read_bytes()


def fold(parts, bound=None):
    folder = _core.RunFolder(NO_BARRIERS, bound)
    for tokens, task in parts:
        ids, offsets = np.array(tokens, dtype=np.uint32), np.array([0, len(tokens)])
        folder.add(ids, offsets, np.ones(len(ids), dtype=np.bool_), np.array([task], dtype=np.uint32))
    return folder.finish()


def as_set(runs):
    def lists(flat, offsets):
        return [tuple(part.tolist()) for part in np.split(flat, offsets[1:-1])]

    tokens, offsets, counts, tasks, task_offsets = runs.to_arrays()
    found = zip(lists(tokens, offsets), counts.tolist(), lists(tasks, task_offsets), strict=True)
    return set(found) if len(runs) else set()


@given(parts=PARTS, memory=st.integers(0, 2000))
def test_spilled_runs_are_those_of_memory(parts, memory):
    with tempfile.TemporaryDirectory() as folder:
        runs = fold(parts, (memory, folder))
        assert not list(Path(folder).iterdir())
    assert as_set(runs) == as_set(fold(parts))
    assert len(runs) == len(as_set(runs))


@given(parts=PARTS)
def test_runs_and_candidates_can_be_pickled(parts):
    runs = fold(parts)
    again = pickle.loads(pickle.dumps(runs))
    assert as_set(again) == as_set(runs)
    candidates, other = runs.candidates(LIMITS), again.candidates(LIMITS)
    for copy in (other, pickle.loads(pickle.dumps(candidates))):
        for array, expected in zip(copy.to_arrays(), candidates.to_arrays(), strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.ones(1, np.uint64)}, "counts has 1 entries where 2 are needed"),
        ({"offsets": np.array([0, 9, 3])}, "offsets do not divide"),
        ({"tasks": np.array([1, 0, 0], np.uint32)}, "tasks of run 0 are not ascending"),
        ({"task_offsets": np.array([0, 0, 3])}, "run 0 has no tasks"),
        ({"counts": np.array([1, 0], np.uint64)}, "run 1 has no occurrences"),
        ({"offsets": np.array([0, 3, 3])}, "run 1 has no tokens"),
        ({"counts": np.array([1, 2**64 - 1], np.uint64)}, "more than 9007199254740992 tokens"),
    ],
)
def test_arrays_that_are_no_runs_are_refused(change, message):
    arrays = {
        "tokens": np.array([1, 2, 3], np.uint32),
        "offsets": np.array([0, 2, 3]),
        "counts": np.ones(2, np.uint64),
        "tasks": np.array([0, 1, 0], np.uint32),
        "task_offsets": np.array([0, 2, 3]),
    }
    assert len(_core.Runs.from_arrays(**arrays)) == 2
    with pytest.raises(OptionError, match=message):
        _core.Runs.from_arrays(**{**arrays, **change})


def test_an_id_that_no_token_has_is_refused():
    ids, one = np.array([1, 2**32 - 1], np.uint32), np.ones(1, np.uint32)
    folder = _core.RunFolder(NO_BARRIERS)
    with pytest.raises(VocabularyError, match="id 4294967295 at position 1"):
        folder.add(ids, np.array([0, 2]), np.ones(2, np.bool_), one)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((0, 1, 2, 1), "min_count must be at least 1, not 0"),
        ((1, 0, 2, 1), "min_support must be at least 1, not 0"),
        ((1, 1, 1, 1), "max_length must be at least 2, not 1"),
        ((1, 1, 2, 0), "most must be at least 1, not 0"),
        ((-1, 1, 2, 1), "the number -1 is negative or too large"),
        ((1, 2**32, 2, 1), "the number 4294967296 is negative or too large"),
    ],
)
def test_limits_without_a_meaning_are_refused(limits, message):
    names = ("min_count", "min_support", "max_length", "most")
    with pytest.raises(OptionError, match=message):
        _core.Limits(**dict(zip(names, limits, strict=True)))


def test_limits_are_a_value():
    assert repr(LIMITS) == "Limits(min_count=1, min_support=1, max_length=8, most=1000)"
    for copy in (eval(repr(LIMITS), {"Limits": _core.Limits}), pickle.loads(pickle.dumps(LIMITS))):
        assert copy == LIMITS
        assert hash(copy) == hash(LIMITS)
    assert _core.Limits(min_count=2, min_support=1, max_length=8, most=1000) != LIMITS
    assert (LIMITS.min_count, LIMITS.min_support, LIMITS.max_length, LIMITS.most) == (1, 1, 8, 1000)
    with pytest.raises(TypeError):
        _core.Limits(1, 1, 8, 1000)
    with pytest.raises(AttributeError):
        LIMITS.most = 1


def test_candidates_that_do_not_ascend_are_refused():
    tokens, offsets = np.array([1, 2, 1, 2], np.uint32), np.array([0, 2, 4])
    with pytest.raises(OptionError, match="candidate 1 does not come after"):
        _core.Candidates.from_arrays(tokens, offsets, np.ones(2, np.uint64), np.ones(2, np.uint32))


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """A file with a tool that the logs call, and one that they do not."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    named = [{"name": name, "parameters": parameters} for name in ("get_weather", "get_traffic")]
    file = tmp_path_factory.mktemp("tools") / "tools.json"
    file.write_text(json.dumps([{"type": "function", "function": tool} for tool in named]))
    return file


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gates": "none"},
        {"max_entropy": 0.3},
        {"max_entropy": "p70"},
        {"prompt_weight": 0.25},
        {"prompt_weight": 0.25, "max_entropy": "p70", "gates": "tool_call,border"},
    ],
    ids=str,
)
@pytest.mark.parametrize("memory", [1, 20_000])
def test_the_vocabulary_is_the_same_within_a_bound(with_scores, tools, tmp_path, temporary, options, memory):
    here = mine(with_scores, size=20, tools=tools, **options)
    spilled = mine(with_scores, size=20, tools=tools, backend=OneMachine(memory), **options)
    assert saved(spilled, tmp_path / "spilled") == saved(here, tmp_path / "here")
    assert here.size > 5
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("gate", ["p70", 0.3])
def test_a_gate_without_a_teacher_works_part_by_part(sharded, temporary, gate):
    here = mine(sharded, size=20, max_entropy=gate)
    for memory in (1, 20_000):
        found = mine(sharded, size=20, max_entropy=gate, backend=OneMachine(memory))
        assert found.size > 5
        nats = found.mining["max_entropy_nats"]
        assert nats == pytest.approx(0.3) if gate == 0.3 else nats > 0
    whole = mine(sharded, size=20, max_entropy=gate, backend=OneMachine(1 << 30))
    assert whole.latents == here.latents  # all runs are one part
    assert list(temporary.iterdir()) == []


def test_an_update_is_the_same_within_a_bound(sharded, tmp_path, temporary):
    before = mine(sharded.select(lambda task: task in sorted(sharded.tasks)[:20]), size=10)
    here = mine(sharded, update=before)
    spilled = mine(sharded, update=before, backend=OneMachine(1))
    assert saved(spilled, tmp_path / "spilled") == saved(here, tmp_path / "here")
    assert list(temporary.iterdir()) == []


def command_line(corpus, output, temporary, *options, before=""):
    program = textwrap.dedent(before) + "\nfrom lar.cli import main; main()"
    command = [sys.executable, "-c", program, "mine", str(corpus.path), "-o", str(output), *options]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_command_line_within_a_bound(sharded, tmp_path, temporary):
    assert command_line(sharded, tmp_path / "here", temporary).returncode == 0
    assert command_line(sharded, tmp_path / "spilled", temporary, "--memory", "1KiB").returncode == 0
    assert (tmp_path / "spilled" / VOCABULARY_FILE).read_bytes() == (
        tmp_path / "here" / VOCABULARY_FILE
    ).read_bytes()
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(sharded, tmp_path, temporary):
    pytest.importorskip("resource", reason="needs limits of file sizes")
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))"
    result = command_line(sharded, tmp_path / "v", temporary, "--memory", "1KiB", before=full)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"runs cannot be spilled to {temporary}: File too large" in line
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "v").exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the list of open files")
def test_a_part_that_cannot_be_read_is_one_line_and_leaves_nothing(sharded, tmp_path, temporary):
    damaged = """
        import os
        from lar.mining.selection import Selector

        select = Selector.select

        def damaged(*arguments):
            for descriptor in os.listdir("/proc/self/fd"):
                try:
                    if os.readlink(f"/proc/self/fd/{descriptor}").startswith(os.environ["TMPDIR"]):
                        os.ftruncate(int(descriptor), 100)
                except FileNotFoundError:  # the list itself
                    pass
            return select(*arguments)

        Selector.select = damaged
    """
    result = command_line(sharded, tmp_path / "v", temporary, "--memory", "1KiB", before=damaged)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"runs cannot be read again from {temporary}" in line
    assert not (tmp_path / "v").exists()


def test_a_process_that_is_killed_leaves_nothing(sharded, tmp_path, temporary):
    killed = """
        import os
        from lar.mining.selection import Selector

        Selector.select = lambda *_: os.kill(os.getpid(), 9)
    """
    result = command_line(sharded, tmp_path / "v", temporary, "--memory", "1KiB", before=killed)
    assert result.returncode == -9
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "v").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    folder = _core.RunFolder(NO_BARRIERS, (0, tmp_path / "nowhere"))
    one = np.ones(1, dtype=np.uint32)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        folder.add(one, np.array([0, 1]), one.astype(np.bool_), one)
    # The run is lost, so what is left is not given out as the whole.
    with pytest.raises(FileNotFoundError, match="nowhere"):
        folder.finish()


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2GiB", 2 << 30), ("1.5 kib", 1536), ("500MB", 500_000_000), ("3TB", 3 * 10**12), ("7B", 7)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.1B", "-1", "2 parsecs", "GiB", "1e9", "2G", "2,5GiB", "2GiB/s"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="no size"):
        parse_size(text)


def test_memory_must_be_positive():
    with pytest.raises(OptionError, match="memory must be"):
        OneMachine(0)


def test_flags_of_other_bytes_are_refused():
    folder = _core.RunFolder(NO_BARRIERS)
    tokens, offsets, tasks = np.array([1, 2], np.uint32), np.array([0, 2]), np.zeros(1, np.uint32)
    flags = np.full(2, 2, np.uint8).view(np.bool_)  # numpy takes them for true
    with pytest.raises(OptionError, match="bytes other than 0 and 1"):
        folder.add(tokens, offsets, flags, tasks)
    folder.add(tokens, offsets, np.ones(2, np.bool_), tasks)


def records_of(offsets):
    records = np.zeros(len(offsets), dtype=[("offset", np.int64), ("task", np.uint32)])
    records["offset"] = offsets
    return records["offset"]


@pytest.mark.parametrize(
    "arranged",
    [
        records_of,  # twelve bytes apart
        lambda offsets: np.frombuffer(b"x" + offsets.tobytes(), np.int64, offset=1),
        lambda offsets: np.repeat(offsets, 2)[::2],
        lambda offsets: offsets[::-1].copy()[::-1],
    ],
)
@given(lengths=st.lists(st.integers(0, 5), min_size=1))
def test_offsets_may_lie_in_memory_in_any_way(arranged, lengths):
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(offsets[-1], dtype=np.uint32)
    folders = [_core.RunFolder(NO_BARRIERS) for _ in range(2)]
    for folder, places in zip(folders, (offsets, arranged(offsets)), strict=True):
        folder.add(tokens, places, np.ones(len(tokens), np.bool_), np.zeros(len(lengths), np.uint32))
    expected, found = (folder.finish() for folder in folders)
    assert as_set(found) == as_set(expected)


def test_an_id_that_no_run_can_have_is_refused():
    folder = _core.RunFolder(NO_BARRIERS)
    tokens, offsets = np.array([1, 2**32 - 1], np.uint32), np.array([0, 2])
    folder.add(np.array([1, 2], np.uint32), offsets, np.ones(2, np.bool_), np.zeros(1, np.uint32))
    runs = folder.finish()
    for count in (runs.count_occurrences, runs.as_candidates):
        with pytest.raises(VocabularyError, match="id 4294967295 at position 1"):
            count(tokens, offsets)


def test_barriers_that_no_run_can_have_are_refused():
    with pytest.raises(VocabularyError, match="id 4294967295 at position 0"):
        _core.RunFolder(np.array([2**32 - 1], np.uint32))
