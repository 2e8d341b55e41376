"""The calls of one trace: which of them were recorded twice, and which the trace's success is about."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.traces.call import key_of


@dataclass(frozen=True, slots=True)
class Node:
    """A span in the tree of its trace, with its trajectory where it is a call."""

    id: str | None
    parent: str | None
    draft: Draft | None


def calls_of_trace(nodes: Iterable[Node], success: bool | None = None) -> list[Draft]:
    """Return the trajectories of a trace's calls.

    A call inside a call with the same answer is the same call, seen by the framework and by the provider's
    client: the one with more messages is kept, of equal ones the outer. Success (that of a call, else
    `success`, that of the trace) is about the end of a conversation, so a call that another goes on from has
    none. A call without tools has those of the call that it goes on from.
    """
    drafts = list(_distinct(nodes))
    keys = [
        [key_of(message) for message in draft.messages if message["role"] != "system"] for draft in drafts
    ]
    finished = []
    for draft, key in zip(drafts, keys, strict=True):
        earlier = [other for other, start in zip(drafts, keys, strict=True) if _goes_on(key, start)]
        offered = next((other.tools for other in reversed(earlier) if other.tools), None)
        is_end = not any(_goes_on(other, key) for other in keys)
        own = success if draft.success is None else draft.success
        finished.append(replace(draft, success=own if is_end else None, tools=draft.tools or offered))
    return finished


def _goes_on(key: list[Any], start: list[Any]) -> bool:
    return len(key) > len(start) and key[: len(start)] == start


def _distinct(nodes: Iterable[Node]) -> Iterator[Draft]:
    by_id: dict[Any, Node] = {}
    for number, node in enumerate(nodes):
        by_id[number if node.id is None or node.id in by_id else node.id] = node
    dropped: set[int] = set()
    for node in by_id.values():
        for outer in _around(node, by_id):
            if node.draft and outer.draft and _is_same(node.draft, outer.draft):
                outer_is_longer = len(outer.draft.messages) >= len(node.draft.messages)
                dropped.add(id(node if outer_is_longer else outer))
    for node in by_id.values():
        if node.draft is not None and id(node) not in dropped:
            yield node.draft


def _is_same(one: Draft, other: Draft) -> bool:
    return key_of(one.messages[-1]) == key_of(other.messages[-1])


def _around(node: Node, by_id: dict[Any, Node]) -> Iterator[Node]:
    """Yield the spans that a span lies in."""
    seen = {node.id}
    outer = by_id.get(node.parent)
    while outer is not None and outer.id not in seen:
        seen.add(outer.id)
        yield outer
        outer = by_id.get(outer.parent)
