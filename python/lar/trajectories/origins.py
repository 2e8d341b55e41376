"""What a reply comes from: two replies with equal texts are one only if that does not differ."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import digest_of, system_of, thought_of
from lar.trajectories.schema import Trajectory

ORIGIN = np.dtype([(name, np.uint64) for name in ("thought", "system", "ids", "model")])
"""Digests of the reasoning, the system's text, the ids of calls and the model; 0 for what a log has not."""

Origin = tuple[int, ...]


def origin_of(trajectory: Trajectory, place: int) -> Origin:
    """The origin of the turn at `place`."""
    messages = trajectory.messages
    ids = "\0".join([call["id"] or "" for call in messages[place].get("tool_calls", ())])
    texts = (thought_of(messages[place]), system_of(messages), ids, trajectory.model or "")
    return tuple(int.from_bytes(digest_of(text, 8)) if text else 0 for text in texts)


def closest(origins: Iterable[Origin], own: Origin) -> Origin:
    """The first of the origins that have the most in common with `own`: the model counts most."""
    return max(origins, key=lambda origin: [a == b for a, b in zip(origin[::-1], own[::-1], strict=True)])


def unified(
    origins: NDArray[np.void], digests: NDArray[np.bytes_], calls: NDArray[np.int64]
) -> NDArray[np.void]:
    """The origins, ORIGIN (r), where those of one call are equal.

    A call may be in a log twice, and one of the records may lack the model, say. digests: bytes (r), of the
    conversations. calls: int64, the places of those that are calls.
    """
    found = origins.copy()
    order = calls[np.argsort(digests[calls], kind="stable")]
    is_same = digests[order][1:] == digests[order][:-1]
    differing = set(digests[order][1:][is_same & (found[order][1:] != found[order][:-1])].tolist())
    groups: dict[bytes, list[tuple[Origin, list[int]]]] = {digest: [] for digest in differing}
    for place in order.tolist() if differing else ():
        if (group := groups.get(digests[place])) is not None:
            _put(group, tuple(found[place].tolist()), place)
    for group in groups.values():
        for origin, places in group:
            found[places] = np.array(origin, ORIGIN)
    return found


def _put(group: list[tuple[Origin, list[int]]], origin: Origin, place: int) -> None:
    """Put a place to those of the first origin in the group that does not differ from its own."""
    for at, (other, places) in enumerate(group):
        if all(a == b or not (a and b) for a, b in zip(origin, other, strict=True)):
            group[at] = (tuple(map(max, origin, other)), [*places, place])
            return
    group.append((origin, [place]))
