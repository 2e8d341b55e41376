"""The bench that compares substitutes for a teacher: its figures against their definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.mining.substitutes import GATES, agreement, begun_at, ranks, sample, within
from testing import toy

some_values = st.lists(st.sampled_from([0.0, 0.25, 1.0, 2.0, 5.0]), min_size=2, max_size=12)


@given(some_values)
def test_a_rank_is_the_mean_place_in_the_sorted_values(values):
    places = [[at for at, other in enumerate(sorted(values), start=1) if other == value] for value in values]
    assert ranks(np.array(values)).tolist() == [np.mean(found) for found in places]


@given(some_values, st.floats(0.05, 1))
def test_within_a_gate_is_the_least_that_has_the_share(values, share):
    expected = next(v for v in sorted(values) if sum(o <= v for o in values) >= share * len(values))
    assert within(np.array(values), share).tolist() == [value <= expected for value in values]


@given(some_values.filter(lambda values: len(set(values)) > 1), st.randoms())
def test_agreement_is_one_with_any_rising_function_and_falls_with_a_change(values, random):
    found = np.array(values)
    assert agreement(found, np.exp(found)) == pytest.approx([1.0] * (1 + len(GATES)))
    shuffled = list(values)
    random.shuffle(shuffled)
    is_same = agreement(np.array(shuffled), found)[0] == pytest.approx(1)
    assert is_same == (shuffled == values)
    assert agreement(-found, found)[0] < 0


def test_a_sample_has_one_beginning_a_task_whatever_the_order_of_the_logs():
    logs = toy.trajectories(30)
    chosen = list(sample(logs, characters=2_000, beginning=80))
    assert len({one.task for one in chosen}) == len(chosen)
    assert [one.task for one in sample(logs[::-1], 2_000, 80)] == [one.task for one in chosen]
    lengths = [sum(len(message.get("content") or "") for message in one.messages) for one in chosen]
    assert sum(lengths[:-1]) <= 2_000
    for one in chosen:
        whole = next(log for log in logs if log.task == one.task)
        assert one == begun_at(whole, 80)
        assert one.messages == whole.messages[: len(one.messages)]
        assert one.messages[-1]["role"] == "assistant"
        before = itertools.accumulate(len(message.get("content") or "") for message in one.messages)
        long_turns = [m for m, total in zip(one.messages, before, strict=True) if total > 80]
        assert sum(message["role"] == "assistant" for message in long_turns) <= 1
