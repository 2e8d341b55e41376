"""Mining: segments that recur over tasks are found, unpredictable ones are left out."""

import sys
from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lar
from lar.corpus import Corpus
from lar.corpus.scores import scores_file
from lar.errors import CorpusError, OptionError
from lar.mining.entropy_gate import parse_gate
from lar.mining.latent_entropies import entropy_sums
from lar.mining.mine import _Mining, mine
from lar.mining.one_machine import OneMachine
from lar.mining.options import SIZES, MiningOptions
from lar.trajectories import Trajectory
from lar.utils.progress import silent
from lar.vocabulary.latent import Latent
from lar.vocabulary.learnable import LEARNABLE, are_learnable, learnable_share
from lar.vocabulary.turn_lengths import FEW_UNITS, TurnLength
from testing import toy
from testing.scores import score_with


def texts(vocabulary):
    return [latent.text for latent in vocabulary.latents]


def agent(text, task):
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": text}]
    return Trajectory(id=f"{task}", task=str(task), messages=messages)


def scored(corpus, is_surprising):
    """The corpus with the scores of a teacher to which the tokens of `is_surprising` (n) are surprising."""
    return score_with(corpus, lambda shard: np.where(is_surprising(shard), 2.0, 0.0))


def test_the_scaffold_of_the_calls_is_found(vocabulary):
    assert {'.<tool_call>\n{"name": "', 'get_weather", "arguments": {"city": "'} <= set(texts(vocabulary))
    assert all(latent.support >= 2 and latent.uses > 0 for latent in vocabulary.latents)


def test_counts_and_supports_are_those_of_the_corpus(corpus, vocabulary):
    shard = next(corpus.shards())
    barriers = set(corpus.tokenizer.barriers.tolist())
    for latent in vocabulary.latents:
        assert not barriers & set(latent.tokens)
        width = len(latent.tokens)
        windows = np.lib.stride_tricks.sliding_window_view(shard.tokens, width)
        agent = np.lib.stride_tricks.sliding_window_view(shard.action, width).all(axis=1)
        found = np.flatnonzero((windows == np.array(latent.tokens)).all(axis=1) & agent)
        rows = np.searchsorted(shard.offsets, found, side="right") - 1
        assert latent.count == len(found)
        assert latent.support == len({shard.tasks[row] for row in rows})


@pytest.mark.parametrize(
    ("teacher", "options", "passes"),
    [
        (False, {"gates": "none"}, ["runs", "candidates", "choice"]),
        (
            True,
            {"gates": "none", "max_entropy": "p50"},
            ["runs", "entropies", "runs within the gate", "candidates", "choice", "latents"],
        ),
        (False, {"min_kept": 0.0}, ["runs", "candidates", "choice", "borders", "savings"]),
    ],
)
def test_progress_sees_every_pass_over_the_corpus(tokenizer, tmp_path, teacher, options, passes):
    corpus = Corpus.build(toy.trajectories(30), tokenizer, tmp_path / "corpus", shard_tokens=500)
    if teacher:
        corpus = scored(corpus, lambda shard: shard.tokens % 7 == 0)

    class Watching:
        def __init__(self):
            self.notes, self.reports = [], []

        def __call__(self, done, total):
            self.reports.append((done, total))

        def note(self, text):
            self.notes.append(text)

    progress = Watching()
    mine(corpus, size=4, progress=progress, **options)
    assert len(progress.notes) == len(passes)
    assert all(name in note for name, note in zip(passes, progress.notes, strict=True))
    done, totals = (list(column) for column in zip(*progress.reports, strict=True))
    assert done == sorted(done)  # one fraction over all passes, which does not go back
    assert done[-1] == totals[-1] >= len(passes) * corpus.num_tokens
    assert {total % corpus.num_tokens for total in totals} == {0}
    read = 1 + sum(name not in ("candidates", "choice", "savings") for name in passes[1:])
    assert len(set(progress.reports)) > read * (len(corpus.manifest.parts) - 1)


def test_a_task_with_most_of_the_text_is_warned_of(tokenizer, caplog):
    runs = [agent("I look it up.", task) for task in range(12)]
    mine(Corpus.build(runs, tokenizer), size=4)
    assert "leave it out" not in caplog.text
    whole = Corpus.build([*runs, agent("I look it up. " * 9, "long")], tokenizer)
    mine(whole, size=4)
    counts = Counter(row.task for row in whole for _ in range(int(row.action.sum())))
    share = counts["long"] / counts.total()
    assert f"one of 13 tasks has {share:.0%} of what the agent wrote (long)" in caplog.text


def test_one_tasks_retries_are_not_recurrence(tokenizer, caplog):
    runs = [agent("the same words again and again", 1) for _ in range(9)] + [agent("something else", 2)]
    assert mine(Corpus.build(runs, tokenizer)).size == 0
    assert "9 of 10 trajectories share one task (1)" in caplog.text


def test_shards_and_their_order_change_nothing(tokenizer, tmp_path, vocabulary):
    corpus = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus", shard_tokens=500)
    assert len(corpus.manifest.parts) > 3
    assert mine(corpus, size=12).latents == vocabulary.latents


def test_no_segment_continues_over_a_surprise(tokenizer, tmp_path):
    surprise = int(tokenizer.encode(" look")[0])
    corpus = Corpus.build(toy.trajectories(40), tokenizer, tmp_path / "corpus")
    assert any(surprise in latent.tokens[1:] for latent in mine(corpus, size=12).latents)
    corpus = scored(corpus, lambda shard: shard.tokens == surprise)
    gated = mine(corpus, size=12, max_entropy=0.5)
    assert gated.size > 0
    assert not any(surprise in latent.tokens[1:] for latent in gated.latents)
    assert gated.mining["max_entropy_nats"] == 0.5
    assert all(latent.mean_entropy == 0.0 for latent in gated.latents)


def test_a_quantile_is_that_of_the_agents_own_tokens(tokenizer, tmp_path):
    chance = np.random.default_rng(0)
    corpus = Corpus.build(toy.trajectories(40), tokenizer, tmp_path / "corpus")
    values = chance.exponential(size=corpus.num_tokens).astype(np.float16)
    (shard,) = score_with(corpus, lambda _: values).shards()
    spoken = shard.action & ~np.isin(shard.tokens, tokenizer.barriers)
    nats = mine(corpus, size=4, max_entropy="p60").mining["max_entropy_nats"]
    expected = np.sort(values[spoken])
    assert nats == expected[int(np.ceil(0.6 * len(expected))) - 1]


def test_without_a_teacher_the_corpus_says_what_is_surprising(corpus):
    gated = mine(corpus, size=50, max_entropy=0.3)
    # A city follows "in", with an n-gram entropy of about two nats: no segment continues over it.
    assert gated.size > 0
    assert not any(f"in {city}" in text for text in texts(gated) for city in toy.CITIES)
    assert any(f"in {city}" in text for text in texts(mine(corpus, size=50)) for city in toy.CITIES)


def test_no_segment_cuts_a_character(tokenizer):
    # The two characters share their first two bytes: what recurs most ends in the middle of one.
    runs = [agent(f"{'鎀鎁'[task % 2]} ok", task) for task in range(20)]
    vocabulary = mine(Corpus.build(runs, tokenizer), size=20)
    assert vocabulary.size > 0
    assert not any("\ufffd" in text for text in texts(vocabulary))


@pytest.mark.parametrize("learnable", [1, 6, 30, 10**6])
@pytest.mark.parametrize("few", [0, 5, 8, 100])
def test_without_a_size_the_logs_choose_one(corpus, monkeypatch, learnable, few):
    monkeypatch.setattr("lar.vocabulary.learnable.LEARNABLE", learnable)
    monkeypatch.setattr("lar.vocabulary.turn_lengths.FEW_UNITS", few)
    monkeypatch.setattr(sys.modules["lar.mining.mine"], "SIZES", (4, 8, 16, 32))
    found = {size: mine(corpus, size) for size in (32, 16, 8, 4)}
    sizes = [
        size
        for size, mined in found.items()
        if learnable_share(mined.latents) >= 0.5 and not TurnLength.mined(mined).is_short
    ]
    expected = max(sizes, default=4)
    chosen = mine(corpus)
    assert chosen == found[expected]
    assert chosen.mining["size"] == expected


class CountingFolds(OneMachine):
    """Counts how often a corpus is folded."""

    folds = 0

    def fold(self, *arguments, **keywords):
        self.folds += 1
        return super().fold(*arguments, **keywords)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gates": "none"},
        {"max_entropy": "p60"},
        {"max_entropy": "p60", "prompt_weight": 0.1},
        {"min_kept": 1.0},
    ],
)
def test_sizes_share_a_fold_and_each_is_mined_as_if_alone(corpus, options):
    backend = CountingFolds()
    mining = _Mining(corpus, MiningOptions(size=32, **options), None, backend, silent)
    found = [mining.run(size) for size in (32, 16, 8, 4)]
    assert backend.folds == (2 if "prompt_weight" in options else 1)
    for one in found:
        alone = mine(corpus, one.mining["size"], **options)
        assert (one.latents, one.mining) == (alone.latents, alone.mining)


def test_where_no_size_fits_the_corpus_is_folded_once(corpus, monkeypatch):
    monkeypatch.setattr("lar.vocabulary.learnable.LEARNABLE", 10**6)
    backend = CountingFolds()
    assert mine(corpus, backend=backend).mining["size"] == SIZES[0]
    assert backend.folds == 1


def test_progress_of_several_sizes_never_goes_back(corpus):
    seen = []
    mine(corpus, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_the_length_of_a_turn_is_that_of_an_evaluation(corpus):
    vocabulary = mine(corpus, 12)
    total = lar.evaluate(corpus, vocabulary).total
    assert TurnLength.mined(vocabulary) == TurnLength(total.base_tokens, total.units, total.turns)


@pytest.mark.parametrize(
    ("base_tokens", "units", "is_short"),
    [(80, 10, False), (80, 9.9, True), (10, 9.9, True), (9.9, 8, True), (6, 2, True), (6, 6, False)],
)
def test_a_turn_is_short_where_latents_make_it_so(base_tokens, units, is_short):
    assert TurnLength(base_tokens, units, 2).is_short is is_short


def test_agents_of_short_turns_get_the_fewest_latents(tokenizer):
    corpus = Corpus.build([agent("a b", task) for task in range(60)], tokenizer)
    assert corpus.num_action_tokens / 60 < FEW_UNITS
    assert mine(corpus).mining["size"] == SIZES[0]


def test_prompts_and_updates_keep_their_size(corpus):
    assert mine(corpus, prompt_weight=0.1).mining["size"] == 1024
    assert mine(corpus, update=mine(corpus, 5)).mining["size"] == 5


@pytest.mark.parametrize("gate", ["p101", "p", "-1", "often", -0.5])
def test_a_gate_that_is_none_is_refused(gate):
    with pytest.raises(OptionError, match=r"nats .* or a quantile"):
        parse_gate(gate)


@given(st.integers(2, 10**6), st.floats(0, 100))
def test_a_gate_above_any_entropy_is_refused_and_the_quantile_named(ids, nats):
    if nats <= log(ids):
        assert parse_gate(nats, ids).nats == nats
        return
    with pytest.raises(OptionError, match=f"write p{nats:g}".replace("+", r"\+")):
        parse_gate(nats, ids)


def test_a_gate_that_gates_nothing_is_refused_with_and_without_a_corpus(corpus):
    with pytest.raises(OptionError, match=r"no entropy is above 20\.0 nats; for a quantile, write p60"):
        MiningOptions(max_entropy=60)
    most = log(corpus.tokenizer.base_size)
    assert mine(corpus, size=4, max_entropy=most - 0.01).size == 4
    for nats in (most + 0.01, str(most + 0.01)):
        with pytest.raises(OptionError, match=r"gates nothing: .*; for a quantile, write p\d"):
            mine(corpus, size=4, max_entropy=nats)


def test_the_limits_of_segments_are_obeyed(corpus):
    every = mine(corpus, size=40, gates="none")
    for option, limit, is_within in (
        ("min_count", 30, lambda latent: latent.count >= 30),
        ("min_support", 30, lambda latent: latent.support >= 30),
        ("max_length", 8, lambda latent: len(latent) <= 8),
    ):
        assert not all(map(is_within, every))
        found = mine(corpus, size=40, gates="none", **{option: limit})
        assert found.size
        assert all(map(is_within, found))


@pytest.mark.parametrize(
    ("uses", "can"), [((0, 0), True), ((-1, 0), True), ((-1, -1, 0), False), ((-1,), False), ((), False)]
)
@pytest.mark.parametrize("scale", [1, 4])
def test_a_vocabulary_can_be_learnt_where_half_of_its_latents_have_enough_uses(uses, can, scale):
    latents = [Latent(0, (1, 2), "", 1, 1, uses=LEARNABLE // scale + more) for more in uses]
    assert are_learnable(learnable_share(latents, scale)) is can


@pytest.mark.parametrize("option", ["size", "min_support", "min_count", "max_length"])
def test_options_out_of_range_are_refused(corpus, option):
    with pytest.raises(OptionError, match=option):
        mine(corpus, **{option: 0})


@pytest.mark.parametrize("length", [1025, 2**40])
def test_segments_of_any_length_are_refused(corpus, length):
    with pytest.raises(OptionError, match=f"^max_length must be at most 1024, not {length}$"):
        mine(corpus, max_length=length)


@pytest.mark.parametrize("size", [1 << 26, 10**20])
def test_a_size_for_which_there_are_no_ids_is_refused_by_its_name(corpus, size):
    with pytest.raises(OptionError, match=f"size must be from 1 to .*, not {size}$"):
        mine(corpus, size=size)


@pytest.mark.parametrize(("name", "least"), [("min_support", 1), ("min_count", 1), ("max_length", 2)])
@given(below=st.integers(1, 10**20))
def test_a_number_below_the_least_is_refused_by_its_name(name, least, below):
    with pytest.raises(OptionError, match=f"^{name} must be at least {least}, not {least - below}$"):
        MiningOptions(**{name: least - below})


@pytest.mark.parametrize(
    ("name", "most"), [("min_support", 2**32 - 1), ("min_count", 2**48), ("max_length", 1024)]
)
@given(above=st.integers(1, 10**20), weight=st.sampled_from([0, 0.001, 0.1, 1, 1000]))
def test_a_number_above_the_most_is_refused_by_its_name(name, most, above, weight):
    MiningOptions(**{name: most}, prompt_weight=weight)  # the core takes it
    with pytest.raises(OptionError, match=f"^{name} must be at most .*, not {most + above}$"):
        MiningOptions(**{name: most + above}, prompt_weight=weight)


def test_a_corpus_without_an_agent_is_refused(tokenizer):
    run = Trajectory(id="1", task="1", messages=[{"role": "user", "content": "anybody there?"}])
    with pytest.raises(CorpusError, match="no token of an agent"):
        mine(Corpus.build([run], tokenizer))


def test_scores_that_are_not_finished_give_no_entropies_and_refuse_a_gate(tokenizer, caplog):
    corpus = Corpus.build(toy.trajectories(20), tokenizer, shard_tokens=500)
    unscored = mine(corpus, size=8).latents
    corpus = scored(corpus, lambda shard: shard.tokens == 0)
    scores_file(corpus.path / corpus.manifest.parts[-1].file).unlink()
    caplog.clear()
    assert mine(corpus, size=8).latents == unscored
    assert [line for line in caplog.text.splitlines() if "the scoring by made up has not finished" in line]
    with pytest.raises(CorpusError, match="the scoring by made up has not finished; run lar score again"):
        mine(corpus, size=8, max_entropy=0.5)


def test_a_gate_is_not_rounded_to_the_precision_of_the_scores(tokenizer):
    """In float16, 0.5001 is 0.5, and the next number is 0.5005: such a score is above the gate."""
    corpus = Corpus.build(toy.trajectories(20), tokenizer)
    high = float(np.nextafter(np.float16(0.5), np.float16(1)))
    corpus = score_with(corpus, lambda shard: np.full(len(shard.tokens), high))
    below, above = high - 1e-5, high + 1e-5
    assert np.float16(below) == high
    assert mine(corpus, size=4, max_entropy=below).size == 0
    assert mine(corpus, size=4, max_entropy=above).size == 4


def test_a_latents_mean_entropy_is_never_of_less_than_no_tokens():
    """Two units may begin within one base token: the first of them continues none."""

    class Form:
        units = np.array([5, 6, 1], dtype=np.uint32)
        starts = np.array([0, 0, 2, 3])
        action = np.array([True, True, True])

    class Vocabulary:
        base_size, size = 5, 2

        def reparameterize(self, *_):
            return Form

    class OneShard:
        tokens = action = offsets = None
        entropy = np.array([1.0, 2.0, 4.0], dtype=np.float16)

    sums, numbers = entropy_sums(Vocabulary(), OneShard())
    assert (sums.tolist(), numbers.tolist()) == ([0.0, 2.0], [0.0, 1.0])
