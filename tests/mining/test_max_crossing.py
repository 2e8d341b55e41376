"""How often a latent may cross the entropy gate in the agent's text, against a count by brute force."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lar
from lar.errors import OptionError
from lar.mining.mine import mine
from lar.mining.no_latents import why_none
from lar.mining.one_machine import OneMachine
from testing import toy
from testing.scores import score_with

GATE = 1.0


def surprised(shard, *, share, seed):
    """Entropies, above the gate before about the `share` of a shard's tokens: float64 (n)."""
    return 2.0 * (np.random.default_rng(seed).random(len(shard.tokens)) < share)


def crossings(corpus, latent):
    """How often the agent writes a latent's tokens, and how often across the gate."""
    written = crossing = 0
    width = len(latent.tokens)
    for shard in corpus.shards():
        for start, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
            for at in range(start, end - width + 1):
                place = slice(at, at + width)
                if tuple(shard.tokens[place].tolist()) == latent.tokens and shard.action[place].all():
                    written += 1
                    crossing += bool((shard.entropy[place][1:] > GATE).any())
    return written, crossing


@pytest.fixture(scope="module")
def scored(tokenizer, tmp_path_factory):
    corpus = lar.Corpus.build(toy.trajectories(12), tokenizer, tmp_path_factory.mktemp("crossing") / "corpus")
    return partial(score_with, corpus)


@settings(max_examples=10, deadline=None)
@given(
    share=st.floats(0.0, 0.4),
    most=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 9),
    weight=st.sampled_from([0.0, 1.0]),
)
def test_no_latent_crosses_the_gate_more_often_than_it_may(scored, share, most, seed, weight):
    corpus = scored(partial(surprised, share=share, seed=seed))
    found = mine(corpus, size=40, max_entropy=GATE, max_crossing=most, prompt_weight=weight, gates="none")
    for latent in found:
        written, crossing = crossings(corpus, latent)
        assert crossing <= most * written
    if most == 1.0:
        assert found.mining["candidates_gated"] == 0


def test_a_segment_that_crosses_the_gate_in_most_places_is_none_even_if_it_recurs_within(scored):
    """Without the bound it is mined, for it recurs in the places where the teacher is certain."""
    corpus = scored(partial(surprised, share=0.3, seed=0))
    free = mine(corpus, size=40, max_entropy=GATE, max_crossing=1.0, gates="none")
    kept = mine(corpus, size=40, max_entropy=GATE, gates="none")
    default = kept.mining["max_crossing"]

    def leaks(latent):
        written, crossing = crossings(corpus, latent)
        return crossing > default * written

    assert any(map(leaks, free))
    assert kept.size
    assert not any(map(leaks, kept))


def test_an_update_retires_latents_that_cross_the_gate_too_often(scored):
    corpus = scored(partial(surprised, share=0.3, seed=0))
    before = mine(corpus, size=40, max_entropy=GATE, max_crossing=1.0, gates="none")
    after = mine(corpus, update=before, max_crossing=0.05)
    for latent in after:
        written, crossing = crossings(corpus, latent)
        assert crossing <= 0.05 * written
    assert {latent.tokens for latent in before} & {latent.tokens for latent in after}


def test_ngram_entropies_gate_alike(tokenizer, tmp_path):
    corpus = lar.Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus")
    found = mine(corpus, size=40, max_entropy="p60", max_crossing=0.1, gates="none")
    runs = OneMachine().fold(corpus, None)
    tokens, offsets, counts, *_ = runs.to_arrays()
    above = runs.ngram_entropies() > found.mining["max_entropy_nats"]
    assert found.size
    for latent in found:
        width, written, crossing = len(latent.tokens), 0, 0
        for start, end, count in zip(offsets[:-1], offsets[1:], counts.tolist(), strict=True):
            for at in range(start, end - width + 1):
                if tuple(tokens[at : at + width].tolist()) == latent.tokens:
                    written += count
                    crossing += count * bool(above[at + 1 : at + width].any())
        assert written > 0
        assert crossing <= 0.1 * written


def test_without_a_gate_nothing_crosses(scored):
    corpus = scored(partial(surprised, share=0.5, seed=0))
    strict, default = (mine(corpus, size=40, max_crossing=most) for most in (0.0, 0.05))
    assert strict.latents == default.latents


def test_where_every_segment_crosses_the_gate_the_reason_says_so(scored):
    corpus = scored(partial(surprised, share=0.9, seed=0))
    found = mine(corpus, size=40, max_entropy=GATE, max_crossing=0.0, gates="none")
    assert found.size == 0
    assert "(--max-crossing); give a higher gate" in why_none(found.mining)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), "5%"])
def test_a_share_out_of_range_is_refused(corpus, wrong):
    with pytest.raises(OptionError, match="max_crossing"):
        mine(corpus, max_crossing=wrong)
