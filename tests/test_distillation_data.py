"""Windows and packs: nothing taught twice, nothing lost, and packing changes no hidden state."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from lar.causal_model import hidden_states
from lar.distillation.data import PackedExamples, examples, pack, windows
from lar.errors import CorpusError
from lar.vocabulary import Reparameterized


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=120), st.integers(8, 96))
def test_windows_teach_each_of_the_agents_units_once(units, max_length):
    lengths = np.array([length for length, _ in units])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    action = np.array([agent for _, agent in units])
    tokens = np.arange(starts[-1], dtype=np.uint32)  # each token is its own position
    parsed = Reparameterized(np.arange(len(units), dtype=np.uint32), action, starts)
    taught = []
    for example in windows(tokens, parsed, max_length):
        assert len(example.tokens) <= max_length or max_length < 24  # no unit here has more than 6
        ends = np.append(example.starts[1:], len(example.tokens))
        for unit, begin, end in zip(example.units, example.starts, ends, strict=True):
            assert example.tokens[begin:end].tolist() == list(range(starts[unit], starts[unit + 1]))
        assert (np.diff(example.units) > 0).all()
        taught += example.units[example.taught].tolist()
    assert taught == [index for index in range(1, len(units)) if action[index]]


def test_units_face_the_base_tokens_before_them(corpus, vocabulary):
    for example in examples(corpus, vocabulary, 512):
        assert (vocabulary.expand(example.units) == example.tokens).all()
        before = [len(vocabulary.expand(example.units[:index])) for index in example.taught]
        assert example.starts[example.taught].tolist() == before


def test_a_pack_gives_the_hidden_states_of_its_examples_alone(corpus, vocabulary):
    group = list(examples(corpus, tiny.no_latents(corpus), 512))[:3]
    model = tiny.model(vocabulary.base_size)
    batch = pack(group)
    with torch.no_grad():
        together = hidden_states(model, batch["tokens"], batch["token_positions"])[0, batch["teacher_at"]]
        alone = torch.cat(
            [hidden_states(model, torch.from_numpy(e.tokens)[None])[0, e.starts[e.taught] - 1] for e in group]
        )
    assert torch.allclose(together, alone, atol=1e-5)
    assert batch["labels"].tolist() == [t for e in group for t in e.tokens[e.taught]]


def test_rows_hold_every_example_once_within_the_budget(corpus, vocabulary):
    source = list(examples(corpus, vocabulary, 512))
    data = PackedExamples(source, 300, seed=3)
    assert sorted(index for row in data.rows for index in row) == list(range(len(source)))
    assert all(sum(len(source[i].tokens) for i in row) <= 300 for row in data.rows if len(row) > 1)
    assert data.rows == PackedExamples(source, 300, seed=3).rows
    assert data.rows != PackedExamples(source, 300, seed=4).rows


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(CorpusError, match="nothing"):
        PackedExamples([], 100)
