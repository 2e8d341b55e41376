"""Scores lie beside the shards, file by file, and are read as arrays over the shards' tokens."""

import numpy as np
import pyarrow as pa

from lar.corpus import Corpus
from lar.corpus.scores import LikelyTokens, Scores, TeacherIdentity, TeacherRecord, read_scores, write_scores
from lar.scoring import store
from testing.corpora import build, contents
from testing.scores import TEACHER, score_with


def test_scores_are_written_part_by_part(tmp_path):
    corpus = build(tmp_path)
    shards = list(corpus.shards())
    random = np.random.default_rng(0)
    entropies = [random.random(int(shard.action.sum())).astype(np.float16) for shard in shards]
    assert corpus.teacher is None
    store.claim(corpus, TEACHER, overwrite=False)
    for number, (shard, entropy) in enumerate(zip(shards, entropies, strict=True)):
        assert [s.entropy is not None for s in corpus.shards()] == [i < number for i in range(len(shards))]
        store.write(shard, Scores(TEACHER.identity, entropy, None))
    again = Corpus.load(corpus.path)
    assert again.teacher == TEACHER
    assert again == corpus
    for shard, before, entropy in zip(again.shards(), shards, entropies, strict=True):
        assert shard.entropy.dtype == np.float16
        np.testing.assert_array_equal(shard.entropy[shard.action], entropy)
        assert np.isnan(shard.entropy[~shard.action]).all()
        np.testing.assert_array_equal(shard.tokens, before.tokens)
        assert shard.ids == before.ids
    # A build of the same input still finds its corpus, with its scores.
    assert build(tmp_path).teacher == TEACHER
    store.clear(again)
    assert again.teacher is None
    assert contents(again.path) == contents(build(tmp_path, "fresh").path)


def test_a_selection_has_the_entropies_of_its_tokens(tmp_path):
    corpus = score_with(build(tmp_path), lambda shard: shard.tokens % 7)
    view = corpus.select(lambda task: task == "task1")
    for shard in view.shards():
        np.testing.assert_array_equal(shard.entropy[shard.action], (shard.tokens % 7)[shard.action])
        assert np.isnan(shard.entropy[~shard.action]).all()


def test_what_was_written_comes_back_as_views_of_the_mapped_file(tmp_path):
    random = np.random.default_rng(0)
    likely = LikelyTokens(
        random.integers(0, 99, (5, 3)).astype(np.uint32),
        random.normal(size=(5, 3)).astype(np.float16),
        random.random(5).astype(np.float32),
    )
    scores = Scores(TeacherIdentity("a", 64), random.random(5).astype(np.float16), likely)
    for written in (scores, Scores(scores.teacher, scores.entropy, None)):
        write_scores(tmp_path / "part-00000.arrow", "digest", written)
        found = read_scores(tmp_path / "part-00000.arrow", "digest", 5)
        assert (found.teacher, found.top_k) == (written.teacher, written.top_k)
        for array, expected in zip(
            (found.entropy, *(found.likely or ())), (written.entropy, *(written.likely or ())), strict=True
        ):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype
            assert not array.flags.owndata
            assert not array.flags.writeable


def test_files_of_scores_are_plain_arrow(tmp_path):
    corpus = score_with(build(tmp_path), lambda shard: shard.tokens)
    with pa.memory_map(str(corpus.path / "teacher/part-00000.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names == ["entropy"]
    assert table.schema.field("entropy").type == pa.float16()
    assert len(table) == int(next(corpus.shards()).action.sum())


def test_a_record_comes_back(tmp_path):
    assert TeacherRecord.read(tmp_path) is None
    for record in (TEACHER, TeacherRecord("a", 512, "b", "bfloat16", 64)):
        record.write(tmp_path)
        assert TeacherRecord.read(tmp_path) == record
