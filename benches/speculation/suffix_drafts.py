"""Drafts for speculative decoding from suffix trees, and how much of a draft a model would accept.

One suffix tree holds the conversation so far, another holds earlier responses. A draft is a tree of tokens:
`tokens[i]` follows `tokens[parents[i]]`, or comes first where the parent is ROOT. A model verifies the whole
draft in one forward pass.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from benches.speculation.suffix_tree import Node, SuffixTree

ROOT = -1


class Matches(NamedTuple):
    """A suffix tree with the nodes of all suffixes of the context, by length from 0 (the tree's root)."""

    tree: SuffixTree
    nodes: list[Node]

    def after(self, token: int) -> "Matches":
        """The matches after one more token."""
        return Matches(self.tree, self.tree.follow(self.nodes, token))


@dataclass
class Draft:
    """Tokens with the index of each one's parent. score: expected number of accepted tokens."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    score: float = 0.0

    def add(self, token: int, parent: int, probability: float) -> int:
        """Add `token` after `parent`, and return its index."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.score += probability
        return len(self.tokens) - 1

    def accepted(self, truth: Sequence[int], start: int) -> int:
        """The length of the draft's longest path that equals `truth` from `start` on."""
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
    """Makes drafts of at most `limit` tokens; this base class makes empty ones."""

    limit: int

    def draft(self, trees: Sequence[Matches]) -> Draft:  # noqa: ARG002
        """A draft of the next tokens."""
        return Draft()


@dataclass(frozen=True)
class SuffixDrafter(Drafter):
    """Suffix decoding as published: the best-scoring draft of one tree and one match length.

    Probabilities are relative counts in that tree. Tokens less probable than `least` are left out, and a
    match of n tokens gives at most `factor` * n tokens.
    """

    least: float = 0.1
    factor: int = 1

    def draft(self, trees: Sequence[Matches]) -> Draft:
        """The draft with the highest score of all trees and match lengths."""
        best = Draft()
        for tree, nodes in trees:
            followed = 0
            for node in reversed(nodes[1:]):
                if node.followed > followed:  # otherwise it has the same occurrences as the longer match
                    best = max(best, self.draft_from(tree, node), key=lambda draft: draft.score)
                followed = node.followed
        return best

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The draft from one match."""
        raise NotImplementedError


class PathDrafter(SuffixDrafter):
    """Drafts the greedy path: always the most frequent next token."""

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The path below `node`."""
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
    """Drafts the most probable tokens below the match, in all branches."""

    least: float = 0.02
    factor: int = 4

    def draft_from(self, tree: SuffixTree, node: Node) -> Draft:
        """The most probable tokens of the tree below `node`."""
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
    """Drafts the most probable tree under all suffix trees and match lengths together.

    The next token's probability is interpolated absolute discounting: counts at the longest match, each minus
    `discount`; the freed probability goes to the next shorter match that occurs more often, for at most
    `orders` matches. The trees' counts are summed, with weight `weights[i]` for tree i.
    """

    least: float = 0.02
    discount: float = 0.5
    orders: int = 2
    weights: tuple[float, ...] = (3.0, 1.0)  # text of this conversation recurs more than that of others

    def draft(self, trees: Sequence[Matches]) -> Draft:
        """The most probable tree of tokens."""
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
        """The probability of each next token that follows some match; they sum to at most 1."""
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
        """Share the probability `left` among the followers of the matches of one length; return the rest."""
        counts: dict[int, float] = {}
        for tree, node, weight in here:
            for token, child in tree.children(node).items():
                counts[token] = counts.get(token, 0.0) + weight * child.count
        unit = left / sum(counts.values())
        for token, counted in counts.items():
            found[token] = found.get(token, 0.0) + unit * (counted - self.discount)
        return unit * self.discount * len(counts)
