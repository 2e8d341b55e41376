"""Runs whose reasoning the chat template leaves out later: several rows, which count as one run."""

from itertools import groupby

import numpy as np
import pytest

from lar.corpus import Corpus
from lar.corpus.turns import count_turns
from lar.evaluation.reduction import evaluate
from lar.evaluation.reporting.example import example
from lar.evaluation.reporting.measure import measure
from lar.evaluation.reporting.turns import Turns
from lar.evaluation.usage import Tokens, base_tokens_by_task, base_usage, usage
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.trajectories.schema import Trajectory
from lar.utils.progress import silent
from testing.conversations import agent, call, result, user
from testing.corpora import contents
from testing.lossy_templates import LOSSY

QWEN3 = LOSSY["last thought"]


def runs(count: int = 40) -> list[Trajectory]:
    """Runs of one to four questions; each is answered after a call, with reasoning in every turn."""
    return [
        Trajectory(
            f"run{number}",
            f"task{number // 2}",
            [message for question in range(1 + number % 4) for message in asked(number, question)],
            success=number % 3 == 0,
        )
        for number in range(count)
    ]


def asked(number: int, question: int):
    return [
        user(f"question {question} of {number}?"),
        {**call(content="I look."), "reasoning_content": f"I do not know {question} yet, so I look for it."},
        result(f"found {number * question}"),
        agent(f"It is {number * question}.", reasoning_content="I have found it."),
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    path = tmp_path_factory.mktemp("prefixes") / "corpus"
    return Corpus.build(runs(), QWEN3, path, shard_tokens=2000)


def half_silent() -> list[Trajectory]:
    """The same runs with reasoning for every other question only: later rows have turns from before."""
    chosen = runs()
    for number, trajectory in enumerate(chosen):
        for place, message in enumerate(trajectory.messages):
            if (place // 4 + number) % 2:
                message.pop("reasoning_content", None)
    return chosen


@pytest.fixture(scope="module")
def unordered(tmp_path_factory) -> Corpus:
    path = tmp_path_factory.mktemp("unordered") / "corpus"
    return Corpus.build(half_silent(), QWEN3, path, shard_tokens=2000)


@pytest.fixture(params=["corpus", "unordered"])
def either(request) -> Corpus:
    return request.getfixturevalue(request.param)


def test_a_run_is_a_row_for_each_question_and_counts_once(corpus):
    rows = list(corpus)
    for trajectory, (_, group) in zip(runs(), groupby(rows, key=lambda row: row.id), strict=True):
        found = list(group)
        assert [row.continues for row in found] == [False] + [True] * (len(found) - 1)
        assert len(found) == sum(message["role"] == "user" for message in trajectory.messages)
    assert (len(corpus), corpus.num_trajectories) == (len(rows), 40)
    assert corpus.task_counts() == {f"task{number}": 2 for number in range(20)}
    assert count_turns(corpus) == sum(
        message["role"] == "assistant" for trajectory in runs() for message in trajectory.messages
    )
    assert not corpus.manifest.unwritten.losses


def test_a_selection_has_whole_runs(corpus):
    train, held = corpus.split(0.3)
    assert train.num_trajectories + held.num_trajectories == 40
    assert len(train) + len(held) == len(corpus) > 40
    assert sorted([*train, *held], key=repr) == sorted(corpus, key=repr)


def test_the_agent_writes_each_text_once(corpus):
    texts = [corpus.tokenizer.decode(row.tokens[row.action]) for row in corpus if row.id == "run3"]
    turns = [
        f"<think>\nI do not know {question} yet, so I look for it.\n</think>\n\nI look.\n<tool_call>\n"
        '{"name": "look", "arguments": {"at": "x"}}\n</tool_call><|im_end|>'
        f"<think>\nI have found it.\n</think>\n\nIt is {3 * question}.<|im_end|>"
        for question in range(4)
    ]
    assert texts == turns


def test_a_report_numbers_the_turns_of_a_run_and_shows_it_whole(corpus):
    for shard in corpus.shards():
        turns = Turns.of(shard, corpus.tokenizer)
        for run in range(shard.num_runs):
            of_run = shard.runs[turns.rows] == run
            assert turns.numbers[of_run].tolist() == list(range(1, int(of_run.sum()) + 1))
    shown = example({"": corpus}, mine(corpus, 4, min_support=2), frozenset(corpus.tasks))
    (asked_for,) = (trajectory for trajectory in runs() if trajectory.id == shown.run)
    assert shown.all_turns == sum(message["role"] == "assistant" for message in asked_for.messages)


def test_a_report_numbers_turns_as_the_agent_wrote_them(unordered):
    said = {run.id: [one for one in run.messages if one["role"] == "assistant"] for run in half_silent()}
    found = 0
    for shard in unordered.shards():
        turns = Turns.of(shard, unordered.tokenizer)
        for start, end, row, number in zip(turns.starts, turns.ends, turns.rows, turns.numbers, strict=True):
            text = said[shard.ids[row]][number - 1]["content"]
            assert text in unordered.tokenizer.decode(shard.tokens[start:end])
            found += 1
    assert found == sum(map(len, said.values()))


def test_evaluation_and_report_read_each_text_as_often_as_the_estimate(either):
    vocabulary = mine(either, 16, min_support=2, prompt_weight=0.5)
    found = usage(either, vocabulary)
    total = evaluate(either, vocabulary).total
    for tokens, read in ((found.base, total.context_base_tokens), (found.units, total.context_units)):
        assert tokens.generated + tokens.prompt == read
    measured = measure({"here": either}, vocabulary, silent, frozenset(either.tasks))
    (prompt,) = measured.prompt.values()
    assert (prompt.number, prompt.base, prompt.units) == (40, found.base.prompt, found.units.prompt)
    saved = sum(use.prompt_uses * (len(use.latent) - 1) for use in measured.latents)
    assert saved == pytest.approx(prompt.base - prompt.units, rel=0.01)
    (generated,) = measured.generated.values()
    assert (generated.number, generated.base, generated.units) == (
        40,
        found.base.generated,
        found.units.generated,
    )


@pytest.mark.parametrize("gates", ["none", "engines"])
def test_mining_weighs_a_prompt_as_often_as_evaluation_reads_it(either, gates):
    vocabulary = mine(either, 16, prompt_weight=0.5, gates=gates)
    total = evaluate(either, vocabulary).total
    assert vocabulary.mining["prompt_tokens"] == total.prompt_base_tokens
    saved = sum(latent.prompt_saving for latent in vocabulary)  # by the parse of tokens, not of text
    assert saved / total.prompt_base_tokens == pytest.approx(total.prompt_reduction, abs=0.01)


def test_what_a_row_repeats_is_mined_once(corpus):
    """The runs of prompts have the tokens that no row before has, nor the agent's."""
    fresh = []
    for row, before in zip(corpus, [None, *corpus], strict=False):
        begin = common(before.tokens, row.tokens) if row.continues else 0
        fresh += row.tokens[begin:][~row.action[begin:]].tolist()
    tokens, offsets, counts, *_ = OneMachine().fold(corpus, None, prompt=True).to_arrays()
    found = np.repeat(tokens, np.repeat(counts, np.diff(offsets).astype(np.int64)).astype(np.int64))
    wanted = [token for token in fresh if token not in corpus.tokenizer.barriers]
    assert sorted(found.tolist()) == sorted(wanted)


def test_tables_have_the_rows_and_give_them_back(corpus, tmp_path):
    assert list(Corpus.from_arrow(corpus.to_arrow(), QWEN3, tmp_path / "again")) == list(corpus)


def test_the_bytes_depend_on_no_number_of_workers_and_a_stopped_build_goes_on(corpus, tmp_path):
    other = Corpus.build(runs(), QWEN3, tmp_path / "one", shard_tokens=2000, workers=1)
    assert contents(other.path) == contents(corpus.path)

    def stopped():
        yield from runs()[:30]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.build(stopped(), QWEN3, tmp_path / "two", shard_tokens=2000, workers=1)
    again = Corpus.build(runs(), QWEN3, tmp_path / "two", shard_tokens=2000)
    assert contents(again.path) == contents(corpus.path)


def test_a_prefix_cache_misses_what_follows_dropped_reasoning(either):
    """The usage equals that of a cache which has the row before, counted request by request."""
    vocabulary = mine(either, 16, min_support=2)
    found = usage(either, vocabulary)
    assert base_usage(either).base == found.base == sum_of(counted(either, None))
    assert found.units == sum_of(counted(either, vocabulary))
    assert found.runs == either.num_trajectories
    assert sum_of(list(base_tokens_by_task(either).values())) == found.base


def sum_of(counts):
    return sum(counts[1:], counts[0])


def counted(corpus, vocabulary):
    parsed = [
        row if vocabulary is None else vocabulary.reparameterize(row.tokens, row.action) for row in corpus
    ]
    ids = [row.tokens if vocabulary is None else row.units for row in parsed]
    lengths = [common(ids[at - 1], ids[at]) if row.continues else 0 for at, row in enumerate(corpus)]
    for_all = []
    for row, cached, own in zip(parsed, lengths, written_in(parsed, lengths), strict=True):
        begins = [place for place in np.flatnonzero(row.action) if place == 0 or not row.action[place - 1]]
        generated = int(row.action.sum())
        new = int((~own[cached : begins[-1]]).sum())
        sent = sum(int(begin) for begin in begins)
        resent = sum(int(own[:begin].sum()) for begin in begins)
        for_all.append(Tokens(generated, len(own) - generated - cached, new, sent - resent - new, resent))
    return for_all


def written_in(rows, lengths):
    """The agent's flags of rows that share `lengths` with the one before: what one has, both have."""
    own = [row.action.copy() for row in rows]
    before = None
    while before != (before := [row.tolist() for row in own]):
        for one, other, length in zip(own, own[1:], lengths[1:], strict=False):
            one[:length] = other[:length] = one[:length] | other[:length]
    return own


def common(one, other) -> int:
    """The length of what two arrays begin with alike."""
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return same
