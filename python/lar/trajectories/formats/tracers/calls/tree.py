"""The calls of one trace: which of them were recorded twice, and which the trace's success is about."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from lar.trajectories.draft import Draft, has_content
from lar.trajectories.formats.tracers.calls.call import key_of
from lar.trajectories.schema import Message, Tool


@dataclass(frozen=True, slots=True)
class Node:
    """A span in the tree of its trace: with its draft where it is a call, else with an agent's tools."""

    id: str | None
    parent: str | None
    draft: Draft | None
    tools: list[Tool] | None = None

    @property
    def call(self) -> Draft | None:
        """The draft of a call with content."""
        return self.draft if self.draft is not None and has_content(self.draft) else None

    @property
    def is_answered(self) -> bool:
        """Whether it is a call whose answer is in the log."""
        return self.call is not None and not self.call.is_unanswered


def calls_of_trace(nodes: Iterable[Node], success: bool | None = None) -> list[Draft]:
    """Return the trajectories of a trace's calls.

    A call inside a call with the same answer is the same call, seen by the framework and by the provider's
    client: the one with more messages is kept, of equal ones the outer. Success (that of a call, else
    `success`, that of the trace) is about the end of a conversation, so a call that another goes on from has
    none. A call without tools has those of the call that it goes on from, else those of the agent around it.
    """
    tree = _Tree(nodes)
    calls, unanswered = tree.distinct(), tree.unanswered()
    links = [_digests(draft) for _, draft in calls]
    finished = []
    for (node, draft), own in zip(calls, links, strict=True):
        tools = [other.tools for (_, other), start in zip(calls, links, strict=True) if _goes_on(own, start)]
        tools = [draft.tools, *reversed(tools), *(outer.tools for outer in tree.around(node))]
        is_end = not any(_goes_on(other, own) for other in links)
        judged = success if draft.success is None else draft.success
        offered = next(filter(None, tools), None)
        draft = replace(draft, is_unanswered=id(node) in unanswered)
        finished.append(replace(draft, success=judged if is_end else None, tools=offered))
    return finished


def calls_without_content(nodes: Iterable[Node]) -> list[Draft]:
    """Return the calls whose content is nowhere: neither theirs nor that of a call around or within them."""
    tree = _Tree(nodes)
    unanswered = tree.unanswered()
    return [node.draft for node in tree.nodes if node.draft and not node.call and id(node) in unanswered]


def _digests(draft: Draft) -> list[int]:
    """A digest of the conversation up to each message but the system's."""
    digests, digest = [], 0
    for message in draft.messages:
        if message["role"] != "system":
            digest = hash((digest, key_of(message)))
            digests.append(digest)
    return digests


def _goes_on(digests: list[int], start: list[int]) -> bool:
    return bool(start) and len(digests) > len(start) and digests[len(start) - 1] == start[-1]


def _is_absent(answer: Message, outer: Message) -> bool:
    """Whether a text is Python's word for the text that an answer with calls does not have."""
    has_only_calls = "tool_calls" in outer and not outer["content"]
    return answer["content"] == "None" and "tool_calls" not in answer and has_only_calls


class _Tree:
    """The spans of a trace by their ids."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._by_id: dict[Any, Node] = {}
        for number, node in enumerate(nodes):
            self._by_id[number if node.id is None or node.id in self._by_id else node.id] = node

    @property
    def nodes(self) -> list[Node]:
        """The spans in their order."""
        return list(self._by_id.values())

    def distinct(self) -> list[tuple[Node, Draft]]:
        """Return the calls without those that were recorded twice."""
        calls = [(node, node.call) for node in self.nodes if node.call is not None]
        dropped: set[int] = set()
        for node, draft in calls:
            for outer in self.around(node):
                if outer.call and key_of(outer.call.messages[-1]) == key_of(draft.messages[-1]):
                    outer_is_longer = len(outer.call.messages) >= len(draft.messages)
                    dropped.add(id(node if outer_is_longer else outer))
                elif outer.call and _is_absent(draft.messages[-1], outer.call.messages[-1]):
                    dropped.add(id(node))
        return [(node, draft) for node, draft in calls if id(node) not in dropped]

    def unanswered(self) -> set[int]:
        """The ids of the calls whose answer is nowhere: not in them, nor in a call around or within them."""
        answered = [node for node in self.nodes if node.is_answered]
        beside = {id(node) for inner in answered for node in (inner, *self.around(inner))}
        return {
            id(node)
            for node in self.nodes
            if node.draft and id(node) not in beside and not any(o.is_answered for o in self.around(node))
        }

    def around(self, node: Node) -> Iterator[Node]:
        """Yield the spans that a span lies in."""
        seen = {node.id}
        outer = self._by_id.get(node.parent)
        while outer is not None and outer.id not in seen:
            seen.add(outer.id)
            yield outer
            outer = self._by_id.get(outer.parent)
