"""Which latent is dropped where one takes another's text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import lar
from lar.mining import selection
from lar.mining.overlaps import Overlaps
from lar.mining.shadowing import SHADOW_WORTH, at_fault
from lar.trajectories import Trajectory
from testing import toy

LATENTS = st.lists(
    st.tuples(st.text("ab ", min_size=1, max_size=5), st.integers(-9, 20), st.integers(0, 20)),
    unique_by=lambda one: one[0],
    max_size=8,
)


def columns(latents):
    texts, saved, expected = zip(*latents, strict=True) if latents else ((), (), ())
    return texts, np.array(saved, np.int64), np.array(expected, np.int64)


def overlap(one, other):
    """Whether `other` contains `one` or ends in its beginning."""
    return one in other or any(other.endswith(one[:end]) for end in range(1, len(one)))


@given(LATENTS, st.sampled_from([0.0, 0.5, 1.0]))
def test_the_latent_with_the_largest_surplus_goes_for_one_that_it_shadows(latents, min_kept):
    texts, saved, expected = columns(latents)
    wanted = set()
    for failing in np.flatnonzero(saved < min_kept * expected):
        surplus = {
            one: saved[one] - expected[one]
            for one in range(len(texts))
            if one != failing and overlap(texts[failing], texts[one])
            if expected[one] <= SHADOW_WORTH * expected[failing]
            if saved[one] > expected[one] and min_kept * saved[one] >= expected[one]
        }
        wanted.add(max(surplus, key=lambda one: (surplus[one], -one)) if surplus else failing)
    assert set(np.flatnonzero(at_fault(texts, saved, expected, min_kept))) == wanted


def test_the_thief_goes_and_its_victim_stays():
    texts, saved, expected = columns([("<answer> ", 1134, 21), ("<answer>", 16, 1142), ("b", 0, 9)])
    assert at_fault(texts, saved, expected, 0.5).tolist() == [True, False, True]


def _says(task: int, text: str) -> Trajectory:
    messages = [{"role": "user", "content": "How warm?"}, {"role": "assistant", "content": text}]
    return Trajectory(id=str(task), task=str(task), messages=messages)


def _space_before_numbers():
    """Before a number there are two spaces, so the first is a token, with which a latent may end."""
    words = [*toy.CITIES, "Anything", "else", "is", "it", "look", "the", "war", "weath", "wil", "temperature"]
    runs = [_says(number, f"The temperature in  {number}") for number in range(2)]
    runs += [_says(10 + number, f"The temperature in {word}") for number, word in enumerate(words)]
    return lar.Corpus.build(runs, toy.tokenizer())


def test_a_space_at_the_end_takes_nothing_from_a_latent_that_is_worth_more():
    corpus = _space_before_numbers()
    vocabulary = lar.mine(corpus, size=100)
    texts = [latent.text for latent in vocabulary.latents]
    assert "The temperature in" in texts
    assert "The temperature in " not in texts
    counts = lar.evaluate(corpus, vocabulary).total
    assert counts.units == counts.base_tokens - 2 * corpus.num_trajectories


def test_after_some_audits_no_other_latent_is_blamed(monkeypatch):
    """So that the audits end sooner, what fails goes itself; what is left still saves its share."""
    monkeypatch.setattr(selection, "_BLAMING_AUDITS", 0)
    corpus = _space_before_numbers()
    texts = [latent.text for latent in lar.mine(corpus, size=100).latents]
    assert "The temperature in " in texts
    assert "The temperature in" not in texts


@given(st.lists(st.text("ab=", min_size=1, max_size=9), max_size=14), st.text("ab=", max_size=12))
def test_all_overlaps_are_found_at_once(sought, text):
    sought.sort()
    assert Overlaps(sought).of(text) == {rank for rank, one in enumerate(sought) if overlap(one, text)}


def test_long_separators_take_linear_time():
    """Counted, not timed: one step a character, where each pair of characters was compared."""
    lengths = range(200, 2000, 100)
    overlaps, steps = Overlaps(["=" * length + end for length in lengths for end in ("", "\n")]), 0

    class Counted(dict):
        def get(self, *key):
            nonlocal steps
            steps += 1
            return super().get(*key)

        def __contains__(self, key):
            nonlocal steps
            steps += 1
            return super().__contains__(key)

    overlaps._next = [Counted(one) for one in overlaps._next]
    text = "=" * 4000 + "-"
    assert len(overlaps.of(text)) == len(lengths)
    assert steps < 6 * len(text)
