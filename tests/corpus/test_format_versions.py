"""Corpora of earlier format versions are read, but not the scores in the shards of version 1."""

import json

import numpy as np
import pyarrow as pa
import pytest

from lar.corpus import Corpus
from lar.corpus.manifest import Manifest
from lar.errors import CorpusError
from lar.mining.mine import mine
from lar.scoring import store
from lar.trajectories.schema import Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import TOOL, agent, tokenizer_with, user
from testing.corpora import build, contents, make_trajectories
from testing.lossy_templates import LOSSY
from testing.scores import TEACHER, score_with


def as_version_1(corpus, *, scored=()):
    """Rewrite a corpus as version 1 wrote it; the shards of these numbers have scores."""
    for number, part in enumerate(corpus.manifest.parts):
        file = corpus.path / part.file
        with pa.memory_map(str(file)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        kind = pa.list_(pa.float16())
        tokens = batch.column("tokens")
        values = pa.array(np.zeros(len(tokens.values), np.float16))
        column = pa.ListArray.from_arrays(tokens.offsets, values)
        column = column if number in scored else pa.nulls(batch.num_rows, type=kind)
        batch = batch.drop_columns("continues")
        schema = pa.schema([*batch.schema, pa.field("entropy", kind), pa.field("logprob", kind)])
        table = pa.record_batch([*batch.columns, column, column], schema=schema.remove_metadata())
        replace_batch(file, table)
    manifest = json.loads((corpus.path / "manifest.json").read_text())
    manifest |= {"format_version": 1, "teacher": {"name": "old"} if scored else None}
    for part in manifest["parts"]:
        del part["rows"]
    manifest |= {"base_size": manifest["base_size"] + 64, "base_size_is_known": True}  # the model's rows
    (corpus.path / "manifest.json").write_text(json.dumps(manifest))
    return corpus.path


def as_version_2(corpus):
    """Rewrite a corpus as version 2 wrote it, in which each trajectory was one row."""
    for part in corpus.manifest.parts:
        file = corpus.path / part.file
        with pa.memory_map(str(file)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        digest = {b"lar.digest": batch.schema.metadata[b"lar.digest"]}  # the only one that it wrote
        replace_batch(file, batch.drop_columns("continues").replace_schema_metadata(digest))
    manifest = json.loads((corpus.path / "manifest.json").read_text()) | {"format_version": 2}
    for part in manifest["parts"]:
        del part["rows"]
    (corpus.path / "manifest.json").write_text(json.dumps(manifest))
    return corpus.path


def replace_batch(file, batch):
    content = pa.BufferOutputStream()
    with pa.ipc.new_file(content, batch.schema) as out:
        out.write_batch(batch)
    file.unlink()
    file.write_bytes(content.getvalue())


@pytest.mark.parametrize("as_before", [as_version_1, as_version_2])
def test_a_corpus_without_scores_is_read_as_it_is(tmp_path, as_before):
    now = build(tmp_path, "now")
    old = Corpus.load(as_before(build(tmp_path, "old")))
    assert (len(old), old.num_trajectories) == (len(now), now.num_trajectories)
    assert old.task_counts() == now.task_counts()
    assert old.teacher is None
    assert old.manifest.base_size == now.manifest.base_size
    assert old.num_action_tokens == now.num_action_tokens
    for one, other in zip(old.shards(), now.shards(), strict=True):
        assert one.digest == other.digest
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.action, other.action)
        assert (one.ids, one.tasks, one.success) == (other.ids, other.tasks, other.success)
        assert one.entropy is None
    assert old.to_arrow().equals(now.to_arrow())
    before = contents(old.path)
    assert build(tmp_path, "old") == old
    assert contents(old.path) == before


def test_it_is_scored_as_any_other(tmp_path):
    old = score_with(Corpus.load(as_version_1(build(tmp_path))), lambda shard: shard.tokens % 7)
    assert old.teacher == TEACHER
    for view in (old, old.select(lambda task: task == "task1")):
        for shard in view.shards():
            np.testing.assert_array_equal(shard.entropy[shard.action], (shard.tokens % 7)[shard.action])


@pytest.mark.parametrize("scored", [(0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1,)])
def test_its_own_scores_are_refused_until_it_is_scored_anew(tmp_path, scored):
    old = Corpus.load(as_version_1(build(tmp_path), scored=scored))
    (old.path / "teacher").mkdir()
    (old.path / "teacher/part-00000.arrow").write_bytes(b"the likely tokens of version 1")
    for use in (lambda: old.teacher, lambda: mine(old, max_entropy="p60")):
        with pytest.raises(CorpusError, match=rf"run lar score {old.path} --model MODEL") as caught:
            use()
        assert "\n" not in str(caught.value)
    score_with(old, lambda shard: shard.tokens % 7)
    assert old.teacher == TEACHER
    assert all(store.is_scored(shard, TEACHER) for shard in old.shards())


def test_a_build_that_was_stopped_is_finished_as_the_present_version(tmp_path):
    def stopped():
        yield from make_trajectories()[:150]
        raise KeyboardInterrupt

    folder = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt):
        Corpus.build(stopped(), build(tmp_path, "whole").tokenizer, folder, shard_tokens=2000, workers=1)
    as_version_1(Corpus(folder, Manifest.read(folder)))
    assert build(tmp_path).manifest.format_version == 5
    for one, other in zip(Corpus.load(folder).shards(), build(tmp_path, "whole").shards(), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)


def as_version_3(folder, *, complete):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"format_version": 3, "complete": complete}
    new = ("unprompted", "first_unprompted")
    kept = {name: value for name, value in manifest.items() if name not in new}
    (folder / "manifest.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(("template", "is_told"), [("last thought", True), ("one call", False)])
def test_turns_that_began_behind_no_prompt_are_told_and_not_mixed(tmp_path, caplog, template, is_told):
    turns = [user("a"), agent("1"), user("b"), agent("2")]
    runs = [Trajectory(f"r{number}", f"t{number}", turns) for number in range(40)]
    folder = Corpus.build(runs, LOSSY[template], tmp_path / "corpus", shard_tokens=500).path
    as_version_3(folder, complete=True)
    assert Corpus.load(folder).num_trajectories == 40
    with caplog.at_level("WARNING", "lar"):
        Corpus.load(folder).warn_if_outdated()
    assert bool(caplog.records) is is_told
    caplog.clear()
    with caplog.at_level("WARNING", "lar"):
        Corpus.build(runs, LOSSY[template], folder, shard_tokens=500)
    assert ("an earlier version built it, which let turns begin elsewhere" in caplog.text) is is_told
    as_version_3(folder, complete=False)
    if is_told:
        with pytest.raises(CorpusError, match="an earlier version began it, which let turns begin elsewhere"):
            Corpus.build(runs, LOSSY[template], folder, shard_tokens=500)
    else:
        assert Corpus.build(runs, LOSSY[template], folder, shard_tokens=500).manifest.complete


@pytest.mark.parametrize(("template", "is_told"), [("mistral", True), ("llama3", False)])
def test_turns_that_lacked_text_of_their_prompt_are_told_and_not_mixed(tmp_path, caplog, template, is_told):
    tokenizer = tokenizer_with(without_tags(TEMPLATES[template]))
    runs = [Trajectory("r", "t", [user("a"), agent("1"), user("b"), agent("2")], tools=[TOOL])]
    folder = Corpus.build(runs, tokenizer, tmp_path / "corpus").path
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format_version": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with caplog.at_level("WARNING", "lar"):
        Corpus.load(folder).warn_if_outdated()
    assert ("put turns behind another text than that of their prompts" in caplog.text) is is_told
    (folder / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    if is_told:
        with pytest.raises(CorpusError, match="an earlier version began it, which put turns behind another"):
            Corpus.build(runs, tokenizer, folder)
    else:
        assert Corpus.build(runs, tokenizer, folder).manifest.complete


def test_what_an_earlier_version_left_out_is_told_and_not_mixed(tmp_path, caplog):
    turns = [user("a"), agent("1", reasoning_content="It is so."), user("b"), agent("2")]
    runs = [Trajectory(f"r{number}", f"t{number}", turns) for number in range(40)]
    folder = Corpus.build(runs, LOSSY["last thought"], tmp_path / "corpus", shard_tokens=500).path
    as_version_1(Corpus.load(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    loss = {
        "kind": "reasoning of earlier turns",
        "characters": 360,
        "turns": 40,
        "first": "r0",
        "first_turn": 1,
    }
    manifest["unwritten"]["losses"] = [loss]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with caplog.at_level("WARNING", "lar"):
        Corpus.build(runs, LOSSY["last thought"], folder, shard_tokens=500)
    assert "an earlier version built it" in caplog.text
    (folder / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    with pytest.raises(CorpusError, match="an earlier version began it, which left out reasoning"):
        Corpus.build(runs, LOSSY["last thought"], folder, shard_tokens=500)
