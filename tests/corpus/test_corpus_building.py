"""A resumed build ends in the same bytes; a folder with other files is not changed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from lar.corpus import Corpus, Manifest
from lar.errors import CorpusError, OptionError, TokenizerError
from lar.tokenizer.tokenizer import Tokenizer
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import TOOL, tokenizer_with, user
from testing.corpora import CHATML, build, contents, make_trajectories

PROLOGUE = """
    import os, signal, sys
    from pathlib import Path
    from testing.corpora import CHATML, make_trajectories
    from lar.corpus import Corpus

    def die():
        os.kill(os.getpid(), signal.SIGKILL)
"""
EPILOGUE = "Corpus.build(trajectories(), CHATML, Path(sys.argv[1]), shard_tokens=2000, workers=1)"

KILLERS = {
    "while reading": """
        def trajectories():
            for number, trajectory in enumerate(make_trajectories()):
                if number == 190:
                    die()
                yield trajectory
    """,
    "before the manifest": """
        from lar.corpus import building
        original, written = building.write_rows, []

        def write_rows(file, rows):
            original(file, rows)
            written.append(file)
            if len(written) == 3:
                die()

        building.write_rows = write_rows
        trajectories = make_trajectories
    """,
    "within a shard": """
        from lar.corpus import shards
        original, begun = shards.pa.ipc.new_file, []

        def new_file(sink, schema):
            begun.append(1)
            if len(begun) == 4:
                sink.write(b"half a sha")
                sink.flush()
                die()
            return original(sink, schema)

        shards.pa.ipc.new_file = new_file
        trajectories = make_trajectories
    """,
}


@pytest.mark.parametrize("moment", KILLERS)
def test_killed_equals_not_killed(tmp_path, moment):
    script = textwrap.dedent(PROLOGUE) + textwrap.dedent(KILLERS[moment]) + EPILOGUE
    killed = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", script, str(killed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    before = {name: data for name, data in contents(killed).items() if name.startswith("part-")}
    assert len(before) >= 2
    with pytest.raises(CorpusError, match=r"stopped after \d+ trajectories"):
        Corpus.load(killed)
    again = build(tmp_path, "killed")
    assert contents(again.path) == contents(build(tmp_path, "whole").path)


def test_finished_shards_are_not_written_again(tmp_path):
    def stopped():
        yield from make_trajectories()[:150]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.build(stopped(), CHATML, tmp_path / "c", shard_tokens=2000, workers=1)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "c").glob("part-*")}
    build(tmp_path, "c")
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "c").glob("part-*")}
    assert before
    assert before.items() <= after.items()


def test_a_finished_corpus_is_detected(tmp_path, monkeypatch):
    first = contents(build(tmp_path).path)
    monkeypatch.setattr("lar.corpus.encoding.prefixes", None)  # would fail
    assert contents(build(tmp_path).path) == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: all_[:-1], "more trajectories"),
        (lambda all_: [*all_, all_[0]], "fewer trajectories"),
        (lambda all_: [*all_[1:], all_[0]], "other trajectories"),
    ],
)
def test_other_input_is_refused(tmp_path, change, message):
    before = contents(build(tmp_path).path)
    with pytest.raises(CorpusError, match=message):
        Corpus.build(change(make_trajectories()), CHATML, tmp_path / "corpus", shard_tokens=2000)
    assert contents(tmp_path / "corpus") == before


@pytest.mark.parametrize(
    "change",
    [{"id": "other"}, {"task": "other"}, {"success": None}, {"tools": [TOOL]}, {"messages": [user("go")]}],
    ids=lambda change: next(iter(change)),
)
def test_a_run_that_differs_in_any_part_is_other_input(tmp_path, change):
    first, *others = make_trajectories(3)
    Corpus.build([first, *others], CHATML, tmp_path / "corpus", workers=1)
    with pytest.raises(CorpusError, match="other trajectories"):
        Corpus.build([replace(first, **change), *others], CHATML, tmp_path / "corpus", workers=1)


def test_other_settings_are_refused(tmp_path):
    build(tmp_path)
    with pytest.raises(CorpusError, match="shard_tokens differ"):
        build(tmp_path, shard_tokens=3000)
    other = tokenizer_with(without_tags(TEMPLATES["phi3"]))
    with pytest.raises(CorpusError, match="chat_template_hash differ"):
        Corpus.build(make_trajectories(), other, tmp_path / "corpus", shard_tokens=2000)


def test_only_succeeded_is_a_build_of_those_that_succeeded(tmp_path):
    runs = make_trajectories()
    found = build(tmp_path, only_succeeded=True, split_seed=3, hold_out=0.5)
    expected = Corpus.build([run for run in runs if run.success], CHATML, shard_tokens=2000)
    assert list(found) == list(expected)
    counts = found.manifest.failed_left_out, found.manifest.unknown_left_out
    assert counts == (sum(run.success is False for run in runs), sum(run.success is None for run in runs))
    before = contents(found.path)
    assert build(tmp_path, only_succeeded=True) == found
    assert contents(found.path) == before
    with pytest.raises(CorpusError, match="only_succeeded differ"):
        build(tmp_path)


def test_only_succeeded_goes_on_after_a_stop_with_the_counts_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr("lar.corpus.encoding.CHUNK_TRAJECTORIES", 8)

    class StoppedError(Exception):
        pass

    def stopped():
        for number, run in enumerate(make_trajectories()):
            if number == 190:
                raise StoppedError
            yield run

    options = {"shard_tokens": 1000, "workers": 1, "only_succeeded": True}
    with pytest.raises(StoppedError):
        Corpus.build(stopped(), CHATML, tmp_path / "stopped", **options)
    assert Manifest.read(tmp_path / "stopped").parts
    again = build(tmp_path, "stopped", **options)
    assert contents(again.path) == contents(build(tmp_path, "whole", **options).path)


def test_no_success_is_named_and_nothing_is_written(tmp_path):
    runs = [run for run in make_trajectories(9) if not run.success]
    message = "none of 6 trajectories is known to have succeeded: 3 failed, and of 3 the outcome is unknown"
    with pytest.raises(CorpusError, match=message):
        Corpus.build(runs, CHATML, tmp_path / "corpus", only_succeeded=True)
    assert not (tmp_path / "corpus").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/thesis.txt").write_text("all of it")
    with pytest.raises(CorpusError, match="not a corpus"):
        build(tmp_path)
    assert contents(tmp_path / "corpus") == {"thesis.txt": b"all of it"}


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is held there")
def test_two_builds_do_not_write_to_one_folder(tmp_path):
    """Both would end without an error, and the folder would hold the trajectories of the later one."""
    expected = build(tmp_path, "alone", shard_tokens=2000)

    def trajectories():
        for number, trajectory in enumerate(make_trajectories()):
            if number == 190:
                with pytest.raises(OptionError, match="shared: another process is writing"):
                    Corpus.build(make_trajectories(5), CHATML, tmp_path / "shared", shard_tokens=2000)
            yield trajectory

    Corpus.build(trajectories(), CHATML, tmp_path / "shared", shard_tokens=2000, workers=1)
    assert contents(tmp_path / "shared") == contents(expected.path)


def unbuilt(folder):
    """Make a finished corpus one whose build was killed before its first shard."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"complete": False, "parts": [], "inputs": 0, "input_digest": "", "unwritten": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for file in folder.glob("part-*"):
        file.unlink()


@pytest.mark.parametrize(
    "lost", [["tokenizer.json"], ["chat_template.jinja"], ["chat_template.jinja", "tokenizer_config.json"]]
)
@pytest.mark.parametrize("is_finished", [False, True])
def test_a_broken_copy_of_the_tokenizer_is_stored_anew(tmp_path, caplog, lost, is_finished):
    expected = contents(build(tmp_path).path)
    folder = tmp_path / "corpus"
    for name in lost:
        (folder / "tokenizer" / name).unlink()
    if not is_finished:
        unbuilt(folder)
    build(tmp_path)
    assert contents(folder) == expected
    assert "tokenizer: not the tokenizer that the corpus is made with" in caplog.text


def test_a_build_killed_while_it_stores_the_tokenizer_leaves_no_part_of_it(tmp_path, monkeypatch):
    def stopped(_, folder):
        (folder / "tokenizer.json").write_text("{")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lar.tokenizer.tokenizer.Tokenizer.save", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path)
    assert not (tmp_path / "corpus/tokenizer").exists()
    assert contents(build(tmp_path).path) == contents(build(tmp_path, "whole").path)


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }}"])
def test_another_chat_template_in_the_copy_is_refused(tmp_path, template):
    file = build(tmp_path).path / "tokenizer/chat_template.jinja"
    file.unlink()
    if template is not None:
        file.write_text(template)
    with pytest.raises(CorpusError, match="tokenizer: not the chat template that made the corpus"):
        _ = Corpus.load(tmp_path / "corpus").tokenizer


def test_a_template_keeps_its_line_ends_in_the_copy(tmp_path):
    dos = Tokenizer(CHATML.backend, chat_template="{# two #}\r\n" + CHATML.chat_template)
    corpus = Corpus.build(make_trajectories(4), dos, tmp_path / "corpus")
    assert Corpus.load(corpus.path).tokenizer.template_hash == dos.template_hash


def test_a_first_build_that_failed_does_not_block_the_corrected_one(tmp_path):
    without = Tokenizer(CHATML.backend)
    with pytest.raises(TokenizerError):
        Corpus.build(make_trajectories(), without, tmp_path / "corpus", shard_tokens=99)
    assert contents(build(tmp_path).path) == contents(build(tmp_path, "alone").path)


def test_a_build_killed_before_its_first_manifest_goes_on(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/.manifest.json.abc.partial").write_text("{")
    assert contents(build(tmp_path).path) == contents(build(tmp_path, "alone").path)


def test_what_an_earlier_build_has_left_out_is_refused_where_nothing_may_be(tmp_path):
    template = "{% if messages[0].content == 'do 7' %}{{ raise_exception('no sevens') }}{% endif %}"
    strict = Tokenizer(CHATML.backend, chat_template=template + CHATML.chat_template)

    def built(**options):
        return Corpus.build(make_trajectories(20), strict, tmp_path / "corpus", **options)

    before = contents(built(skip_refused=True).path)
    with pytest.raises(TokenizerError, match="no sevens"):
        built()
    assert contents(tmp_path / "corpus") == before
    assert len(built(skip_refused=True)) == 19


@pytest.mark.parametrize(("name", "warned"), [("bare", 1), ("chatml", 0)])
def test_a_template_without_an_end_of_turn_is_warned_of(tmp_path, caplog, name, warned):
    Corpus.build(make_trajectories(3), tokenizer_with(without_tags(TEMPLATES[name])), tmp_path / "corpus")
    assert caplog.text.count("cannot learn from this corpus where to end a turn") == warned
