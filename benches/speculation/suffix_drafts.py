"""Drafts for speculative decoding out of suffix trees, and how much of one a model would accept.

The suffix trees are that of the conversation so far and that of earlier responses. A draft is a tree of
tokens: `tokens[i]` is written after `tokens[parents[i]]`, or first where the parent is ROOT. A model verifies
all of it in one forward pass.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from benches.speculation.suffix_tree import Node, SuffixTree

ROOT = -1


class Matches(NamedTuple):
    """A suffix tree with the nodes of all ends of the context, by their length from 0 (the tree's root)."""

    tree: SuffixTree
    nodes: list[Node]

    def after(self, token: int) -> "Matches":
        """The matches of the context with one more token."""
        return Matches(self.tree, self.tree.follow(self.nodes, token))


@dataclass
class Draft:
    """Tokens with the index of the one before each; score is how many are expected to be accepted."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    score: float = 0.0

    def add(self, token: int, parent: int, probability: float) -> int:
        """Write `token` after `parent`; its index."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.score += probability
        return len(self.tokens) - 1

    def accepted(self, truth: Sequence[int], start: int) -> int:
        """Length of the draft's longest path that is what `truth` says from `start` on."""
        index = {place: number for number, place in enumerate(zip(self.parents, self.tokens, strict=True))}
        parent, length = ROOT, 0
        while start + length < len(truth):
            parent = index.get((parent, truth[start + length]), ROOT)
            if parent == ROOT:
                break
            length += 1
        return length


@dataclass(frozen=True)
class Drafter:
    """Makes drafts of at most `limit` tokens; this one makes none."""

    limit: int

    def draft(self, trees: Sequence[Matches]) -> Draft:  # noqa: ARG002
        """A draft of what comes next."""
        return Draft()


@dataclass(frozen=True)
class SuffixDrafter(Drafter):
    """Suffix decoding as published: one tree and one match length give the draft, those that score best.

    Probabilities are counts in that tree; what is less probable than `least` is left out, and a match of n
    tokens gives at most `factor` * n.
    """

    least: float = 0.1
    factor: int = 1

    def draft(self, trees: Sequence[Matches]) -> Draft:
        """The draft with the highest score of all trees and match lengths."""
        best = Draft()
        for tree, nodes in trees:
            followed = 0
            for node in reversed(nodes[1:]):
                if node.followed > followed:  # the same occurrences give no more than the longer match did
                    best = max(best, self.draft_from(tree, node), key=lambda draft: draft.score)
                followed = node.followed
        return best

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The draft from one match."""
        raise NotImplementedError


class PathDrafter(SuffixDrafter):
    """The greedy path: each time the most frequent next token."""

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The path from `node` down."""
        draft, probability = Draft(), 1.0
        limit = min(self.limit, self.factor * node.depth)
        while len(draft.tokens) < limit and (likeliest := tree.likeliest(node)):
            token, child = likeliest
            probability *= child.count / node.followed
            if probability < self.least:
                break
            draft.add(token, len(draft.tokens) - 1, probability)
            node = child
        return draft


@dataclass(frozen=True)
class TreeDrafter(SuffixDrafter):
    """The most probable tokens below the match, whatever their branch."""

    least: float = 0.02
    factor: int = 4

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The tree below `node`, best first."""
        draft, order = Draft(), count()
        queue: list[tuple[float, int, int, int, Node]] = []

        def offer(parent: int, node: Node, probability: float) -> None:
            for token, child in tree.children(node).items():
                likely = probability * child.count / node.followed
                if likely >= self.least:
                    heapq.heappush(queue, (-likely, next(order), parent, token, child))

        offer(ROOT, node, 1.0)
        while queue and len(draft.tokens) < min(self.limit, self.factor * node.depth):
            likely, _, parent, token, child = heapq.heappop(queue)
            offer(draft.add(token, parent, -likely), child, -likely)
        return draft


@dataclass(frozen=True)
class BlendDrafter(Drafter):
    """The most probable tree under all suffix trees and match lengths together.

    The next token's probability is interpolated absolute discounting: counts at the longest match, less
    `discount` each, and what that frees goes to the next shorter match that occurs more often, `orders` of
    them at most. The trees' counts are added up, those of tree i times `weights[i]`.
    """

    least: float = 0.02
    discount: float = 0.5
    orders: int = 2
    weights: tuple[float, ...] = (3.0, 1.0)  # what this conversation says recurs more than what others say

    def draft(self, trees: Sequence[Matches]) -> Draft:
        """The tree, best first."""
        draft, order = Draft(), count()
        queue: list[tuple[float, int, int, int, Sequence[Matches]]] = []

        def offer(parent: int, trees: Sequence[Matches], probability: float) -> None:
            for token, share in self.probabilities(trees).items():
                if probability * share >= self.least:
                    entry = (-probability * share, next(order), parent, token, trees)
                    heapq.heappush(queue, entry)

        offer(ROOT, trees, 1.0)
        while queue and len(draft.tokens) < self.limit:
            likely, _, parent, token, before = heapq.heappop(queue)
            index = draft.add(token, parent, -likely)
            if len(draft.tokens) < self.limit:
                offer(index, [matches.after(token) for matches in before], -likely)
        return draft

    def probabilities(self, trees: Sequence[Matches]) -> dict[int, float]:
        """Each next token that some match has seen, with its probability; they sum to at most 1."""
        found: dict[int, float] = {}
        left, orders, followed = 1.0, 0, 0
        for length in range(max(len(nodes) for _, nodes in trees) - 1, 0, -1):
            here = [
                (tree, nodes[length], weight)
                for (tree, nodes), weight in zip(trees, self.weights, strict=True)
                if length < len(nodes)
            ]
            occurrences = sum(node.followed for _, node, _ in here)
            if occurrences == followed:
                continue
            followed = occurrences
            left = self._share_out(left, here, found)
            orders += 1
            if orders == self.orders or left < self.least:
                break
        return found

    def _share_out(
        self, left: float, here: list[tuple[SuffixTree, Node, float]], found: dict[int, float]
    ) -> float:
        """Give the probability `left` to what follows the matches of one length; what remains of it."""
        counts: dict[int, float] = {}
        for tree, node, weight in here:
            for token, child in tree.children(node).items():
                counts[token] = counts.get(token, 0.0) + weight * child.count
        unit = left / sum(counts.values())
        for token, counted in counts.items():
            found[token] = found.get(token, 0.0) + unit * (counted - self.discount)
        return unit * self.discount * len(counts)
