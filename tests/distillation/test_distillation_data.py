"""Windows and packs: nothing supervised twice, nothing lost, and packing changes no hidden state."""

import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lar.corpus import Corpus
from lar.corpus.windows import windows
from lar.distillation.data import Examples, PackedExamples, cut, pack
from lar.errors import CorpusError
from lar.models.hidden_states import hidden_states
from lar.vocabulary.vocabulary import Reparameterized
from testing import tiny, toy

SPEAKERS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=12)


def mask(speakers):
    """The agent's mask of a conversation of turns: (length, whether it is the agent's) each."""
    return np.concatenate([np.full(length, agent) for length, agent in speakers])


@given(SPEAKERS, st.integers(8, 96))
def test_windows_hold_each_of_the_agents_tokens_once(speakers, max_length):
    action = mask(speakers)
    new = []
    for window in windows(action, max_length):
        assert 0 <= window.head <= window.begin <= window.new < window.end <= len(action)
        assert len(window) == len(window.positions()) <= max_length
        assert action[window.end - 1]  # nothing after the agent's last token
        new += [position for position in range(window.new, window.end) if action[position]]
    assert new == [position for position in range(1, len(action)) if action[position]]


@given(SPEAKERS, st.integers(0, 20))
def test_a_conversation_that_fits_is_one_window(speakers, spare):
    action = mask(speakers)
    if action[1:].any():
        end = int(np.flatnonzero(action)[-1]) + 1
        (window,) = windows(action, max(8, end + spare))
        assert window.positions().tolist() == list(range(end))


@given(SPEAKERS, st.integers(16, 96), st.data())
def test_cuts_supervise_each_of_the_agents_tokens_once(speakers, max_length, data):
    """Groups of tokens of one speaker in one or two units; the second begins inside a token.

    They have at most four tokens, or 64: longer than half of a window, or than all of it.
    """
    action = mask(speakers)
    most = data.draw(st.sampled_from([4, 64]))
    borders = [0]
    while borders[-1] < len(action):
        longest = next(
            (n for n in range(1, most) if action[borders[-1]] != action[borders[-1] + n :][:1].any()), most
        )
        limit = min(longest, len(action) - borders[-1])
        borders.append(borders[-1] + data.draw(st.integers(1, limit)))
    tokens = np.arange(len(action), dtype=np.uint32)  # each token is its own position
    groups = {}  # first unit: the group's units and tokens
    units, starts, begins = [], [], []
    for begin, end in pairwise(borders):
        own = [begin] if end - begin == 1 else [1000 + begin]
        places = [(begin, True)]
        if end - begin > 1 and data.draw(st.booleans()):
            own.append(2000 + begin)
            places.append((data.draw(st.integers(begin, end - 1)), False))
        groups[own[0]] = own, list(range(begin, end))
        units += own
        starts += [place for place, _ in places]
        begins += [first for _, first in places]
    parsed = Reparameterized(
        np.array(units, dtype=np.uint32),
        action[starts],
        np.array([*starts, len(action)]),
        np.array([*begins, True]),
    )
    # A latent's first token is the group's, or another one for every third.
    vocabulary = SimpleNamespace(
        first_tokens_of=lambda ids: np.where((ids < 1000) | (ids % 3 > 0), ids % 1000, 9999)
    )
    supervised = []
    for window in windows(action, max_length):
        example = cut(tokens, parsed, vocabulary, window)
        assert example.tokens.tolist() == window.positions().tolist()
        found, chosen, at = example.units.tolist(), set(example.supervised.tolist()), 0
        read = []
        while at < len(found):
            own, covered = groups.get(found[at], ([found[at]], [found[at]]))
            if found[at] < 1000:  # a base token: a group alone, or part of a cut group
                own, covered = [found[at]], [found[at]]
            assert found[at : at + len(own)] == own
            assert at == 0 or len(chosen & set(range(at, at + len(own)))) in (0, len(own))
            supervised += covered if at in chosen else []
            read += covered
            at += len(own)
        assert read == example.tokens.tolist()
        loss_on = example.units[example.supervised].tolist()
        assert example.has_teacher.tolist() == [
            unit < 1000 or (unit < 2000 and unit % 3 > 0) for unit in loss_on
        ]
    # The very first token cannot be supervised: nothing is before it.
    assert supervised == [position for position in range(1, len(action)) if action[position]]


def test_units_face_the_base_tokens_before_them(corpus, vocabulary):
    bytes_of = vocabulary.tokenizer.bytes_of
    for example in Examples(corpus, vocabulary, 512):
        assert bytes_of(vocabulary.expand(example.units)) == bytes_of(example.tokens)
        for index, has_teacher in zip(example.supervised, example.has_teacher, strict=True):
            before = bytes_of(vocabulary.expand(example.units[:index]))
            start = example.starts[index]
            begins = example.begins[index]
            assert begins == (before == bytes_of(example.tokens[:start]))
            first = vocabulary.expand(example.units[[index]])[0]
            assert has_teacher == (begins and first == example.tokens[start])


def test_latent_dropout_changes_units_but_neither_text_nor_teacher(corpus, vocabulary):
    plain = Examples(corpus, vocabulary, 256)
    spelled = Examples(corpus, vocabulary, 256, latent_dropout=0.5, seed=3)
    counts = Counter()
    for whole, example in zip(plain, spelled, strict=True):
        units, tokens = example.units.astype(np.uint32), example.tokens
        assert (vocabulary.expand(units) == vocabulary.expand(whole.units.astype(np.uint32))).all()
        assert (tokens == whole.tokens).all()
        own = units < vocabulary.base_size
        assert (example.units[own & example.begins] == tokens[example.starts[own & example.begins]]).all()
        assert set(whole.starts[whole.supervised]) >= set(
            example.starts[example.supervised[example.units[example.supervised] >= vocabulary.base_size]]
        )
        agents = whole.units[whole.supervised]
        counts["latents"] += (agents >= vocabulary.base_size).sum()
        counts["kept"] += (example.units[example.supervised] >= vocabulary.base_size).sum()
        # Every token of the agent's is learnt, but for the first of each latent that is spelled out.
        lost = set(whole.starts[whole.supervised]) - set(example.starts[example.supervised])
        counts["spelled"] += len(lost)
    assert counts["kept"] + counts["spelled"] == counts["latents"]
    assert 0.3 < counts["kept"] / counts["latents"] < 0.7


def test_latent_dropout_spells_no_latent_of_another_speaker(vocabulary, tokenizer):
    """Users quote the agent. Each conversation is one window, so all of the latents of the agent count."""
    runs = toy.trajectories(6)
    for run in runs:
        run.messages[0]["content"] = run.messages[1]["content"]
    corpus = Corpus.build(runs, tokenizer)
    counts = []
    for share in (0.0, 1.0):
        examples = list(Examples(corpus, vocabulary, 512, latent_dropout=share))
        agents = sum((e.units[e.supervised] >= vocabulary.base_size).sum() for e in examples)
        others = sum((e.units >= vocabulary.base_size).sum() for e in examples) - agents
        counts.append((agents, others))
    (before, quoted), after = counts
    assert before > 0 < quoted
    assert after == (0, quoted)


def test_the_digest_is_that_of_the_text_the_windows_and_the_latents(corpus, vocabulary, tokenizer, tmp_path):
    def digest(corpus, vocabulary=vocabulary, max_length=64):
        return Examples(corpus, vocabulary, max_length).digest()

    own = digest(corpus)
    assert digest(tiny.copy(corpus, tmp_path / "moved")) == own
    assert digest(corpus, max_length=48) != own
    assert digest(corpus, replace(vocabulary, latents=vocabulary.latents[:-1])) != own
    table = corpus.to_arrow()
    tokens = table["tokens"].to_pylist()
    tokens[7][-3] += 1  # another text of the same lengths and speakers
    changed = table.set_column(table.schema.get_field_index("tokens"), "tokens", [tokens])
    assert digest(Corpus.from_arrow(table, tokenizer)) == own
    assert digest(Corpus.from_arrow(changed, tokenizer)) != own


def test_latent_dropout_is_drawn_by_seed_and_epoch(corpus, vocabulary):
    def units(seed, epoch):
        examples = Examples(corpus, vocabulary, 256, latent_dropout=0.5, seed=seed)
        examples.set_epoch(epoch)
        return np.concatenate([example.units for example in examples]).tolist()

    assert units(1, 1) == units(1, 1)
    assert len({tuple(units(*drawn)) for drawn in ((1, 0), (1, 1), (2, 0))}) == 3


def test_the_trainer_draws_anew_in_each_epoch(corpus, vocabulary):
    data = PackedExamples(Examples(corpus, vocabulary, 256, latent_dropout=0.5), 256)
    loader = Accelerator(cpu=True).prepare(DataLoader(data, collate_fn=lambda rows: rows[0]))
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        epochs.append([row["units"].tolist() for row in loader])
    assert epochs[0] != epochs[1]


def test_examples_of_a_selection_are_those_of_its_conversations(corpus, vocabulary):
    train, held_out = corpus.split(0.3)
    whole = Counter(example.units.tobytes() for example in Examples(corpus, vocabulary, 64))
    parts = [Counter(e.units.tobytes() for e in Examples(part, vocabulary, 64)) for part in (train, held_out)]
    assert parts[0] + parts[1] == whole
    assert all(parts)


def test_a_corpus_built_anew_in_the_same_folder_gives_its_own_examples(tokenizer, tmp_path):
    """Examples of the corpus that was there before stay the same."""

    def build(first):
        shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
        return Corpus.build(toy.trajectories(4, first=first), tokenizer, tmp_path / "corpus")

    def texts(examples):
        return {tokenizer.decode(example.tokens) for example in examples}

    before = build(first=0)
    examples = Examples(before, tiny.no_latents(before), 512)
    expected = texts(examples)
    after = build(first=100)
    found = texts(Examples(after, tiny.no_latents(after), 512))
    assert found == {
        tokenizer.decode(shard.tokens[begin:end]).rstrip("\n")
        for shard in after.shards()
        for begin, end in pairwise(shard.offsets)
    }
    assert found.isdisjoint(expected)
    assert texts(examples) == expected


def test_a_pack_gives_the_hidden_states_of_its_examples_alone(corpus, vocabulary):
    group = list(Examples(corpus, tiny.no_latents(corpus), 512))[:3]
    model = tiny.model(vocabulary.base_size)
    batch = pack(group)
    with torch.no_grad():
        together = hidden_states(model, batch["tokens"], batch["token_positions"])[0, batch["teacher_at"]]
        alone = torch.cat(
            [
                hidden_states(model, torch.from_numpy(e.tokens)[None])[0, e.starts[e.supervised] - 1]
                for e in group
            ]
        )
    assert torch.allclose(together, alone, atol=1e-5)
    assert batch["labels"].tolist() == [t for e in group for t in e.tokens[e.supervised]]


def test_rows_hold_every_example_once_within_the_budget(corpus, vocabulary):
    source = Examples(corpus, vocabulary, 512)
    data = PackedExamples(source, 300, seed=3)
    assert sorted(index for row in data.rows for index in row) == list(range(len(source)))
    assert all(sum(len(source[i].tokens) for i in row) <= 300 for row in data.rows if len(row) > 1)
    assert data.rows == PackedExamples(source, 300, seed=3).rows
    assert data.rows != PackedExamples(source, 300, seed=4).rows


def test_nothing_to_learn_from_is_an_error(corpus, vocabulary):
    with pytest.raises(CorpusError, match="no text of the agent"):
        PackedExamples(Examples(corpus.select(lambda _: False), vocabulary, 64), 100)
