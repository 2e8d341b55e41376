"""Evaluation: counts on unseen tasks only, and `in_sample` where there are none."""

from dataclasses import replace

import numpy as np
import pytest

from lar.corpus import Corpus
from lar.corpus.turns import count_turns
from lar.errors import CorpusError
from lar.evaluation.reduction import evaluate
from lar.evaluation.usage import base_usage
from lar.mining.mine import mine
from lar.vocabulary import LatentVocabulary
from testing import toy


def test_only_unseen_tasks_are_measured(corpus):
    train, held_out = corpus.split(0.3)
    vocabulary = mine(train, size=12)
    result = evaluate({"toy": corpus}, vocabulary)
    assert (result.tasks, result.seen_tasks) == (held_out.tasks, len(train.tasks))
    assert result.total.base_tokens == held_out.num_action_tokens
    assert result.to_dict() == {
        **evaluate({"toy": held_out}, vocabulary).to_dict(),
        "seen_tasks": len(train.tasks),
        "splits": {"toy": None},
    }
    assert result.lossless
    assert 0.3 < result.total.reduction < 1


def test_units_are_those_of_the_parse(corpus, vocabulary):
    result = evaluate({"toy": corpus}, vocabulary)
    assert result.in_sample
    saved = sum(latent.saving for latent in vocabulary.latents)
    assert result.total.units == corpus.num_action_tokens - saved
    assert result.latents_used == vocabulary.size
    total = result.total
    parts = total.reduction * total.base_tokens + total.prompt_reduction * total.prompt_base_tokens
    assert total.context_reduction * corpus.num_tokens == pytest.approx(parts)


def test_turns_are_counted_by_evaluation_mining_and_usage_alike(corpus, vocabulary):
    begins = [
        place
        for row in corpus
        for place, own in enumerate(row.action)
        if own and (place == 0 or not row.action[place - 1])
    ]
    assert evaluate(corpus, vocabulary).total.turns == len(begins)
    assert vocabulary.mining["turns"] == count_turns(corpus) == base_usage(corpus).turns == len(begins)


def another_unit(form, offsets):
    """The first unit of the second conversation is another one."""
    units = form.units.copy()
    place = np.searchsorted(form.starts, offsets[1])
    units[place] = 1 if units[place] == 0 else 0
    return replace(form, units=units)


def to_the_conversation_before(form, offsets):
    """The same unit is the last of the first conversation: the bytes of both together are the same."""
    starts = form.starts.copy()
    starts[np.searchsorted(starts, offsets[1])] -= 1
    return replace(form, starts=starts)


@pytest.mark.parametrize("broken", [another_unit, to_the_conversation_before])
def test_a_parse_that_changes_a_conversation_is_not_lossless(corpus, vocabulary, monkeypatch, broken):
    whole = evaluate(corpus, vocabulary)
    assert whole.lossless
    assert whole.total.text_level.whole.difference == 0
    parse = LatentVocabulary.reparameterize

    def parse_and_break(self, tokens, action, offsets):
        return broken(parse(self, tokens, action, offsets), offsets)

    monkeypatch.setattr(LatentVocabulary, "reparameterize", parse_and_break)
    damaged = evaluate(corpus, vocabulary)
    assert not damaged.lossless
    assert 0 < damaged.total.text_level.whole.difference < 1 / 30  # of one conversation of sixty


def test_counts_are_per_corpus_and_add_up(vocabulary, tokenizer):
    corpora = {
        name: Corpus.build(toy.trajectories(number, first=1000 * number), tokenizer)
        for name, number in (("small", 5), ("large", 20))
    }
    result = evaluate(corpora, vocabulary)
    small, large = result.per_corpus["small"], result.per_corpus["large"]
    assert (small.trajectories, large.trajectories) == (5, 20)
    assert result.total.units == small.units + large.units
    assert not result.in_sample


def test_a_latent_that_no_engine_can_have_shifts_no_other(corpus, vocabulary, tokenizer):
    """Its text is another latent's, in other tokens, so an engine numbers the latents after it one lower."""
    first, *others = vocabulary.latents
    letters = tuple(int(tokenizer.encode(letter)[0]) for letter in first.text)
    unfit = replace(first, id=first.id + 1, tokens=letters)
    moved = [replace(latent, id=latent.id + 1) for latent in others]
    found = evaluate(corpus, LatentVocabulary((first, unfit, *moved), tokenizer)).total
    assert found.to_dict() == evaluate(corpus, vocabulary).total.to_dict()


def test_a_selection_of_nothing_is_refused(corpus, vocabulary):
    with pytest.raises(CorpusError, match="nothing to evaluate"):
        evaluate(corpus.select(lambda _: False), vocabulary)


def test_a_corpus_of_another_tokenizer_is_refused(vocabulary):
    other = Corpus.build(toy.trajectories(3), toy.tokenizer(size=300))
    with pytest.raises(CorpusError, match="built with tokenizer"):
        evaluate({"other": other}, vocabulary)


def test_a_reduction_far_below_the_vocabularys_own_is_warned_of_with_both(vocabulary, tokenizer, caplog):
    fresh = Corpus.build(toy.trajectories(20, first=1000), tokenizer)
    evaluate(fresh, vocabulary)
    assert "far below" not in caplog.text
    turns = [{"role": "user", "content": "Say a number."}, {"role": "assistant", "content": "Seven is one."}]
    others = [[{**turns[0], "content": f"Say {number}."}, turns[1]] for number in range(20)]
    result = evaluate(Corpus.build(others, tokenizer), vocabulary)
    assert not result.in_sample
    assert f"is {result.total.reduction:.1%}, far below the {result.mined_reduction:.1%}" in caplog.text


def test_a_low_reduction_on_the_corpuss_own_held_out_side_is_no_reason_to_update(tokenizer, tmp_path, caplog):
    """The logs are the same, so it can only be that they are few."""
    corpus = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus", hold_out=0.2)
    train = mine(corpus, size=12)
    inflated = tuple(replace(latent, uses=5 * latent.uses) for latent in train)
    boasting = LatentVocabulary(inflated, tokenizer, train.mining, train.mined_tasks)
    assert evaluate(corpus, boasting).drift == []
    assert "far below" in caplog.text
    assert "lar estimate" in caplog.text
    assert "--update" not in caplog.text
    caplog.clear()
    evaluate(Corpus.build(toy.trajectories(20, first=1000), tokenizer), boasting)
    assert "--update" in caplog.text


def test_an_evaluation_shows_its_reduction_in_one_line(corpus, vocabulary, caplog):
    result = evaluate(corpus, vocabulary)
    assert result.reduction == result.total.reduction
    assert repr(result) == f"Evaluation(reduction={result.reduction:.4f}, tasks=60, in_sample=True)"
    [record] = caplog.records
    assert record.name.startswith("lar.")
    assert record.levelname == "WARNING"
    assert "every task was seen in mining" in record.getMessage()
