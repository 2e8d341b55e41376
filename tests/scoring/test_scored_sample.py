"""Scores of a sample of the tasks: they equal those of all tasks there, and mining counts in all tasks."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.corpus import Corpus
from lar.corpus.selection import InSample
from lar.corpus.task_sample import FEWEST, sample_share, tokens_by_task
from lar.errors import CorpusError, OptionError
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.scoring import score as scoring
from lar.scoring import store
from lar.scoring.distribution import entropy_quantiles
from lar.scoring.score import score
from testing import tiny, toy
from testing.scores import score_with

TASKS = 40
MOST = 0.1


@pytest.fixture
def corpus(tokenizer, tmp_path):
    return Corpus.build(toy.trajectories(3 * TASKS), tokenizer, tmp_path / "corpus", shard_tokens=2000)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny.model(tokenizer.base_size)


def entropies(corpus):
    return np.concatenate([shard.entropy for shard in corpus.shards()])


def in_sample(corpus):
    """Which tokens are the agent's, and of a task that is scored."""
    return np.concatenate(
        [
            shard.action
            & np.repeat([corpus.teacher.has_scored(t) for t in shard.tasks], np.diff(shard.offsets))
            for shard in corpus.shards()
        ]
    )


def test_a_sample_has_the_scores_of_all_tasks_and_grows_into_them(corpus, model):
    sizes = sorted(tokens_by_task(corpus).values())
    assert len(sizes) > FEWEST + 5
    score(corpus, model, most_tokens=1)
    few, scored_few = entropies(corpus), in_sample(corpus)
    assert len(corpus.scored.tasks) == FEWEST
    score(corpus, model, most_tokens=corpus.scored.num_tokens + sizes[-1])
    more, scored_more = entropies(corpus), in_sample(corpus)
    assert FEWEST < len(corpus.scored.tasks) < len(corpus.tasks)
    score(corpus, model)
    assert corpus.scored is corpus
    every = entropies(corpus)
    for found, scored in ((few, scored_few), (more, scored_more)):
        assert (np.isnan(found) == ~scored).all()
        np.testing.assert_array_equal(found[scored], every[scored])
    assert (scored_more | ~scored_few).all()
    files = [file.stat().st_mtime_ns for file in sorted((corpus.path / "teacher").glob("part-*"))]
    score(corpus, model, most_tokens=1)  # all of it is there
    assert corpus.teacher.share == 1
    assert files == [file.stat().st_mtime_ns for file in sorted((corpus.path / "teacher").glob("part-*"))]


def test_a_stopped_run_goes_on_with_its_sample(corpus, model):
    score(corpus, model, most_tokens=1)
    before = entropies(corpus)
    first, *_, last = sorted((corpus.path / "teacher").glob("part-*"))
    last.unlink()
    assert not corpus.is_scored
    kept = first.stat().st_mtime_ns
    score(corpus, model, most_tokens=1)
    assert first.stat().st_mtime_ns == kept
    np.testing.assert_array_equal(entropies(corpus), before)


def test_a_stopped_run_keeps_its_sample_until_another_is_asked_for(corpus, model):
    """Without an option it goes on; it does not begin with all tasks, nor keep to them."""
    files = [corpus.path / "teacher" / part.file for part in corpus.manifest.parts]
    score(corpus, model, most_tokens=1)
    few = entropies(corpus)
    files[-1].unlink()
    score(corpus, model)
    assert len(corpus.scored.tasks) == FEWEST
    np.testing.assert_array_equal(entropies(corpus), few)
    score(corpus, model)  # it is finished, so now all tasks are wanted
    assert corpus.scored is corpus
    files[-1].unlink()
    score(corpus, model, most_tokens=1)
    assert len(corpus.scored.tasks) == FEWEST
    assert corpus.is_scored


def test_a_larger_sample_keeps_what_is_scored(corpus, model, monkeypatch):
    score(corpus, model, most_tokens=1)
    first = frozenset(corpus.scored.tasks)
    monkeypatch.setattr(store, "write", stopped_after(1))
    with pytest.raises(KeyboardInterrupt):
        score(corpus, model)
    monkeypatch.undo()
    assert not corpus.is_scored
    with pytest.raises(CorpusError, match="has not finished"):
        mine(corpus, size=4, max_entropy=1.0)
    read, readings = [], scoring._readings

    def watched(shard, length, keep):
        read.extend(filter(keep, shard.tasks))
        return readings(shard, length, keep)

    monkeypatch.setattr(scoring, "_readings", watched)
    score(corpus, model)
    assert corpus.is_scored
    assert read
    assert first.isdisjoint(read)


def test_likely_tokens_are_of_all_tasks_whatever_was_stopped_before(corpus, model):
    files = [corpus.path / "teacher" / part.file for part in corpus.manifest.parts]
    for before, after, share in (
        ({"most_tokens": 1}, {"top_k": 4}, 1.0),
        ({"top_k": 4}, {"most_tokens": 1}, 0.5),
    ):
        store.clear(corpus)
        score(corpus, model, **before)
        files[-1].unlink()
        score(corpus, model, **after)
        assert corpus.is_scored
        assert corpus.teacher.top_k == after.get("top_k")
        assert corpus.teacher.share <= share
        assert {shard.scores.top_k for shard in corpus.shards()} == {after.get("top_k")}


def stopped_after(number):
    """`store.write`, which is killed before it writes more shards than `number`."""
    write, written = store.write, []

    def killed(shard, scores):
        if len(written) == number:
            raise KeyboardInterrupt
        written.append(shard.path)
        write(shard, scores)

    return killed


def test_a_sample_that_was_scored_in_another_dtype_is_not_mixed(corpus, tokenizer):
    score(corpus, tiny.model(tokenizer.base_size), most_tokens=1)
    narrow = tiny.model(tokenizer.base_size).to(torch.bfloat16)
    with pytest.raises(CorpusError, match="scored in part, in float32"):
        score(corpus, narrow)
    assert len(corpus.scored.tasks) == FEWEST


def test_the_tokens_of_a_sample_give_the_same_sample(corpus, model):
    split = corpus.with_split(0.4)
    score(split, model, most_tokens=split.training.num_tokens * 3 // 4)
    assert sample_share(split.training, split.training.scored.num_tokens) == split.teacher.share
    assert FEWEST <= len(split.training.scored.tasks) < len(split.training.tasks)


def test_quantiles_are_of_the_sample(corpus, model):
    score(corpus, model, most_tokens=1)
    assert entropy_quantiles(corpus) == entropy_quantiles(corpus.scored)


def test_a_backend_takes_the_same_options(corpus, model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    options = {"most_tokens": corpus.num_tokens * 3 // 4, "max_length": 64}
    score(corpus, str(tmp_path / "model"), backend=OneMachine(), **options)
    there = entropies(corpus)
    score(corpus, str(tmp_path / "model"), overwrite=True, **options)
    np.testing.assert_array_equal(entropies(corpus), there)


@pytest.mark.parametrize("options", [{"most_tokens": 0}, {"most_tokens": 9, "top_k": 4}])
def test_what_a_sample_cannot_be_is_refused(corpus, model, options):
    with pytest.raises(OptionError, match="most_tokens"):
        score(corpus, model, **options)
    assert corpus.teacher is None


# Mining


def by_token(shard):
    """Entropies that differ between the places of a segment: of a token and the one before the last."""
    before = np.concatenate([[0, 0], shard.tokens[:-2]])
    return (shard.tokens * 7 + before * 13) % 101 / 50


@pytest.fixture(scope="module")
def made_up(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "corpus"
    corpus = Corpus.build(toy.trajectories(3 * TASKS), tokenizer, path, shard_tokens=2000)
    return score_with(corpus, by_token)


def occurrences(corpus, latent, gate):
    """Of a segment in the agent's runs: all, their tasks, those that have entropies, those that cross."""
    wanted, width = np.array(latent.tokens), len(latent.tokens)
    total, tasks, scored, crossing = 0, set(), 0, 0
    for shard in corpus.shards():
        for task, (start, end) in zip(shard.tasks, pairwise(shard.offsets.tolist()), strict=True):
            for at in range(start, end - width + 1):
                place = slice(at, at + width)
                if not shard.action[place].all() or (shard.tokens[place] != wanted).any():
                    continue
                within = shard.entropy[place][1:].astype(np.float32)
                total, scored = total + 1, scored + (not np.isnan(within).any())
                crossing += bool((within > gate).any())
                tasks.add(task)
    return total, len(tasks), scored, crossing


def test_what_no_scored_task_has_is_not_judged(tokenizer, tmp_path, caplog):
    """Neither by way of the prompts; but a latent that is updated stays."""
    keep, last = InSample(0.5), "Anything else to look up, dear user?"
    logs = [one if keep(one.task) else with_last(one, last) for one in toy.trajectories(2 * TASKS)]
    corpus = Corpus.build(logs, tokenizer, tmp_path / "corpus")
    score_with(corpus, lambda shard: np.full(len(shard.tokens), 5.0), share=0.5)
    found = mine(corpus, size=12, max_entropy=1.0, prompt_weight=0.1)
    scored = f"by the scores of {len(corpus.scored.tasks)} of {len(corpus.tasks)} tasks"
    assert scored in caplog.text
    assert all(latent.uses == 0 for latent in found.latents)
    score_with(corpus, lambda shard: np.zeros(len(shard.tokens)))
    before = mine(corpus, size=40, max_entropy=1.0)
    score_with(corpus, lambda shard: np.zeros(len(shard.tokens)), share=0.5)
    unseen = [latent for latent in before.latents if latent.text in last and latent.uses]
    assert unseen
    after = {latent.tokens: latent.id for latent in mine(corpus, update=before).latents}
    assert all(after.get(latent.tokens) == latent.id for latent in unseen)


def with_last(run, text):
    """The run with a text that the user asks for and the agent writes."""
    said = [{"role": role, "content": text} for role in ("user", "assistant")]
    return replace(run, messages=[*run.messages, *said])


def mean_entropy(corpus, vocabulary, latent):
    """Of the second and later tokens of a latent's uses that have an entropy; None where none has."""
    found = []
    for shard in corpus.shards():
        form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
        for unit, (start, end) in zip(form.units, pairwise(form.starts.tolist()), strict=True):
            if unit == latent.id:
                found += shard.entropy[start + 1 : end].astype(float).tolist()
    known = [value for value in found if not np.isnan(value)]
    return round(float(np.mean(known)), 4) if known else None


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([0.3, 0.6, 0.9]),
    st.sampled_from([0.8, 1.5]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from(["none", "engines"]),
)
def test_a_gate_judges_in_the_sample_and_counts_in_all(made_up, share, gate, weight, gates):
    corpus = score_with(made_up, by_token, share=share)
    options = {"max_crossing": MOST, "prompt_weight": weight, "gates": gates}
    found = mine(corpus, size=12, max_entropy=gate, min_support=2, **options)
    assert found.size
    for latent in found.latents:
        total, tasks, scored, crossing = occurrences(corpus, latent, gate)
        assert crossing <= MOST * scored
        if weight:
            continue  # it may be of prompts
        assert scored >= 2
        if gates == "none":  # engine gates cut runs
            assert (latent.count, latent.support) == (total, tasks)
    if gates == "engines" and not weight:  # otherwise a latent may be read where mining does not count it
        assert [latent.uses for latent in found.latents] == uses(corpus, found)


def uses(corpus, vocabulary):
    """How often the agent writes each latent, by the parse of the whole corpus."""
    forms = [vocabulary.reparameterize(one.tokens, one.action, one.offsets) for one in corpus.shards()]
    written = np.concatenate([form.units[form.action] for form in forms])
    return [int((written == latent.id).sum()) for latent in vocabulary.latents]


def test_a_sample_of_all_tasks_changes_nothing(made_up):
    whole = score_with(made_up, by_token)
    expected = mine(whole, size=12, max_entropy="p60")
    every = mine(score_with(made_up, by_token, share=0.999999), size=12, max_entropy="p60")
    assert [latent.tokens for latent in every.latents] == [latent.tokens for latent in expected.latents]
    assert every.mining["max_entropy_nats"] == expected.mining["max_entropy_nats"]


def test_without_a_gate_a_sample_changes_the_mean_entropies_alone(made_up):
    whole = mine(score_with(made_up, by_token), size=12)
    part = mine(score_with(made_up, by_token, share=0.5), size=12)
    assert [latent.tokens for latent in part.latents] == [latent.tokens for latent in whole.latents]
    assert [latent.uses for latent in part.latents] == [latent.uses for latent in whole.latents]
    for latent in part.latents:
        assert latent.mean_entropy == mean_entropy(made_up, part, latent)
