"""Scores equal those of a float64 reference for every batching; runs go on; what does not fit is refused."""

import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lar import adapt, distill
from lar.corpus import Corpus
from lar.corpus.scores import Scores, TeacherIdentity
from lar.corpus.windows import windows
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import CorpusError, OptionError, TokenizerError
from lar.mining.mine import mine
from lar.scoring import store
from lar.scoring.distribution import THRESHOLDS, EntropyDistribution, entropy_quantiles
from lar.scoring.score import batches_by_length, entropies, score
from testing import tiny, toy


@pytest.fixture
def small(tokenizer, tmp_path):
    return Corpus.build(toy.trajectories(10), tokenizer, tmp_path / "corpus", shard_tokens=500)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny.model(tokenizer.base_size)


def entropies_of(corpus):
    return np.concatenate([shard.entropy for shard in corpus.shards()])


def reference(corpus, model, max_length=None):
    """One window at a time, the plain softmax in float64."""
    rows = []
    for shard in corpus.shards():
        for begin, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
            ids = torch.from_numpy(shard.tokens[begin:end].astype(np.int64))
            action = shard.action[begin:end]
            row = np.full(len(ids), np.nan)
            for window in windows(action, max_length or len(ids)):
                positions = window.positions()
                with torch.no_grad():
                    p = model(ids[positions][None]).logits[0].double().softmax(-1)
                for place, position in enumerate(positions.tolist()):
                    if position >= window.new and action[position]:
                        before = p[place - 1]
                        row[position] = -(before * before.log()).sum()
            rows.append(row)
    return np.concatenate(rows)


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
@pytest.mark.parametrize("max_length", [None, 40])
def test_equals_the_reference_for_every_batching(small, model, batch_tokens, max_length):
    score(small, model, batch_tokens=batch_tokens, max_length=max_length)
    expected = reference(small, model, max_length)
    action = np.concatenate([shard.action for shard in small.shards()])
    found = entropies_of(small)
    assert (np.isnan(found) == ~action).all()  # each of the agent's tokens, however short the windows
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=2e-3, atol=2e-3)


def test_small_entropies_keep_their_digits():
    logits = torch.zeros(1, 50) + 40
    logits[0, 0] += 14
    exact = logits.double().softmax(-1)
    assert float(entropies(logits)) == pytest.approx(float(-(exact * exact.log()).sum()), rel=1e-3)


def test_masked_rows_have_no_part_in_the_entropy():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert float(entropies(logits)) == pytest.approx(np.log(2))


def test_every_sequence_is_in_one_batch_within_the_budget():
    lengths = np.random.default_rng(0).integers(1, 50, 40).tolist()
    batches = list(batches_by_length(lengths, 100))
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 100 for batch in batches if len(batch) > 1)


@pytest.mark.parametrize("top_k", [None, 3])
def test_a_killed_run_goes_on_where_it_stopped(small, model, monkeypatch, top_k):
    written = []
    write = store.write

    def killed(shard, scores):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(shard.path)
        write(shard, scores)

    monkeypatch.setattr(store, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        score(small, model, top_k=top_k)
    first, *others = [shard.path for shard in small.shards()]
    assert written == [first]
    assert [shard.entropy is None for shard in small.shards()] == [False] + [True] * len(others)
    rewritten = []
    monkeypatch.setattr(store, "write", lambda s, scores: (rewritten.append(s.path), write(s, scores)))
    again = score(Corpus.load(small.path), model, top_k=top_k)
    assert rewritten == others
    np.testing.assert_allclose(entropies_of(again), reference(small, model), rtol=2e-3, atol=2e-3)
    assert {shard.scores.top_k for shard in again.shards()} == {top_k}


def test_a_killed_run_of_another_teacher_leaves_no_mixture(small, model, tokenizer, monkeypatch):
    score(small, model)
    before = {shard.path: shard.scores.teacher for shard in small.shards()}

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        score(small, tiny.model(tokenizer.base_size, seed=1), overwrite=True)
    assert len(before) > 1
    assert all(shard.entropy is None for shard in small.shards())


def test_another_teacher_is_refused_unless_it_may_overwrite(small, model, tokenizer):
    score(small, model)
    other = tiny.model(tokenizer.base_size, seed=1)
    with pytest.raises(CorpusError, match="another teacher"):
        score(small, other)
    score(small, other, overwrite=True)
    np.testing.assert_allclose(entropies_of(small), reference(small, other), rtol=2e-3, atol=2e-3)
    score(small, other.to(torch.bfloat16))  # the same teacher in another precision: nothing to do
    other.float()


def test_scores_are_over_the_tokenizers_ids_alone(small, model, tokenizer):
    wide = tiny.padded(model, tokenizer.base_size + 24)
    score(small, wide)
    np.testing.assert_allclose(entropies_of(small), reference(small, model), rtol=2e-3, atol=2e-3)


def test_a_model_with_fewer_rows_than_ids_is_refused(small, tokenizer):
    with pytest.raises(TokenizerError, match="embedding rows"):
        score(small, tiny.model(tokenizer.base_size - 8))
    assert small.teacher is None


def test_quantiles_are_those_of_the_agents_tokens(small, model):
    with pytest.raises(CorpusError, match="not scored"):
        entropy_quantiles(small)
    score(small, model)
    shards = list(small.shards())
    barriers = small.tokenizer.barriers
    agents = np.concatenate([s.entropy[s.action & ~np.isin(s.tokens, barriers)] for s in shards]).astype(
        float
    )
    found = entropy_quantiles(small)
    assert found["tokens"] == len(agents)
    assert found["mean"] == pytest.approx(agents.mean())
    for share, nats in found["quantiles"].items():
        assert nats == pytest.approx(np.quantile(agents, float(share), method="inverted_cdf"))
    for threshold in THRESHOLDS:
        assert found["at_or_under"][str(threshold)] == pytest.approx((agents <= threshold).mean())


@given(
    st.lists(st.sampled_from([-0.0, 0.0, 0.0625, 0.25, 0.5, 1.0, 2.5]), min_size=1, max_size=40),
    st.integers(0, 16).map(lambda n: n / 16),
)
def test_a_distribution_is_that_of_its_values(values, share):
    bits = np.abs(np.array(values, dtype=np.float16)).view(np.uint16)
    found = EntropyDistribution(np.bincount(bits, minlength=1 << 16))
    assert found.tokens == len(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.quantile(share) == min(v for v in values if found.share_at_or_under(v) >= share)
    for nats in (0.0, 0.25, 0.3, 2.5, 9.0):
        assert found.share_at_or_under(nats) == pytest.approx(np.mean(np.array(values) <= nats))


def test_progress_counts_the_tokens_of_the_corpus_also_of_what_is_scored_already(small, model):
    for removed in (None, "part-00001.arrow", "part-00000.arrow"):
        seen = []
        score(small, model, batch_tokens=300, progress=lambda *step, seen=seen: seen.append(step))
        assert seen == sorted(seen)
        assert {total for _, total in seen} == {small.num_tokens}
        assert seen[0][0] < seen[-1][0] == small.num_tokens
        if removed:
            (small.path / "teacher" / removed).unlink()


def test_a_model_of_another_tokenizer_is_refused(small, model, tmp_path):
    """Its rows would be enough: without the check it would be scored on ids that mean something else."""
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    toy.tokenizer(size=350).save(folder)
    for run in (score, adapt, bits_per_byte):
        with pytest.raises(TokenizerError, match=r"another than the corpus's .* lies in .*tokenizer$"):
            run(small, folder)
    with pytest.raises(TokenizerError, match=r"another than the corpus's .* lies in .*tokenizer$"):
        distill(small, folder, None, control=True)
    assert small.teacher is None


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is held there")
def test_two_runs_do_not_write_to_one_corpus(small, model, tokenizer, monkeypatch):
    """The second would remove what the first is writing, and the record would name one of two teachers."""
    write, tried = store.write, []

    def write_and_score(shard, scores):
        for other in (model, tiny.model(tokenizer.base_size, seed=1)):
            with pytest.raises(OptionError, match="corpus: another process is writing to it"):
                score(small, other, overwrite=True)
            tried.append(other)
        write(shard, scores)

    monkeypatch.setattr(store, "write", write_and_score)
    score(small, model)
    assert tried
    np.testing.assert_allclose(entropies_of(small), reference(small, model), rtol=2e-3, atol=2e-3)


def test_scores_of_another_teacher_than_the_recorded_one_are_not_read(small, model):
    score(small, model)
    shard = next(small.shards())
    store.write(shard, Scores(TeacherIdentity("another", None), shard.scores.entropy, None))
    for read in (entropies_of, entropy_quantiles, lambda corpus: mine(corpus, size=4, max_entropy=1.0)):
        with pytest.raises(CorpusError, match=r"part-00000\.arrow: the scores of another teacher than"):
            read(small)
    score(small, model)  # computes them
    np.testing.assert_allclose(entropies_of(small), reference(small, model), rtol=2e-3, atol=2e-3)


def test_the_record_has_the_dtype_of_the_scores(small, tokenizer):
    wide, narrow = tiny.model(tokenizer.base_size), tiny.model(tokenizer.base_size).to(torch.bfloat16)
    score(small, wide)
    score(small, narrow)
    assert small.teacher.dtype == "float32"
    (small.path / "teacher/part-00001.arrow").unlink()
    with pytest.raises(CorpusError, match="scored in part, in float32, and this run computes in bfloat16"):
        score(small, narrow)
    score(small, wide)
    assert small.teacher.dtype == "float32"
    (small.path / "teacher/part-00001.arrow").unlink()
    score(small, narrow, overwrite=True)
    assert small.teacher.dtype == "bfloat16"
    assert all(shard.entropy is not None for shard in small.shards())


@pytest.mark.parametrize("max_length", [1, 3, 7])
def test_windows_that_are_too_short_are_refused(small, model, max_length):
    for run in (score, bits_per_byte):
        with pytest.raises(OptionError, match="max_length must be at least 8"):
            run(small, model, max_length=max_length)


def test_a_window_longer_than_the_models_context_is_refused(small, model, monkeypatch):
    """Beyond its context a model's entropies mean nothing; without `max_length`, windows end there."""
    longest = max(int(np.diff(shard.offsets).max()) for shard in small.shards())
    monkeypatch.setattr(model.config, "max_position_embeddings", longest // 2)
    with pytest.raises(OptionError, match=rf"the model's context is {longest // 2} .*: lower max_length"):
        score(small, model, max_length=longest)
    score(small, model)
    assert small.teacher.max_length == longest // 2
    assert all(shard.entropy is not None for shard in small.shards())


@pytest.mark.parametrize("name", ["batch_tokens", "top_k"])
@pytest.mark.parametrize("number", [0, -1])
def test_numbers_under_1_are_refused(small, model, name, number):
    with pytest.raises(OptionError, match=f"{name} must be at least 1, not {number}"):
        score(small, model, **{name: number})
    assert small.teacher is None


def test_conversations_of_a_few_tokens_have_their_own_entropies(tokenizer, model, monkeypatch):
    """Without a bound on the windows, each is read whole: one with its only action at the end, too."""
    monkeypatch.setattr("lar.scoring.score.context_length", lambda _: None)
    masks = [[0, 1], [0, 0, 1], [1, 1, 1], [0] * 20 + [1, 1], [1]]
    tokens = [list(range(5, 5 + len(mask))) for mask in masks]
    table = pa.table({"tokens": tokens, "action": masks, "task": [str(n) for n in range(len(masks))]})
    corpus = score(Corpus.from_arrow(table, tokenizer), model)
    assert corpus.teacher.max_length is None
    expected = []
    for row, mask in zip(tokens, masks, strict=True):
        with torch.no_grad():
            p = model(torch.tensor([row])).logits[0].double().softmax(-1)
        of_next = -(p * p.log()).sum(-1).numpy()
        expected += [of_next[at - 1] if mask[at] and at else np.nan for at in range(len(row))]
    np.testing.assert_allclose(entropies_of(corpus), expected, rtol=2e-3, atol=2e-3)
