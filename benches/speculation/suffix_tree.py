"""A suffix tree with counts that grows token by token; suffix decoding drafts from it.

A node stands for one string of at most `depth` tokens that occurs in the text, and its `count` is exact. The
tree is lazy: a node's children are made when they are first read, from the places at which the node's string
ends. So the cost depends on the nodes that are read, even for a text of millions of tokens.
"""

from collections.abc import Iterable

NO_TOKEN = -1  # separates sequences; no string crosses it


class Node:
    """A string of the text with its counts and its continuations.

    count: number of occurrences. followed: number of occurrences that a token follows. places: the positions
    of those tokens in the text, until the children are made.
    """

    __slots__ = ("best", "children", "count", "depth", "followed", "places")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.count = 0
        self.followed = 0
        self.places: list[int] = []
        self.children: dict[int, Node] | None = None
        self.best: tuple[int, Node] | None = None


class SuffixTree:
    """All strings of at most `depth` tokens of some sequences; the last sequence may still grow."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.root = Node(0)
        self._text: list[int] = []
        self._open: list[Node] = []  # the existing nodes, without the root, whose string ends the text

    def append(self, token: int) -> None:
        """Append a token to the last sequence."""
        still_open = []
        for node in (self.root, *self._open):
            node.followed += 1
            if node.children is None:
                node.places.append(len(self._text))
                continue
            child = _count_child(node, node.children, token)
            if child.depth < self.depth:
                still_open.append(child)
        self._open = still_open
        self._text.append(token)

    def extend(self, tokens: Iterable[int]) -> None:
        """Append tokens to the last sequence."""
        for token in tokens:
            self.append(token)

    def end(self) -> None:
        """End the last sequence; the next token begins another one."""
        self._text.append(NO_TOKEN)
        self._open = []

    def children(self, node: Node) -> dict[int, Node]:
        """Each token that follows the node's string, with the node of the longer string."""
        if node.children is None:
            node.children = {}
            self._make_children(node, node.children)
            node.places = []
        return node.children

    def _make_children(self, node: Node, children: dict[int, Node]) -> None:
        """Make the children from the node's places. This loop takes most of the time."""
        text, below, most = self._text, node.depth + 1, 0
        ends = below == self.depth
        for place in node.places:
            token = text[place]
            child = children.get(token)
            if child is None:
                child = children[token] = Node(below)
            child.count += 1
            if child.count > most:
                most, node.best = child.count, (token, child)
            if ends:
                continue
            if place + 1 == len(text):
                self._open.append(child)
            elif text[place + 1] != NO_TOKEN:
                child.places.append(place + 1)
                child.followed += 1

    def likeliest(self, node: Node) -> tuple[int, Node] | None:
        """The most frequent next token and its node; among equals, the first to reach that count."""
        self.children(node)
        return node.best

    def matches(self, context: list[int]) -> list[Node]:
        """The root and the nodes of all suffixes of `context` that a token follows, the shortest first."""
        found = [self.root]
        for length in range(1, min(self.depth, len(context) + 1)):
            node = self.find(context[len(context) - length :])
            if node is None or not node.followed:
                break
            found.append(node)
        return found

    def find(self, string: list[int]) -> Node | None:
        """The node of a string; None where it does not occur or is too long."""
        node: Node | None = self.root
        for token in string:
            if node is None:
                return None
            node = self.children(node).get(token) if node.followed else None
        return node

    def follow(self, matches: list[Node], token: int) -> list[Node]:
        """The matches after `token`, from the matches before it."""
        longer = [self.root]
        for node in matches:
            child = self.children(node).get(token)
            if child is None or not child.followed:
                break
            longer.append(child)
        return longer


def _count_child(node: Node, children: dict[int, Node], token: int) -> Node:
    """Count `token` after the node's string, and return its child."""
    child = children.get(token)
    if child is None:
        child = children[token] = Node(node.depth + 1)
    child.count += 1
    if node.best is None or child.count > node.best[1].count:
        node.best = token, child
    return child
