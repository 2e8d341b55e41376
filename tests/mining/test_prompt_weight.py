"""Mining with a weight for what the agent only reads, against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lar
from lar.errors import OptionError
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.mining.options import MiningOptions
from lar.mining.served_saving import Audit
from lar.mining.token_weights import FINEST, TokenWeights
from testing import toy
from testing.scores import score_with


@pytest.fixture(scope="module")
def weighted(corpus):
    return mine(corpus, size=40, prompt_weight=0.5, gates="none")


def windows(corpus, latent, written):
    """The task of each place at which a latent's tokens lie in text by the agent, or in text by others."""
    shard = next(corpus.shards())
    width = len(latent.tokens)
    view = np.lib.stride_tricks.sliding_window_view
    of_kind = view(shard.action == written, width).all(axis=1)
    found = np.flatnonzero((view(shard.tokens, width) == np.array(latent.tokens)).all(axis=1) & of_kind)
    rows = np.searchsorted(shard.offsets, found, side="right") - 1
    inside = found + width <= shard.offsets[rows + 1]
    return [shard.tasks[row] for row in rows[inside]]


def test_counts_and_supports_are_those_of_both_texts(corpus, weighted):
    for latent in weighted:
        places = windows(corpus, latent, True) + windows(corpus, latent, False)
        assert latent.count == len(places)
        assert latent.support == len(set(places))


def test_an_occurrence_in_a_prompt_counts_so_much_for_the_fewest_occurrences(corpus, weighted):
    def number(latent):
        return len(windows(corpus, latent, True)) + 0.5 * len(windows(corpus, latent, False))

    assert min(map(number, weighted)) < 50
    found = mine(corpus, size=40, prompt_weight=0.5, gates="none", min_count=50)
    assert found.size
    assert min(map(number, found)) >= 50


def test_uses_are_those_of_the_parse_of_each_text(corpus, weighted):
    barriers = corpus.tokenizer.barriers
    shard = next(corpus.shards())
    for written, name in ((True, "uses"), (False, "prompt_uses")):
        folder = lar._core.RunFolder(barriers)
        tasks = np.zeros(len(shard.tasks), np.uint32)
        folder.add(shard.tokens, shard.offsets, shard.action == written, tasks)
        tokens, offsets, counts, *_ = folder.finish().to_arrays()
        expected = np.zeros(weighted.size, np.int64)
        for run, count in enumerate(counts.tolist()):
            units = weighted.encode(tokens[offsets[run] : offsets[run + 1]])
            latents = units[units >= weighted.base_size] - weighted.base_size
            expected += count * np.bincount(latents, minlength=weighted.size)
        assert [getattr(latent, name) for latent in weighted] == expected.tolist()
    assert any(latent.uses for latent in weighted)
    assert any(latent.prompt_uses and not latent.uses for latent in weighted)


@pytest.mark.parametrize("weight", [0.1, 0.5, 3])
def test_the_audit_weighs_what_it_counts(corpus, weight):
    vocabulary = mine(corpus, size=40, prompt_weight=weight)
    weights = TokenWeights.of(weight)
    parts = (weights.generated, False), (weights.prompt, True)
    runs = [(OneMachine().fold(corpus, None, prompt=prompt), weight) for weight, prompt in parts]
    found = Audit(lar._core.Runs.weighted(runs), corpus.tokenizer).count(vocabulary.segments)
    result = lar.evaluate(corpus, vocabulary).total
    generated = result.base_tokens - result.units
    prompt = result.prompt_base_tokens - result.prompt_units
    assert found.saved.sum() == weights.generated * generated + weights.prompt * prompt
    promised = [
        weights.generated * latent.saving + weights.prompt * latent.prompt_saving for latent in vocabulary
    ]
    assert (found.saved >= 0.5 * np.array(promised)).all()


def test_the_more_a_prompt_token_weighs_the_more_of_the_prompt_is_saved(corpus):
    totals = [
        lar.evaluate(corpus, mine(corpus, size=12, prompt_weight=weight)).total for weight in (0, 0.1, 1)
    ]
    prompts = [total.prompt_reduction for total in totals]
    generated = [total.reduction for total in totals]
    assert prompts[0] <= prompts[1] <= prompts[2] > prompts[0]
    assert generated[0] > generated[2]


def test_without_a_weight_nothing_of_a_prompt_is_mined(corpus, vocabulary):
    assert vocabulary == mine(corpus, size=12, prompt_weight=0.0)
    assert all(latent.prompt_uses == 0 for latent in vocabulary)


def test_the_gate_holds_for_what_the_agent_writes(tokenizer, tmp_path):
    """A teacher that is surprised by every token: only segments that the agent never writes are left."""
    corpus = lar.Corpus.build(toy.trajectories(30), tokenizer, tmp_path / "corpus")
    surprised = score_with(corpus, lambda shard: np.full(len(shard.tokens), 2.0))
    found = mine(surprised, size=40, max_entropy=1.0, prompt_weight=1.0, gates="none")
    assert found.size > 5
    assert found.mining["candidates_gated"] > 0
    assert not any(windows(corpus, latent, True) for latent in found)


def test_shards_and_backends_give_the_same(corpus, tokenizer, tmp_path):
    sharded = lar.Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus", shard_tokens=500)
    whole, parts, spilled = (
        mine(one, size=30, prompt_weight=0.2, backend=backend)
        for one, backend in ((corpus, None), (sharded, None), (sharded, OneMachine(1)))
    )
    assert whole == parts == spilled


@given(st.floats(1 / FINEST, FINEST))
def test_weights_are_the_nearest_whole_numbers(weight):
    weights = TokenWeights.of(weight)
    assert abs(weights.prompt / weights.generated - weight) <= 0.5 / FINEST
    assert np.gcd(weights.prompt, weights.generated) == 1


@pytest.mark.parametrize("weight", [-0.1, 0.0001, 1001, float("nan"), float("inf")])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(OptionError, match=r"prompt_weight must be (0, or from|a finite)"):
        MiningOptions(prompt_weight=weight)
