"""The bound of what K segments can save: never below the best vocabulary, found by trying all of them."""

from argparse import Namespace
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.mining.bound import begun
from benches.mining.substrings import Substrings, Text, saved_by_best_parse
from benches.mining.token_prices import Prices, lower_prices, most_saved
from lar import _core
from lar.errors import OptionError

LONGEST = 4

run = st.lists(st.integers(0, 2), min_size=1, max_size=7)
parts = st.lists(st.tuples(run, st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=4)


def text_of(parts):
    """The text of runs, each with a count and a task."""
    offsets = np.cumsum([0, *(len(tokens) for tokens, _, _ in parts)])
    tokens = np.array([token for tokens, _, _ in parts for token in tokens])
    counts, tasks = np.array([part[1:] for part in parts]).T
    return Text(tokens, offsets, counts, tasks, tasks)


def arrays(segments):
    """Segments end to end, as the core takes them."""
    offsets = np.cumsum([0, *map(len, segments)]).astype(np.int64)
    return np.array([token for segment in segments for token in segment], dtype=np.uint32), offsets


def substrings_of(parts):
    """By the definition: the places of each substring, its count, and the tasks that it occurs in."""
    places, counts, tasks, first = {}, Counter(), {}, 0
    for tokens, count, task in parts:
        for start in range(len(tokens)):
            for end in range(start + 2, min(start + LONGEST, len(tokens)) + 1):
                string = tuple(tokens[start:end])
                places.setdefault(string, []).append(first + start)
                counts[string] += count
                tasks.setdefault(string, set()).add(task)
        first += len(tokens)
    return places, counts, tasks


def saved_by_any_parse(parts, segments):
    """Most units saved, over all ways to begin a parse and to go on."""

    @cache
    def most(tokens):
        if not tokens:
            return 0
        fitting = [segment for segment in segments if tokens[: len(segment)] == segment]
        rest = (len(segment) - 1 + most(tokens[len(segment) :]) for segment in fitting)
        return max(most(tokens[1:]), *rest, 0)

    return sum(count * most(tuple(tokens)) for tokens, count, _ in parts)


def best_saving(parts, strings, size):
    """What the best vocabulary of at most `size` of the strings saves, with the best parse."""
    return max(
        saved_by_any_parse(parts, chosen)
        for number in range(size + 1)
        for chosen in combinations(sorted(strings), number)
    )


@given(parts, st.integers(0, 12))
def test_the_substrings_are_those_of_the_definition(parts, least):
    places, counts, tasks = substrings_of(parts)
    text = text_of(parts)
    found = Substrings.find(text, LONGEST, least, 1_000)
    listed = {}
    for (start, end), length in zip(pairwise(found.offsets), found.lengths, strict=True):
        first = found.starts[start]
        listed[tuple(text.tokens[first : first + length].tolist())] = sorted(found.starts[start:end].tolist())
    assert len(listed) == len(found)
    assert listed == {
        string: of_string
        for string, of_string in places.items()
        if len(tasks[string]) > 1 and counts[string] * (len(string) - 1) > least
    }
    tokens, offsets = found.segments(text)
    segments = [tuple(tokens[start:end].tolist()) for start, end in pairwise(offsets)]
    assert segments == sorted(listed)


@given(parts)
def test_more_occurrences_than_allowed_are_not_listed(parts):
    text = text_of(parts).of_any()
    number = len(Substrings.find(text, LONGEST, 0, 1_000).starts)
    assert Substrings.find(text, LONGEST, 0, number) is not None
    assert number == 0 or Substrings.find(text, LONGEST, 0, number - 1) is None


@given(parts, parts)
def test_substrings_that_were_seen_occur_on_both_sides(held_out, training):
    text = text_of(held_out).seen_in(text_of(training))
    found = Substrings.find(text, LONGEST, 0, 1_000)
    tokens, offsets = found.segments(text)
    segments = {tuple(tokens[start:end].tolist()) for start, end in pairwise(offsets)}
    assert segments == substrings_of(held_out)[0].keys() & substrings_of(training)[0].keys()
    assert all(found.starts < sum(len(tokens) for tokens, _, _ in held_out))


@given(parts, st.sets(st.lists(st.integers(0, 2), min_size=2, max_size=4).map(tuple), min_size=1, max_size=4))
def test_the_best_parse_saves_most_and_no_less_than_leftmost_longest(parts, segments):
    text = text_of(parts)
    saved = saved_by_best_parse(text, *arrays(sorted(segments)))
    assert saved == saved_by_any_parse(parts, segments)
    tasks = np.zeros(len(parts), dtype=np.uint32)
    task_offsets = np.arange(len(parts) + 1)
    counts = text.counts.astype(np.uint64)
    runs = _core.Runs.from_arrays(text.tokens.astype(np.uint32), text.offsets, counts, tasks, task_offsets)
    tokens, offsets = arrays(sorted(segments))
    uses = runs.count_uses(tokens, offsets).astype(np.int64)
    assert (uses * (np.diff(offsets) - 1)).sum() <= saved


def test_an_output_takes_no_figures_of_other_options(tmp_path):
    options = Namespace(output=tmp_path / "bound.json", tokenizer=Path("qwen3"), seed=0, most_tokens=9)
    results = {}
    begun(results, "fireact", options)["sizes"]["64"] = {}
    assert begun(results, "fireact", options)["sizes"] == {"64": {}}
    options.seed = 1
    assert begun(results, "react_fever", options)["sizes"] == {}
    with pytest.raises(OptionError, match="fireact was measured with"):
        begun(results, "fireact", options)


@given(parts, st.integers(1, 2), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_any_prices_give_a_bound_of_the_best_vocabulary(parts, size, least, seed):
    text = text_of(parts).of_any()
    prices = np.random.default_rng(seed).uniform(0, 1.5, len(text.tokens))
    strings = Substrings.find(text, LONGEST, least, 1_000)
    bound, *_ = Prices(text.weights, strings, size).bound(prices)
    assert bound >= best_saving(parts, substrings_of(parts)[0], size) - 1e-9


@given(parts, parts, st.integers(1, 2))
def test_lowered_prices_still_give_a_bound(held_out, training, size):
    text = text_of(held_out).seen_in(text_of(training))
    seen = substrings_of(held_out)[0].keys() & substrings_of(training)[0].keys()
    bound, _ = most_saved(text, size, LONGEST, iterations=30)
    assert bound.saving >= best_saving(held_out, seen, size) - 1e-9


def test_lowered_prices_come_close_to_the_best_vocabulary():
    # "0 1 2 3" twelve times, and "4 5 6" nine times: 36 and 18 units.
    parts = [([20 + task, 0, 1, 2, 3, 8 + task], 4, task) for task in range(3)]
    parts += [([30 + task, 4, 5, 6, 8 + task], 3, task) for task in range(3)]
    text = text_of(parts)
    for size, best in ((1, 36), (2, 54)):
        bound, strings = most_saved(text, size, LONGEST)
        assert best <= bound.saving < 1.01 * best
        taken = bound.shares >= np.sort(bound.shares)[-size]
        segments = strings.subset(taken).segments(text)
        assert len(segments[1]) - 1 == size
        assert saved_by_best_parse(text, *segments) == best


def test_a_run_is_at_least_one_unit():
    parts = [([1, 2, 3], 5, 0), ([3, 4], 2, 1)]
    bound, _ = most_saved(text_of(parts).of_any(), 100, LONGEST, iterations=3)
    assert bound.saving == 12


def test_a_text_without_allowed_substrings_saves_nothing():
    text = text_of([([1, 2], 1, 0), ([3, 4], 1, 1)])
    bound, strings = most_saved(text, 1, LONGEST)
    assert len(strings) == 0
    assert bound.saving == pytest.approx(0, abs=0.1)


@given(parts, st.integers(1, 2))
def test_the_slope_is_that_of_the_bound_where_it_is_straight(parts, size):
    text = text_of(parts).of_any()
    strings = Substrings.find(text, LONGEST, 0, 1_000)
    prices = Prices(text.weights, strings, size)
    lowered = lower_prices(prices, len(text.tokens), len(strings), iterations=60)
    assert lowered.saving <= prices.bound(np.full(len(text.tokens), 0.3))[0]
    assert replace(lowered, saving=prices.bound(lowered.prices)[0]).saving == lowered.saving
