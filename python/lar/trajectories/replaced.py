"""Parts of a record's messages that are no text, for which a word stands in its trajectories."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from lar.trajectories.dialects.parts import PLACEHOLDERS
from lar.trajectories.schema import Trajectory

_KINDS = {word: word.strip("[]") for word in PLACEHOLDERS.values()}


def replaced_parts(value: Any, trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """How many parts of the raw record `value` became a word in its trajectories, by kind: {"image": 2}.

    As the audit's, the count does not depend on the formats: a word stands for a part where no text of the
    record has it. What several trajectories of the record have in common counts once.
    """
    contents: Counter[str] = Counter()
    for trajectory in trajectories:
        contents |= Counter(filter(_has_word, _of_others(trajectory)))
    if not contents:
        return {}
    words = {word: sum(text.count(word) * count for text, count in contents.items()) for word in _KINDS}
    for text in filter(_has_word, _texts(value)):
        words = {word: count - text.count(word) for word, count in words.items()}
    return {_KINDS[word]: count for word, count in words.items() if count > 0}


def _of_others(trajectory: Trajectory) -> Iterator[str]:
    """The texts of those messages that are not the agent's, in which no word stands for a part."""
    return (message["content"] for message in trajectory.messages if message["role"] != "assistant")


def _has_word(text: str) -> bool:
    return any(word in text for word in _KINDS)


def _texts(value: Any) -> Iterator[str]:
    """Every string of a raw value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
