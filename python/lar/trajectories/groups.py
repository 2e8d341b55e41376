"""Groups of trajectories, bounded by the length of their text and not only by their number."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from lar.trajectories.schema import Trajectory

Item = TypeVar("Item")


def in_groups(trajectories: Iterable[Trajectory], most: int, characters: int) -> Iterator[list[Trajectory]]:
    """Yield groups in order, each closed at `most` trajectories or once it holds so many `characters`."""
    return grouped(trajectories, most, characters, characters_of)


def grouped(
    items: Iterable[Item], most: int, characters: int, length: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Yield groups as `in_groups` does, of items whose `length` counts."""
    group: list[Item] = []
    held = 0
    for item in items:
        group.append(item)
        held += length(item)
        if len(group) == most or held >= characters:
            yield group
            group, held = [], 0
    if group:
        yield group


def characters_of(trajectory: Trajectory) -> int:
    """The length of a trajectory's text, by which groups are bounded."""
    return sum([len(message["content"]) for message in trajectory.messages])
