"""The bench of suffix decoding: exact counts, drafts of strings that occur, acceptance by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benches.speculation.suffix_decoding import EARLIER, Conversation, conversations, drafter, first, simulate
from benches.speculation.suffix_drafts import ROOT, BlendDrafter, Draft, Matches
from benches.speculation.suffix_tree import SuffixTree

DEPTH = 5
KINDS = ["none", "path", "tree", "blend"]

token = st.integers(0, 2)
sequence = st.lists(token, max_size=12)
sequences = st.lists(sequence, min_size=1, max_size=4)
string = st.lists(token, max_size=DEPTH - 1)


def occurrences(texts, wanted):
    """The number of occurrences of a string in some sequences."""
    ends = [range(len(text) - len(wanted) + 1) for text in texts]
    return sum(
        text[start : start + len(wanted)] == wanted
        for text, starts in zip(texts, ends, strict=True)
        for start in starts
    )


def tree_of(texts):
    tree = SuffixTree(DEPTH)
    for text in texts:
        tree.extend(text)
        tree.end()
    return tree


def suffixes(tokens):
    """All suffixes except the empty one."""
    return [tokens[start:] for start in range(len(tokens))]


def paths(draft):
    """For each token of a draft, the path that ends with it."""
    found = []
    for written, parent in zip(draft.tokens, draft.parents, strict=True):
        found.append([*(found[parent] if parent != ROOT else []), written])
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(sequence, string), min_size=1, max_size=5))
def test_counts_are_exact_at_any_time(steps):
    tree, texts = SuffixTree(DEPTH), []
    for text, wanted in steps:
        texts.append([])
        for written in text:
            tree.append(written)
            texts[-1].append(written)
            node = tree.find(wanted)
            counted = occurrences(texts, wanted)
            assert counted == 0 if node is None else wanted == [] or node.count == counted
            if node is not None:
                following = {one: child.count for one, child in tree.children(node).items()}
                expected = {one: occurrences(texts, [*wanted, one]) for one in range(3)}
                assert following == {one: number for one, number in expected.items() if number}
                assert node.followed == sum(following.values())
        tree.end()


@settings(deadline=None, max_examples=60)
@given(sequences, sequence, token)
def test_matches_are_all_suffixes_that_a_token_follows(texts, context, written):
    tree = tree_of(texts)
    for ahead in (context, [*context, written]):
        ends = [ahead[len(ahead) - length :] for length in range(1, min(DEPTH, len(ahead) + 1))]
        followed = [any(occurrences(texts, [*end, one]) for one in range(3)) for end in ends]
        assert [node.depth for node in tree.matches(ahead)] == list(range(1 + sum(followed)))
    assert tree.follow(tree.matches(context), written) == tree.matches([*context, written])


@settings(deadline=None, max_examples=60)
@given(sequences, sequences, sequence, st.sampled_from(KINDS), st.integers(0, 8))
def test_drafts_are_within_their_limit_and_continue_strings_that_occur(own, others, context, kind, limit):
    trees = [Matches(tree, tree.matches(context)) for tree in (tree_of(own), tree_of(others))]
    draft = drafter(f"{kind}:{limit}").draft(trees)
    written = paths(draft)
    assert len(written) <= limit
    assert len({tuple(path) for path in written}) == len(written)
    for path in written:
        # Blended drafts may switch to a shorter match on the way; the others extend one match.
        ends = suffixes([*context, *path[:-1]]) if kind == "blend" else suffixes(context)
        rest = path[-1:] if kind == "blend" else path
        assert any(occurrences(own + others, [*end, *rest]) for end in ends)


@settings(deadline=None, max_examples=60)
@given(sequence.filter(bool))
def test_a_path_follows_the_most_frequent_token(text):
    tree = tree_of([text])
    draft = drafter("path:1").draft([Matches(tree, tree.matches(text[:1]))])
    counts = [occurrences([text], [text[0], one]) for one in range(3)]
    assert [counts[one] for one in draft.tokens] == ([max(counts)] if max(counts) else [])


@settings(deadline=None, max_examples=60)
@given(sequences, sequences, sequence)
def test_blended_probabilities_are_positive_and_sum_to_at_most_one(own, others, context):
    trees = [Matches(tree, tree.matches(context)) for tree in (tree_of(own), tree_of(others))]
    shares = BlendDrafter(8).probabilities(trees)
    assert all(share > 0 for share in shares.values())
    assert sum(shares.values()) <= 1 + 1e-9


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_is_accepted_is_the_longest_path_that_agrees(data):
    draft = Draft()
    for _ in range(data.draw(st.integers(0, 8))):
        parent, written = data.draw(st.integers(ROOT, len(draft.tokens) - 1)), data.draw(token)
        if (parent, written) not in zip(draft.parents, draft.tokens, strict=True):
            draft.add(written, parent, 0.5)
    truth, start = data.draw(sequence), data.draw(st.integers(0, 3))
    agreeing = [len(path) for path in paths(draft) if truth[start : start + len(path)] == path]
    assert draft.accepted(truth, start) == max(agreeing, default=0)


def conversation_of(number, units):
    """Two turns of the agent, with one unit before each."""
    middle = len(units) // 2
    turns = [(1, 1 + middle), (2 + middle, 2 + len(units))]
    ids = [7, *units[:middle], 8, *units[middle:]]
    return Conversation(f"run {number}", f"task {number // 2}", ids, np.ones(len(ids), dtype=np.int64), turns)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(token, min_size=2, max_size=12), min_size=1, max_size=6), st.sampled_from(list(EARLIER))
)
def test_each_pass_gives_what_is_accepted_and_one_unit_more(texts, arriving):
    found = [conversation_of(number, units) for number, units in enumerate(texts)]
    earlier, unseen = found[:1], found[1:]
    names = [f"{kind}:6" for kind in KINDS]
    counts = simulate(earlier, unseen, {name: drafter(name) for name in names}, arriving)
    for name in names:
        count = counts[name]
        assert count.units == sum(map(len, texts[1:]))
        # The last pass of a turn adds no unit where the draft contained the turn's end.
        assert 0 <= count.passes + count.accepted - count.units <= count.turns == 2 * len(unseen)
        assert counts[name] == simulate(earlier, unseen, {name: drafter(name)}, arriving)[name]
    assert counts["none:6"].passes == counts["none:6"].units


def test_earlier_attempts_at_a_task_shorten_later_ones():
    runs = [conversation_of(number, [0, 1, 2, 1, 0, 0, 2, 2]) for number in range(4)]
    passes = {
        arriving: simulate([], runs, {"path": drafter("path:8")}, arriving)["path"].passes
        for arriving in EARLIER
    }
    assert passes["tasks"] > passes["attempts"]


def test_attempts_at_a_task_stand_together_and_end_with_the_tokens_asked_for():
    runs = [conversation_of(number, [0, 1, 2]) for number in (0, 2, 1, 3)]
    assert [one.id for one in first(runs, 100)] == ["run 0", "run 1", "run 2", "run 3"]
    assert [one.id for one in first(runs, 4)] == ["run 0", "run 1"]


def test_units_of_a_corpus_stand_for_its_tokens(corpus, vocabulary):
    plain, shorter = list(conversations(corpus, None)), list(conversations(corpus, vocabulary))
    for base, units in zip(plain, shorter, strict=True):
        assert vocabulary.expand(units.units).tolist() == base.units
        assert [len(vocabulary.expand([unit])) for unit in units.units] == units.sizes.tolist()
        assert len(units.turns) == len(base.turns)
        for (start, end), (base_start, base_end) in zip(units.turns, base.turns, strict=True):
            assert units.sizes[:start].sum() == base_start
            assert units.sizes[:end].sum() == base_end


@pytest.mark.parametrize("name", ["path", "path:", "path:x", "river:3"])
def test_a_draft_that_is_none_is_refused(name):
    with pytest.raises(SystemExit, match="kind:size"):
        drafter(name)
