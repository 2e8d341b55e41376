"""Drift: which latents fresh logs no longer use, and that chance is not reported."""

import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar import cli
from lar.corpus import Corpus
from lar.evaluation.drift import FALSE_ALARM, chance_of_absence, mined_reduction, unused_latents
from lar.evaluation.reduction import evaluate
from lar.mining.mine import mine
from lar.trajectories import write_trajectories
from lar.vocabulary import Latent, LatentVocabulary
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


def occurs(corpus, latent):
    """Whether the segment is anywhere in the agent's tokens."""
    width = len(latent)
    return any(
        row.action[at : at + width].all() and tuple(row.tokens[at : at + width]) == latent.tokens
        for row in corpus
        for at in range(len(row) - width + 1)
    )


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
        assert chance_of_absence(one.latent.support, 60, 40) <= FALSE_ALARM / vocabulary.size
        assert not occurs(fresh, one.latent)
        assert any(piece in one.latent.text for piece in ("look", "weather", "will"))
    savings = [one.expected_saving for one in result.unused]
    assert savings == sorted(savings, reverse=True)


def test_the_reduction_in_mining_is_that_of_the_token_parse(corpus):
    vocabulary = mine(corpus, size=12, gates="none")
    units = 0
    for row in corpus:
        borders = np.flatnonzero(np.diff(row.action)) + 1
        turns = np.split(row.tokens, borders)[not row.action[0] :: 2]
        units += sum(len(vocabulary.encode(turn)) for turn in turns)
    assert mined_reduction(vocabulary) == pytest.approx(1 - units / corpus.num_action_tokens)


def test_the_result_lists_unused_latents_and_the_reduction_in_mining(fresh, corpus, vocabulary):
    found = evaluate(fresh, vocabulary).to_dict()
    mined = evaluate(corpus, vocabulary)
    assert found["mined_reduction"] == round(mined.total.reduction, 6) > found["reduction"]
    first = next(one for one in found["unused"] if one["drifted"])
    assert first["text"] == vocabulary.latents[first["id"] - vocabulary.base_size].text
    length = len(vocabulary.latents[first["id"] - vocabulary.base_size])
    assert first["expected_saving"] == pytest.approx(first["expected_uses"] * (length - 1), abs=0.01 * length)


@pytest.mark.parametrize("number", [1, 3, 40])
def test_more_logs_of_the_same_kind_report_no_drift(tokenizer, vocabulary, number):
    assert evaluate(Corpus.build(toy.trajectories(number, first=500), tokenizer), vocabulary).drift == []


def test_few_logs_are_too_few_for_drift(tokenizer, vocabulary):
    """One run without what all sixty had is chance one time in 61, and twelve latents are tested."""
    result = evaluate(Corpus.build(changed(1), tokenizer), vocabulary)
    assert result.unused
    assert result.drift == []


@pytest.mark.parametrize("spoken", [0, 1])
def test_tasks_in_which_the_agent_writes_nothing_show_no_drift(tokenizer, vocabulary, caplog, spoken):
    """However many they are: one run without what all sixty had is chance one time in 61."""
    runs = toy.trajectories(60, first=500)
    silent = [replace(run, messages=run.messages[:1]) for run in runs[spoken:]]
    found = [one.messages[1:2] for one in runs[:spoken]]  # what it looks up, and no answer
    opened = [replace(run, messages=[run.messages[0], *turn]) for run, turn in zip(runs, found, strict=False)]
    result = evaluate(Corpus.build([*opened, *silent], tokenizer), vocabulary)
    assert any("temperature" in one.latent.text for one in result.unused)
    assert result.drift == []
    assert ("hold no text of an agent" in caplog.text) is (spoken == 0)
    assert "far below" not in caplog.text


def test_mined_tasks_report_no_unused_latents(corpus, vocabulary):
    part = corpus.select(lambda task: task in sorted(corpus.tasks)[:2])
    result = evaluate(part, vocabulary)
    assert result.in_sample
    assert result.latents_used < vocabulary.size
    assert result.unused == []


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_uses_in_prompts_count_where_prompts_had_a_weight(corpus, tokenizer, weight):
    vocabulary = mine(corpus, size=40, prompt_weight=weight, gates="none")
    runs = toy.trajectories(200, first=1000)
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


def test_without_a_record_of_mining_the_log_says_that_drift_is_unknown(fresh, vocabulary, caplog):
    evaluate(fresh, vocabulary)
    assert "drift is unknown" not in caplog.text
    evaluate(fresh, replace(vocabulary, mining={}))
    assert caplog.text.count("drift is unknown") == 1


def test_a_latent_that_another_one_covers_has_not_drifted(tokenizer, vocabulary):
    """Its text is written as before, in each task; so it counts as no change of the agent."""
    longest = max(vocabulary, key=lambda one: (one.support, len(one)))
    base = vocabulary.base_size
    part = replace(longest, tokens=longest.tokens[:-1], text=tokenizer.decode(list(longest.tokens[:-1])))
    latents = [replace(one, id=base + rank) for rank, one in enumerate((*vocabulary, part))]
    nested = LatentVocabulary(tuple(latents), tokenizer, vocabulary.mining, vocabulary.mined_tasks)
    result = evaluate(Corpus.build(toy.trajectories(40, first=500), tokenizer), nested)
    assert [one.latent.id for one in result.unused if one.latent.support > 30] == [latents[-1].id]
    assert result.drift == []


@given(mined=st.integers(1, 5), measured=st.integers(1, 5), data=st.data())
def test_the_chance_of_absence_is_the_share_of_draws_without_a_measured_task(mined, measured, data):
    support = data.draw(st.integers(0, mined))
    draws = list(combinations(range(mined + measured), support))
    absent = sum(all(task < mined for task in draw) for draw in draws)
    assert chance_of_absence(support, mined, measured) == pytest.approx(absent / len(draws))


@pytest.mark.parametrize(("mined", "measured"), [(50, 7), (100, 25), (60, 200)])
@pytest.mark.parametrize("cluster", [1, 30])
def test_chance_rarely_looks_like_drift(mined, measured, cluster):
    """At most 1% of the splits of one population name a latent, though the latents are chosen by their uses.

    Each of 2,000 segments is in a random share of the tasks, `cluster` times in each; the 64 that the mined
    tasks have most often are the latents.
    """
    draw = np.random.default_rng(0)
    splits, alarms = 100, 0
    for _ in range(splits):
        shares = np.exp(draw.uniform(np.log(0.02), np.log(0.6), 2000))
        supports, again = draw.binomial(mined, shares), draw.binomial(measured, shares)
        uses = supports * draw.integers(1, cluster + 1, 2000)
        chosen = np.argsort(-uses)[:64]
        alarms += bool(drifted(supports[chosen], uses[chosen], again[chosen] > 0, mined, measured))
    assert alarms <= FALSE_ALARM * splits


@pytest.mark.parametrize(("mined", "measured", "share"), [(100, 25, 0.5), (200, 40, 0.3), (40, 10, 0.9)])
def test_the_latents_of_a_tool_that_is_gone_are_named(mined, measured, share):
    """Eight latents of 256 are of that tool; the others are used as before."""
    supports = np.full(256, round(share * mined))
    used = np.arange(256) >= 8
    assert drifted(supports, supports, used, mined, measured) == list(range(8))


def drifted(supports, uses, used, mined, measured):
    """The ids of the drifted of k latents, which `measured` tasks do not have where `used` (k) is false."""
    rows = enumerate(zip(supports.tolist(), uses.tolist(), strict=True))
    latents = [Latent(rank, (rank, rank), "", count, support, count) for rank, (support, count) in rows]
    vocabulary = _Latents(latents, {"action_tokens": 1000 * mined, "tasks": mined})
    found = unused_latents(vocabulary, used, 1000 * measured, measured, lambda segments: used[_ids(segments)])
    return sorted(one.latent.id for one in found if one.drifted)


def _ids(segments):
    return segments.tokens[segments.offsets[:-1]]


class _Latents(list):
    """A vocabulary, as far as `unused_latents` reads it."""

    def __init__(self, latents, mining):
        super().__init__(latents)
        self.mining = mining


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
