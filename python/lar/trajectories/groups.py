"""Groups of trajectories, bounded by the length of their text and not only by their number."""

from collections.abc import Iterable, Iterator

from lar.trajectories.schema import Trajectory


def in_groups(trajectories: Iterable[Trajectory], most: int, characters: int) -> Iterator[list[Trajectory]]:
    """Yield groups in order, each closed at `most` trajectories or once it holds so many `characters`."""
    group: list[Trajectory] = []
    held = 0
    for trajectory in trajectories:
        group.append(trajectory)
        held += sum(len(message["content"]) for message in trajectory)
        if len(group) == most or held >= characters:
            yield group
            group, held = [], 0
    if group:
        yield group
