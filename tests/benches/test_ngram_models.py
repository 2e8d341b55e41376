"""The n-gram models of the bench against the core's, and against counts."""

from itertools import pairwise
from math import log

import numpy as np
import pytest

from benches.mining.ngram_models import LeftOut, Sample, Text, branching, runs_of, witten_bell
from benches.mining.peers import agent_runs
from lar.corpus import Corpus
from testing import toy

WEIGHT, LONGEST = 2.0, 4  # those of the core


@pytest.fixture(scope="module")
def texts(tokenizer, tmp_path_factory):
    corpus = Corpus.build(toy.trajectories(30), tokenizer, tmp_path_factory.mktemp("ngrams") / "corpus")
    return corpus, Text.of(corpus, set(), None)


def by_run(corpus, text, entropies):
    """The entropies of each run, by its tokens."""
    found = {}
    for task, run, _ in runs_of(corpus):
        place = text.places[(task, run.tobytes())]
        found[run.tobytes()] = entropies[place : place + len(run)]
    return found


def test_the_variant_that_is_used_is_the_cores(texts):
    corpus, text = texts
    found = by_run(corpus, text, witten_bell(text, WEIGHT)[LONGEST])
    runs = agent_runs(corpus)
    tokens, offsets, *_ = runs.to_arrays()
    entropies = runs.ngram_entropies()
    assert len(offsets) - 1 == len(found) > 10
    for start, end in pairwise(offsets.tolist()):
        expected = found[tokens[start:end].tobytes()]
        assert entropies[start + 1 : end] == pytest.approx(expected[1:], rel=1e-6, abs=1e-7)


def test_nothing_left_out_is_the_model_itself(texts):
    _, text = texts
    at = np.arange(1, len(text.symbols), 7)
    at = at[at > text.begins[at]]
    left_out = LeftOut(text, Sample(at, np.zeros(len(at)), text.tasks[at])).entropies("nothing", WEIGHT)
    for length, whole in enumerate(witten_bell(text, WEIGHT)):
        assert left_out[length] == pytest.approx(whole[at], abs=1e-9)


def test_a_branching_entropy_is_that_of_what_follows():
    # "1 2" five times, then 3 four times and 4 once; 5 stands alone.
    runs = [[1, 2, 3]] * 4 + [[1, 2, 4], [5]]
    symbols = np.array([token for run in runs for token in [*run, 0]])
    begins = np.concatenate([np.full(4, 4 * number) for number in range(5)] + [np.full(2, 20)])
    entropies = branching(Text(symbols, begins, np.zeros_like(symbols), {}))
    assert entropies[1] == pytest.approx(0)
    assert entropies[2] == pytest.approx(-0.8 * log(0.8) - 0.2 * log(0.2))
    assert entropies[20] == np.inf
