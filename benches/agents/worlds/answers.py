"""Scores of short answers, as SQuAD's evaluation normalizes them."""

import re
import string
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Lower case, without ASCII punctuation and articles, and with single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def is_exact(answer: str, aliases: Iterable[str]) -> bool:
    """Whether the answer equals an alias."""
    return normalized(answer) in {normalized(alias) for alias in aliases}


def contains(answer: str, aliases: Iterable[str]) -> bool:
    """Whether an alias lies within the answer. Long answers gain by this."""
    return any(alias in normalized(answer) for alias in map(normalized, aliases) if alias)
