"""A cached teacher: it says what the teacher says, to whom it belongs, and nothing to others."""

import numpy as np
import pytest
import torch

from lar import distill
from lar.corpus import Corpus
from lar.corpus.shards import read_shard
from lar.distillation import DistillOptions
from lar.distillation.data import Examples
from lar.errors import CorpusError
from lar.scoring.score import score
from lar.scoring.teacher_cache import CachedTeacher, CacheIdentity, TopTokens, cache_file, write_top_tokens
from testing import tiny

FEW = {"lora_rank": 4, "lora_alpha": 8, "device": "cpu", "logging_steps": 1, "max_steps": 3}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def model(corpus):
    return tiny.teacher(corpus)


@pytest.fixture
def scored(corpus, model, tmp_path):
    return score(tiny.copy(corpus, tmp_path / "corpus"), model, max_length=64, top_k=16)


def identity(corpus):
    return CacheIdentity(corpus.manifest.teacher["fingerprint"], corpus.manifest.teacher["max_length"])


def test_holds_the_likeliest_tokens_before_each_of_the_agents(corpus, model, tmp_path):
    whole = score(tiny.copy(corpus, tmp_path / "corpus"), model, top_k=16)
    teacher = CachedTeacher(identity(whole))
    shard = next(whole.shards())
    begin, end = shard.offsets[:2].tolist()
    positions = begin + np.flatnonzero(shard.action[begin:end])
    top = teacher.top(shard, positions)
    with torch.no_grad():
        ids = torch.from_numpy(shard.tokens[begin:end].astype(np.int64))
        p = model(ids[None]).logits[0, positions - begin - 1].double().softmax(-1)
    expected, tokens = p.topk(16, dim=-1)
    assert (top.ids == tokens.numpy()).mean() > 0.99  # but for ties
    np.testing.assert_allclose(top.probabilities, expected, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(top.tail, 1 - expected.sum(-1), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(top.probabilities.sum(-1) + top.tail, 1, rtol=1e-6)


def test_a_cache_of_all_tokens_trains_the_student_that_the_teacher_trains(
    corpus, vocabulary, model, tmp_path
):
    model.save_pretrained(tmp_path / "model")
    whole = score(
        tiny.copy(corpus, tmp_path / "corpus"), tmp_path / "model", max_length=256, top_k=vocabulary.base_size
    )
    runs = [
        distill(
            whole,
            tmp_path / "model",
            vocabulary,
            DistillOptions(**FEW, max_length=256, cached_teacher=cached, output_start="first"),
        )
        for cached in (False, True)
    ]
    losses = [[line["loss"] for line in run.record["log"] if "loss" in line] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_selection_reads_the_rows_of_its_own(scored, vocabulary):
    """Its examples get what the whole corpus's examples of the same text get."""
    teacher = CachedTeacher(identity(scored))
    train, _ = scored.split(0.5)
    whole = {e.tokens.tobytes(): e.top for e in Examples(scored, vocabulary, 64, teacher)}
    for example in Examples(train, vocabulary, 64, teacher):
        assert (example.top.ids == whole[example.tokens.tobytes()].ids).all()


def test_a_corpus_scored_anew_in_the_same_folder_is_read_anew(scored):
    """One object that read the cache of a shard does not answer for the shard that took its place."""
    teacher = CachedTeacher(identity(scored))
    first = next(scored.shards())
    positions = np.flatnonzero(first.action)
    top = teacher.top(first, positions)
    flipped = TopTokens(np.flip(top.ids, 1), np.flip(top.probabilities, 1), top.tail)
    write_top_tokens(first, identity(scored), flipped)
    assert (teacher.top(next(scored.shards()), positions).ids == flipped.ids).all()


def test_another_teachers_cache_is_refused(scored, vocabulary):
    options = DistillOptions(**FEW, max_length=64, cached_teacher=True)
    with pytest.raises(CorpusError, match="another model"):
        distill(scored, tiny.model(vocabulary.base_size, seed=5), vocabulary, options)


def test_other_windows_are_refused(scored, model, vocabulary):
    with pytest.raises(CorpusError, match="same max_length"):
        distill(scored, model, vocabulary, DistillOptions(**FEW, max_length=128, cached_teacher=True))


def test_another_corpus_cache_and_broken_ones_are_refused(scored, corpus):
    shard = read_shard(scored.path / "part-00000.arrow")
    file = cache_file(shard)
    with pytest.raises(CorpusError, match="no teacher"):
        CachedTeacher(identity(scored)).size(read_shard(corpus.path / "part-00000.arrow"))
    content = file.read_bytes()
    for broken in (b"", content[:100], content[: len(content) // 2]):
        file.write_bytes(broken)
        with pytest.raises(CorpusError, match="broken teacher cache"):
            CachedTeacher(identity(scored)).size(shard)
    file.write_bytes(content)
    other = Corpus.load(scored.path)
    tokens = other.path / "part-00000.arrow"
    shard = read_shard(tokens)
    changed = shard.take(np.arange(len(shard.ids)) > 0)
    with pytest.raises(CorpusError, match="another corpus"):
        CachedTeacher(identity(scored)).size(changed)


def test_scoring_again_adds_what_is_missing_and_another_teacher_clears_it(scored, model, vocabulary):
    file = cache_file(next(scored.shards()))
    file.unlink()
    score(scored, model, max_length=64, top_k=16)
    assert file.exists()
    score(scored, tiny.model(vocabulary.base_size, seed=7), max_length=64, overwrite=True)
    assert not file.exists()
