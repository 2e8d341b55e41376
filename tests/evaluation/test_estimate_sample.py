"""A sample of logs: the tasks by brute force, the same in any order, and the whole where all are taken."""

import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.corpus import Corpus, task_sample
from lar.corpus.selection import SAMPLE_SEED, place_of
from lar.corpus.task_sample import sampled, tokens_by_task
from lar.errors import OptionError, TrajectoryError
from lar.evaluation import minings
from lar.evaluation import sample as sampling
from lar.evaluation.estimate import PROBED, _splits, estimate
from lar.evaluation.sample import Sample, _Kept, _ratio
from lar.evaluation.usage import Tokens, Usage, base_tokens_by_task, base_usage
from lar.mining.entropy_gate import USUAL_GATE
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory
from testing import toy


def short(task: str, text: str, number: int) -> Trajectory:
    return Trajectory(f"run-{number}", task, [{"role": "user", "content": text}])


logs_of_tasks = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.text(max_size=30)), min_size=1)


@given(logs_of_tasks, st.integers(1, 1500), st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_kept_tasks_are_the_longest_beginning_that_is_short_enough(tokenizer, rows, most, fewest, chance):
    logs = [short(task, text, number) for number, (task, text) in enumerate(rows)]
    lengths = Counter[str]()
    for one in logs:
        lengths[one.task] += len(sampling._text(one))
    expected, total = set(), 0
    for number, task in enumerate(sorted(lengths, key=lambda name: place_of(name, SAMPLE_SEED))):
        total += lengths[task]
        if total > most and number >= fewest:
            break
        expected.add(task)

    def kept(given):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampling, "FEWEST", fewest)
            found = _Kept(most, tokenizer)
            for one in given:
                found.add(one)
        return found

    found = kept(logs)
    assert {one.task for one in found.trajectories()} == expected
    assert len(found.trajectories()) == sum(one.task in expected for one in logs)
    assert (found.runs, found.characters) == (len(logs), lengths)
    other = logs.copy()
    chance.shuffle(other)
    assert kept(other).trajectories() == found.trajectories()


@given(logs_of_tasks, st.integers(1, 1500), st.integers(0, 4), st.integers(1, 20))
def test_the_weights_are_those_of_all_pieces_tokenized_at_once(tokenizer, rows, most, fewest, at_once):
    logs = [short(task, 40 * text, number) for number, (task, text) in enumerate(rows)]

    def weights(size):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"FEWEST": fewest, "PIECE": 5, "STRETCH": 50, "PIECES": size}.items():
                patch.setattr(sampling, name, value)
            found = _Kept(most, tokenizer)
            for one in logs:
                found.add(one)
            return found.weights()

    assert weights(at_once) == weights(10**9)


def test_few_pieces_wait_to_be_tokenized(tokenizer, monkeypatch):
    monkeypatch.setattr(sampling, "PIECES", 10)
    batches = []

    class Counting:
        def encode_batch(self, texts):
            batches.append(len(texts))
            return tokenizer.encode_batch(texts)

    kept = _Kept(2_000, Counting())
    for number in range(500):
        kept.add(short(f"t{number}", "do " * 30, number))
    kept.weights()
    assert sum(batches) == 500
    # Before the first task is left out, the pieces are a small part of what is kept.
    assert batches[0] < 50
    assert set(batches[1:-1]) == {10}


@pytest.mark.parametrize("most", [500, 2_000, 5_000])
def test_logs_give_the_sample_of_their_corpus(corpus, tokenizer, monkeypatch, most):
    monkeypatch.setattr(sampling, "FEWEST", 3)
    monkeypatch.setattr(task_sample, "FEWEST", 3)
    of_corpus = Sample.of(corpus, most)
    of_logs = Sample.of_logs(toy.trajectories(60), tokenizer, most)
    assert of_logs.corpus.tasks == of_corpus.corpus.tasks
    assert of_corpus.corpus.num_tokens <= most or len(of_corpus.corpus.tasks) == 3
    assert (of_logs.runs, of_logs.tasks) == (of_corpus.runs, of_corpus.tasks) == (60, 60)
    assert of_corpus.error == 0
    assert of_corpus.tokens == corpus.num_tokens


def test_a_sample_of_everything_gives_what_all_logs_give(corpus, tokenizer):
    logs = toy.trajectories(60)
    random.Random(1).shuffle(logs)
    sample = Sample.of_logs(logs, tokenizer, corpus.num_tokens)
    assert (sample.tokens, sample.error) == (corpus.num_tokens, 0.0)
    found, whole = (estimate(each, sizes=[4, 8], splits=2) for each in (sample, corpus))
    assert found.to_dict() == whole.to_dict()
    assert not found.is_sample


def test_what_the_template_refuses_counts_for_nothing(corpus, tokenizer):
    condition = "{% if messages[0].content == 'never' %}{{ raise_exception('not this one') }}{% endif %}"
    strict = Tokenizer(tokenizer.backend, chat_template=condition + tokenizer.chat_template)
    logs = [*toy.trajectories(60), *(short(f"odd {number}", "never", number) for number in range(20))]
    sample = Sample.of_logs(logs, strict, 2 * corpus.num_tokens)
    assert (sample.runs, sample.tasks, sample.tokens, sample.error) == (60, 60, corpus.num_tokens, 0.0)


def test_the_number_of_workers_changes_nothing(corpus):
    one, three = (estimate(corpus, sizes=[2, 8], splits=3, workers=workers) for workers in (1, 3))
    assert one.to_dict() == three.to_dict()
    with pytest.raises(OptionError, match="one worker"):
        estimate(corpus, sizes=[2], workers=0)


def test_progress_counts_all_minings_once(corpus):
    seen = []
    estimate(corpus, sizes=[2, 4], splits=3, progress=lambda done, total: seen.append((done, total)))
    total = 2 * (3 + 1) + 2 * PROBED
    assert seen == [(number, total) for number in range(1, total + 1)]


def test_probes_stand_beside_the_same_splits(corpus):
    found = estimate(corpus, sizes=[2, 8], splits=3)
    for probe in (found.half, found.gated):
        assert probe.beside == found.recommended.splits[:PROBED]
        beside = sum(probe.beside, Usage()).reduction
        assert probe.reduction - probe.difference == pytest.approx(beside)
        assert [split.base for split in probe.splits] == [split.base for split in probe.beside]
    assert found.gated.gate == USUAL_GATE
    by_hand = estimate(corpus, sizes=[found.recommended.size], splits=PROBED, entropy_gates=[USUAL_GATE])
    assert by_hand.points[0].splits == found.gated.splits
    assert by_hand.gated is None
    assert estimate(corpus, sizes=[2], splits=1, probes=False).half is None


def test_half_of_the_mined_tasks_are_mined_for_the_probe_of_half(corpus, monkeypatch):
    mined = []
    mine_each = minings.mine_each

    def watched(part, *arguments, **options):
        mined.append((options["max_entropy"], frozenset(part.tasks)))
        return mine_each(part, *arguments, **options)

    monkeypatch.setattr(minings, "mine_each", watched)
    estimate(corpus, sizes=[2], splits=1)
    train = frozenset(_splits(corpus, 1)[0][0].tasks)
    (half,) = {tasks for gate, tasks in mined if gate is None} - {train, frozenset(corpus.tasks)}
    assert half < train
    assert 0.3 < len(half) / len(train) < 0.7


def test_a_corpus_of_few_tokens_is_taken_whole(corpus):
    assert sampled(corpus, corpus.num_tokens) is corpus
    assert sum(tokens_by_task(corpus).values()) == corpus.num_tokens


def test_tokens_are_counted_where_all_are_there_and_exact_where_all_tasks_are_alike():
    assert _ratio({"a": 3, "b": 9}, {"a": 10, "b": 20}) == (12, 0.0)
    assert _ratio({"a": 5, "b": 10}, {"a": 10, "b": 20, "c": 30}) == (30, 0.0)


def test_the_interval_of_all_tokens_usually_contains_them():
    held = 0
    for seed in range(200):
        chance = random.Random(seed)
        characters = {str(task): chance.randint(1_000, 9_000) for task in range(300)}
        tokens = {task: round(length / chance.uniform(3, 5)) for task, length in characters.items()}
        chosen = chance.sample(sorted(tokens), 40)
        found, error = _ratio({task: tokens[task] for task in chosen}, characters)
        held += abs(found - sum(tokens.values())) <= error * found
    assert held >= 0.9 * 200  # two standard errors: 95%, less for a small sample


def chat(task: str, turns: int) -> Trajectory:
    """A run with so many turns."""
    turn = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "I go on as I did."}]
    return Trajectory(f"run-{task}", task, turns * turn)


def chats(seed: int, number: int, sigma: float = 1.3) -> list[Trajectory]:
    """Runs of which a few have most of the turns, with a large sigma."""
    chance = random.Random(seed)
    return [chat(f"{seed}/{task}", 1 + int(chance.lognormvariate(1, sigma))) for task in range(number)]


def test_with_a_long_tail_a_run_of_all_logs_is_nearer_to_the_truth_than_one_of_the_sample(tokenizer):
    plain, scaled = [], []
    for seed in range(15):
        corpus = Corpus.build(chats(seed, 150), tokenizer)
        truth = base_usage(corpus)
        sample = Sample.of(corpus, corpus.num_tokens // 6)
        measured = base_usage(sample.corpus)
        found = sample.of_all(measured)
        assert found.runs == truth.runs
        assert found.base.generated + found.base.prompt == pytest.approx(corpus.num_tokens, abs=1)
        of_truth = truth.base.generated / truth.runs
        plain.append(abs(measured.base.generated / measured.runs / of_truth - 1))
        scaled.append(abs(found.base.generated / found.runs / of_truth - 1))
    assert statistics.fmean(plain) > 0.1
    assert statistics.fmean(scaled) < statistics.fmean(plain) / 3


def cost(tokens: Tokens) -> float:
    return tokens.generated + 0.1 * tokens.cached


def test_the_interval_of_a_sum_over_all_logs_usually_contains_it(tokenizer):
    held = 0
    for seed in range(20):
        logs = chats(seed, 120, sigma=0.4)
        corpus = Corpus.build(logs, tokenizer)
        sample = Sample.of_logs(logs, tokenizer, corpus.num_tokens // 3)
        found = cost(sample.of_all(base_usage(sample.corpus)).base)
        truth = cost(base_usage(corpus).base)
        costs = {task: cost(tokens) for task, tokens in base_tokens_by_task(sample.corpus).items()}
        error = sample.error_of_all(costs)
        assert sample.error < error < 0.3
        held += abs(found - truth) <= error * found
    assert held >= 0.75 * 20


@pytest.mark.parametrize("is_corpus", [True, False])
def test_the_table_has_the_tokens_of_a_run_of_all_logs(tokenizer, is_corpus):
    logs = chats(3, 100)
    corpus = Corpus.build(logs, tokenizer)
    most = corpus.num_tokens // 4
    sample = Sample.of(corpus, most) if is_corpus else Sample.of_logs(logs, tokenizer, most)
    found = estimate(sample, sizes=[2], splits=1, probes=False)
    assert found.is_sample
    row = found.points[0].to_dict()
    of_run = found.tokens_in_all / found.whole.runs
    assert row["base_generated"] + row["base_prompt"] == pytest.approx(of_run, abs=0.2)
    assert row["units_generated"] == pytest.approx(row["base_generated"] * (1 - row["reduction"]), rel=0.01)


def test_of_all_logs_nothing_is_scaled_and_nothing_is_in_doubt(corpus):
    whole = Sample.of(corpus, corpus.num_tokens)
    assert whole.of_all(base_usage(corpus)) == base_usage(corpus)
    by_task = base_tokens_by_task(corpus)
    assert sum(by_task.values(), Tokens()) == base_usage(corpus).base
    assert whole.error_of_all({task: tokens.sent for task, tokens in by_task.items()}) == 0.0


def test_a_run_that_is_unlike_the_sample_is_counted_too(tokenizer, monkeypatch):
    monkeypatch.setattr(sampling, "FEWEST", 10)
    monkeypatch.setattr(task_sample, "FEWEST", 10)
    logs = toy.trajectories(60)
    tasks = sorted({one.task for one in logs}, key=lambda task: place_of(task, SAMPLE_SEED))
    dense = short(tasks[-1], "".join(chr(0x4E00 + number % 9000) for number in range(30_000)), 1)
    found = Sample.of_logs([*logs, dense], tokenizer, 2_000)
    assert tasks[-1] not in found.corpus.tasks
    whole = Corpus.build([*logs, dense], tokenizer).num_tokens
    assert whole > 50_000
    assert 0.5 < found.tokens / whole < 1.5  # by the characters it would be a sixth


def test_no_logs_are_refused(tokenizer):
    with pytest.raises(TrajectoryError, match="no trajectory"):
        Sample.of_logs([], tokenizer, 100)


def test_the_held_out_side_is_in_no_count(tokenizer):
    split = Corpus.build(toy.trajectories(60), tokenizer, hold_out=0.3)
    found = Sample.of(split, 10**9)
    assert found.tasks + found.held_out == 60
    assert found.tokens == split.training.num_tokens


def test_a_corpus_that_is_mostly_one_task_is_warned_of_once(tokenizer, caplog):
    logs = [toy.trajectory(seed, task=max(seed, 20)) for seed in range(40)]
    estimate(Corpus.build(logs, tokenizer), sizes=[2], splits=3)
    [line] = [line for line in caplog.messages if "share one task" in line]
    assert line.startswith("21 of 40 trajectories share one task (toy/20)")
