"""The generator of large corpora: reproducible, with the structure and the short stretches of real ones."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.mining.scale import extrapolate
from benches.resampling.agent_turns import AgentTurns, Trajectories, ends, load_turns
from benches.resampling.atoms import TokenShapes, cut_into_atoms
from benches.resampling.hashing import distinct, pieces
from benches.resampling.resampler import Resampler, ResamplingOptions
from benches.resampling.splices import Splicer
from benches.resampling.values import Values, write

# Ids 0 to 9 are digits, 10 to 29 begin words, 30 to 39 continue them; 40 to 49 are punctuation, 50 ends
# turns.
END = 50
IDS = np.arange(END + 1)
SHAPES = TokenShapes(
    digit=IDS < 10,
    letters=(IDS >= 30) & (IDS < 40),
    word=(IDS >= 10) & (IDS < 40),
    shape=np.where((IDS >= 10) & (IDS < 30), 4 * ord(" "), 0).astype(np.uint32),
    size=np.where(IDS < 10, 1, 3),
    digits=IDS[:10].astype(np.uint32),
)

turn = st.lists(st.integers(0, END - 1), max_size=12).map(lambda tokens: [*tokens, END])
trajectory = st.tuples(st.integers(0, 4), st.lists(turn, min_size=1, max_size=4))
trajectories = st.lists(trajectory, min_size=1, max_size=8).map(
    lambda found: sorted(found, key=lambda one: one[0])
)


def agent_turns(found):
    """Trajectories as (task, turns), ordered by task."""
    turns = [tokens for _, of_one in found for tokens in of_one]
    tasks = [task for task, _ in found]
    return AgentTurns(
        tokens=np.concatenate(turns).astype(np.uint32),
        turns=ends(np.array([len(tokens) for tokens in turns])),
        trajectories=ends(np.array([len(of_one) for _, of_one in found])),
        tasks=np.unique(tasks, return_inverse=True)[1].astype(np.uint32),
        corpora=np.zeros(len(found), dtype=np.uint32),
    )


def random_turns(seed, number=60, tasks=20):
    """Turns in which a few words and numbers recur."""
    chance = np.random.default_rng(seed)
    found = [
        (task, [[*chance.integers(0, END, size=chance.integers(1, 30)), END] for _ in range(3)])
        for task in sorted(chance.integers(0, tasks, size=number).tolist())
    ]
    return agent_turns(found)


def resampler(real, **options):
    return Resampler(real, SHAPES, ResamplingOptions(shard_tokens=500, **options))


def as_lists(corpus):
    return corpus.tokens.tolist(), corpus.offsets.tolist(), corpus.tasks.tolist()


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 5)), max_size=9))
def test_pieces_are_ranges_end_to_end(parts):
    starts, lengths = np.array(parts, dtype=np.int64).reshape(-1, 2).T
    expected = [place for start, length in parts for place in range(start, start + length)]
    assert pieces(starts, lengths).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_distinct_keeps_each_tuple_once(pairs):
    kept = [pairs[place] for place in distinct(*np.array(pairs).T)]
    assert sorted(kept) == sorted(set(pairs))


@given(trajectories)
def test_atoms_are_whole_words_whole_numbers_and_single_tokens(found):
    real = agent_turns(found)
    atoms = cut_into_atoms(real, SHAPES, 0.1)
    expected = []
    for turn_start, turn_end in pairwise(real.turns.tolist()):
        for place in range(turn_start, turn_end):
            token, before = real.tokens[place], real.tokens[place - 1]
            in_word = 30 <= token < 40 and 10 <= before < 40
            in_number = token < 10 and before < 10
            if place == turn_start or not (in_word or in_number):
                expected.append(place)
    assert atoms.starts[:-1].tolist() == expected


@given(trajectories)
def test_without_jumps_turns_are_the_real_ones(found):
    real = agent_turns(found)
    atoms = cut_into_atoms(real, SHAPES, 0.1)
    turns = np.arange(len(real.turns) - 1)
    walked = Splicer(atoms, jump=0.0, orders={2: 1.0}).walk(turns, turns.astype(np.uint64))
    assert pieces(walked.start, walked.length).tolist() == list(range(len(atoms.content)))


@given(trajectories, st.integers(1, 3), st.integers(0, 2**63))
def test_every_stretch_of_order_plus_one_atoms_is_real(found, order, seed):
    real = agent_turns(found)
    atoms = cut_into_atoms(real, SHAPES, 0.1)
    symbols, bounds = atoms.symbols.tolist(), atoms.turns.tolist()

    def stretches(turn_symbols):
        padded = [None] * order + turn_symbols
        return {tuple(padded[place : place + order + 1]) for place in range(len(turn_symbols))}

    known = set().union(*(stretches(symbols[a:b]) for a, b in pairwise(bounds)))
    turns = np.arange(len(real.turns) - 1)
    keys = np.full(len(turns), seed, dtype=np.uint64)
    walked = Splicer(atoms, jump=0.7, orders={order: 1.0}).walk(turns, keys)
    walked_atoms = pieces(walked.start, walked.length)
    of_turn = np.repeat(walked.turn, walked.length)
    for number in turns.tolist():
        spliced = [symbols[atom] for atom in walked_atoms[of_turn == number]]
        assert stretches(spliced) <= known


def test_equal_values_stay_equal_within_a_task_and_numbers_keep_their_length():
    real = random_turns(0)
    atoms = cut_into_atoms(real, SHAPES, 0.3)
    values = Values.of(atoms)
    chosen = np.flatnonzero(values.value_of >= 0)
    assert len(np.unique(values.value_of[chosen])) < len(chosen)
    tokens, sizes = write(atoms, values, SHAPES.digits, chosen, np.full(len(chosen), 7, dtype=np.uint64))
    bounds, written = ends(sizes), {}
    for place, atom in enumerate(chosen.tolist()):
        new = tokens[bounds[place] : bounds[place + 1]].tolist()
        assert written.setdefault(values.value_of[atom], new) == new
        assert not atoms.number[atom] or (len(new) == atoms.lengths[atom] and max(new) < 10)
    other, _ = write(atoms, values, SHAPES.digits, chosen, np.full(len(chosen), 8, dtype=np.uint64))
    assert other.tolist() != tokens.tolist()


def test_what_is_no_value_is_written_as_it_stands():
    real = random_turns(1)
    atoms = cut_into_atoms(real, SHAPES, 0.3)
    values = Values.of(atoms)
    chosen = np.flatnonzero(values.value_of < 0)
    tokens, _ = write(atoms, values, SHAPES.digits, chosen, np.zeros(len(chosen), dtype=np.uint64))
    assert tokens.tolist() == real.tokens[pieces(atoms.starts[chosen], atoms.lengths[chosen])].tolist()


def test_a_shard_depends_on_the_seed_and_its_number_alone():
    real = random_turns(2)
    one, other = resampler(real, seed=3), resampler(real, seed=3)
    backwards = [as_lists(other.shard(number)) for number in (2, 1, 0)]
    assert [as_lists(one.shard(number)) for number in range(3)] == backwards[::-1]
    assert as_lists(resampler(real, seed=4).shard(0)) != backwards[-1]


def test_tasks_have_the_shape_of_real_ones_and_a_shard_of_their_own():
    real = random_turns(3)
    turns_of = np.diff(real.trajectories)
    known = {tuple(turns_of[real.tasks == task]) for task in np.unique(real.tasks)}
    seen = set()
    for number in range(3):
        shard = resampler(real).shard(number)
        turns = np.add.reduceat(shard.tokens == END, shard.offsets[:-1])
        tasks = np.unique(shard.tasks).tolist()
        assert {tuple(turns[shard.tasks == task]) for task in tasks} <= known
        assert not seen & set(tasks)
        seen |= set(tasks)


@pytest.mark.parametrize("tokens", [1, 400, 3000])
def test_a_corpus_has_the_requested_tokens_except_a_part_of_a_trajectory(tokens):
    source = resampler(random_turns(4))
    corpus = source.corpus(tokens)
    longest = int(np.diff(source.corpus(10_000).offsets).max())
    assert len(corpus.tokens) <= max(tokens, longest)
    assert len(corpus.tokens) > tokens - longest
    assert corpus.offsets[-1] == len(corpus.tokens)
    assert len(corpus.tasks) == len(corpus.offsets) - 1


def test_turns_without_a_value_can_be_resampled():
    real = agent_turns([(0, [[40, 41, 42, END]]), (1, [[41, 42, 43, END]])])
    assert set(resampler(real).corpus(500).tokens.tolist()) <= {40, 41, 42, 43, END}


def test_a_split_keeps_every_trajectory_whole():
    corpus = Trajectories(
        np.arange(6, dtype=np.uint32), np.array([0, 1, 3, 6]), np.array([0, 1, 2], dtype=np.uint32)
    )
    first, second = corpus.split(np.array([True, False, True]))
    assert as_lists(first) == ([0, 3, 4, 5], [0, 1, 4], [0, 2])
    assert as_lists(second) == ([1, 2], [0, 2], [1])


def test_a_straight_line_is_extrapolated_exactly():
    points = [(10_000_000, 99.0), *((tokens, 1 + tokens / 1e8) for tokens in (30_000_000, 10**8, 3 * 10**8))]
    found = extrapolate(points)
    assert found["extrapolated"] == pytest.approx(11)
    assert found["residuals"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert extrapolate(points[:2]) is None


def test_real_trajectories_are_read_turn_by_turn(shared, tmp_path):
    from lar.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(shared / "tokenizers" / "qwen3")
    names = ["swe_agent_demos", "toolbench_example"]
    real = load_turns(shared / "data", names, tokenizer, tmp_path)
    assert (real.tokens[real.turns[1:] - 1] == tokenizer.encode("<|im_end|>")[0]).mean() > 0.99
    assert (np.diff(real.tasks.astype(int)) >= 0).all()
    again = load_turns(shared / "data", names, tokenizer, tmp_path)
    assert again.tokens.tolist() == real.tokens.tolist()
    made = Resampler(real, TokenShapes.of(tokenizer), ResamplingOptions()).corpus(50_000)
    assert 40_000 < len(made.tokens) <= 50_000
