"""The entries of sessions: by session, and by branch where they form a tree."""

from collections.abc import Callable
from typing import Any

Entry = dict[str, Any]


def sessions(entries: list[Entry], key: str) -> dict[str, list[Entry]]:
    """Return the entries of each session by its name, their member `key`; "" where there is none."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        name = entry.get(key)
        found.setdefault(name if isinstance(name, str) else "", []).append(entry)
    return found


def branch_name(session: str, number: int) -> str | None:
    """The id of a session's trajectory: the session's name; from the second branch on with its number."""
    return (f"{session}/{number}" if number else session) or None


def branches(
    entries: list[Entry],
    key: str,
    parent: str,
    speaks: Callable[[Entry], bool],
    aliases: dict[str, int] | None = None,
) -> list[tuple[list[Entry], set[int]]]:
    """Return the branches of a session, that of the last entry first.

    Each is its entries in order, and the `id()` of those that an earlier branch has too. `key` and `parent`
    are the members with an entry's name and its parent's. An entry with the name of an earlier one follows
    it; one without a parent, or with an unknown one, follows the entry before it. `aliases` gives further
    names of entries by their positions. A branch in which `speaks` is true of no new entry is left out.
    """
    parents = _parents(entries, key, parent, aliases or {})
    leaves = sorted(set(range(len(entries))) - set(parents), reverse=True)
    found, seen = [], set[int]()
    for leaf in leaves:
        path = _path(leaf, parents)
        new = [at for at in path if at not in seen]
        if not any(speaks(entries[at]) for at in new):
            continue
        found.append(([entries[at] for at in path], {id(entries[at]) for at in path if at in seen}))
        seen.update(path)
    return found


def _parents(entries: list[Entry], key: str, parent: str, aliases: dict[str, int]) -> list[int]:
    """The position of each entry's parent, -1 for a root. A parent stands before its child."""
    places, parents = dict[str, int](), list[int]()
    for at, entry in enumerate(entries):
        own, name = entry.get(key), entry.get(parent)
        place = places.get(name, aliases.get(name, at - 1)) if isinstance(name, str) else at - 1
        if own in places:
            parents.append(places[own])
        else:
            parents.append(-1 if parent in entry and name is None else min(place, at - 1))
        if isinstance(own, str):
            places[own] = at
    return parents


def _path(leaf: int, parents: list[int]) -> list[int]:
    path = [leaf]
    while parents[path[-1]] >= 0:
        path.append(parents[path[-1]])
    return path[::-1]
