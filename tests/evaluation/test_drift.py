"""Drift: which latents fresh logs no longer use, and that chance is not reported."""

import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lar import cli
from lar.corpus import Corpus
from lar.evaluation.drift import SURPRISING, unused_latents
from lar.evaluation.reduction import evaluate
from lar.mining.mine import mine
from lar.trajectories import write_trajectories
from testing import toy

OPENING = "I will look up the weather in "


def changed(number, first=1000):
    """Runs of an agent that no longer announces what it looks up."""
    runs = toy.trajectories(number, first)
    for run in runs:
        opening = run.messages[1]
        opening["content"] = opening["content"].replace(OPENING, "Checking ")
    return runs


@pytest.fixture(scope="module")
def fresh(tokenizer):
    return Corpus.build(changed(40), tokenizer)


def uses(corpus, vocabulary, *, prompts=False):
    """How often the agent's text, or all text, uses each latent."""
    found = Counter()
    for shard in corpus.shards():
        form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
        found.update(form.units[form.action | prompts].tolist())
    return [found[latent.id] for latent in vocabulary]


def test_latents_of_a_text_that_is_no_longer_written_have_drifted(fresh, vocabulary):
    result = evaluate(fresh, vocabulary)
    found = uses(fresh, vocabulary)
    expected = {
        latent: latent.uses * fresh.num_action_tokens / vocabulary.mining["action_tokens"]
        for latent, count in zip(vocabulary, found, strict=True)
        if not count and latent.uses
    }
    assert {one.latent: one.expected_uses for one in result.unused} == pytest.approx(expected)
    assert result.latents_used == sum(count > 0 for count in found)
    assert result.drift
    for one in result.drift:
        assert one.expected_uses >= SURPRISING
        assert any(piece in one.latent.text for piece in ("look", "weather", "will"))
    savings = [one.expected_saving for one in result.unused]
    assert savings == sorted(savings, reverse=True)


def test_the_result_lists_unused_latents_and_the_reduction_in_mining(fresh, corpus, vocabulary):
    found = evaluate(fresh, vocabulary).to_dict()
    mined = evaluate(corpus, vocabulary)
    assert found["mined_reduction"] == round(mined.total.reduction, 6) > found["reduction"]
    first = found["unused"][0]
    assert first["drifted"]
    assert first["text"] == vocabulary.latents[first["id"] - vocabulary.base_size].text
    length = len(vocabulary.latents[first["id"] - vocabulary.base_size])
    assert first["expected_saving"] == pytest.approx(first["expected_uses"] * (length - 1), abs=0.01 * length)


@pytest.mark.parametrize("number", [1, 3, 40])
def test_more_logs_of_the_same_kind_report_no_drift(tokenizer, vocabulary, number):
    assert evaluate(Corpus.build(toy.trajectories(number, first=500), tokenizer), vocabulary).drift == []


def test_few_logs_are_too_few_for_drift(tokenizer, vocabulary):
    result = evaluate(Corpus.build(changed(2), tokenizer), vocabulary)
    assert result.unused
    assert result.drift == []


def test_mined_tasks_report_no_unused_latents(corpus, vocabulary):
    part = corpus.select(lambda task: task in sorted(corpus.tasks)[:2])
    result = evaluate(part, vocabulary)
    assert result.in_sample
    assert result.latents_used < vocabulary.size
    assert result.unused == []


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_uses_in_prompts_count_where_prompts_had_a_weight(corpus, tokenizer, weight):
    vocabulary = mine(corpus, size=40, prompt_weight=weight, gates="none")
    runs = toy.trajectories(40, first=1000)
    for run in runs:
        run.messages[0]["content"] = run.messages[-1]["content"] = "Now!"
    fresh = Corpus.build(runs, tokenizer)
    result = evaluate(fresh, vocabulary)
    tokens = vocabulary.mining["action_tokens"] + (weight > 0) * vocabulary.mining["prompt_tokens"]
    measured = fresh.num_tokens if weight else fresh.num_action_tokens
    found = uses(fresh, vocabulary, prompts=weight > 0)
    expected = {
        latent: (latent.uses + latent.prompt_uses) * measured / tokens
        for latent, count in zip(vocabulary, found, strict=True)
        if not count and latent.uses + latent.prompt_uses
    }
    assert {one.latent: one.expected_uses for one in result.unused} == pytest.approx(expected)
    assert any("Anything else?" in one.latent.text for one in result.drift)
    asked = [one for one in result.drift if "How warm" in one.latent.text]
    assert bool(asked) == (weight > 0)
    used = sum(count > 0 for count in uses(fresh, vocabulary))
    assert result.latents_used == used


def test_latents_of_few_mined_tasks_have_not_drifted_however_often_these_used_them(fresh, vocabulary):
    rare = replace(vocabulary, latents=tuple(replace(latent, support=2) for latent in vocabulary.latents))
    result = evaluate(fresh, rare)
    assert result.unused == [
        replace(one, latent=replace(one.latent, support=2), drifted=False)
        for one in evaluate(fresh, vocabulary).unused
    ]


@pytest.mark.parametrize("mining", [{}, {"action_tokens": 0, "tasks": 3}, {"action_tokens": "many"}])
def test_without_a_record_of_mining_there_is_no_drift(fresh, vocabulary, mining):
    result = evaluate(fresh, replace(vocabulary, mining=mining))
    assert (result.unused, result.mined_reduction) == ([], None)


@pytest.mark.parametrize("cluster", [1, 30])
def test_chance_rarely_looks_like_drift(vocabulary, cluster):
    """Of latents that tasks use by chance, `cluster` times each, less than 1% are reported."""
    draw = np.random.default_rng(0)
    mined, measured, tokens = 100, 80, 1000
    template = replace(vocabulary.latents[0], id=0)
    reported = 0
    for share in np.linspace(0.005, 0.3, 2000):
        support, again = draw.binomial(mined, share), draw.binomial(measured, share)
        latent = replace(template, support=int(support), uses=int(cluster * support))
        one = _OneLatent(latent, {"action_tokens": mined * tokens, "tasks": mined})
        found = unused_latents(one, np.array([again > 0]), measured * tokens, measured)
        reported += sum(unused.drifted for unused in found)
    assert reported < 20


class _OneLatent:
    """A vocabulary of one latent, as far as `unused_latents` reads it."""

    def __init__(self, latent, mining):
        self.latent, self.mining = latent, mining

    def __iter__(self):
        return iter([self.latent])


def test_the_command_names_drifted_latents(vocabulary, tmp_path, monkeypatch, capsys):
    vocabulary.save(tmp_path / "vocabulary")
    write_trajectories(changed(40), tmp_path / "fresh.jsonl")
    monkeypatch.setattr(
        sys, "argv", ["lar", "evaluate", str(tmp_path / "fresh.jsonl"), str(tmp_path / "vocabulary")]
    )
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert "it was" in lines[-2]
    assert lines[-1].startswith("latents no longer used: ")
    assert lines[-1].endswith("(lar mine --update renews them)")
    assert "weather" in lines[-1]
