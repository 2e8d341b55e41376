"""The agent's turns in a shard: where each is, its number in the run, and the tools that it calls."""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Shard
from lar.corpus.turns import first_places
from lar.tokenizer.spans import speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tools import CALL_EDGES

NO_CALL = "text without a call"
_SEVERAL = 3  # a turn that calls so many different tools is not named after them
_NAME = r"([\w.:/-]{1,64})"
# Agents of the ReAct family write calls as text: "Action 2: Search[...]", "Action: search".
_ACTION = rf"^Action(?: \d+)?: ?{_NAME}"


@dataclass(frozen=True)
class Turns:
    """The t turns of the agent in a shard.

    starts, ends: int64 (t), positions of base tokens. rows: int64 (t), the row of each. numbers: int64 (t), 1
    for a run's first turn. tools: the names of the tools that each calls, or `NO_CALL`.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    tools: list[str]

    @classmethod
    def of(cls, shard: Shard, tokenizer: Tokenizer) -> "Turns":
        """The turns of a shard."""
        starts, ends = _borders(shard.action, shard.offsets)
        rows = np.searchsorted(shard.offsets, starts, side="right") - 1
        numbers = _numbers(shard, starts, shard.runs[rows])
        pattern = _calls(tokenizer)
        parts = [shard.tokens[start:end].tolist() for start, end in zip(starts, ends, strict=True)]
        texts = tokenizer.backend.decode_batch(parts, skip_special_tokens=False)
        return cls(starts, ends, rows, numbers, [_tools(text, pattern) for text in texts])

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The turn in which each position of the agent's text lies; int64, as long as `positions`."""
        return np.searchsorted(self.starts, positions, side="right") - 1


def _numbers(shard: Shard, starts: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each turn in its run, in the order in which the agent wrote them; int64 (t)."""
    written = first_places(starts, shard.tokens, shard.offsets, shard.continues).argsort()
    numbers = np.empty_like(written)
    numbers[written] = np.arange(len(starts)) - np.searchsorted(runs, runs) + 1
    return numbers


def _borders(
    action: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the agent begins and stops writing; a conversation's end ends its last turn."""
    cut = np.zeros(len(action) + 1, dtype=np.bool_)
    cut[offsets] = True
    padded = np.concatenate([[False], action, [False]])
    begins = padded[1:] & (~padded[:-1] | cut)
    ends = padded[:-1] & (~padded[1:] | cut)
    return np.flatnonzero(begins), np.flatnonzero(ends)


@lru_cache(maxsize=4)
def _calls(tokenizer: Tokenizer) -> re.Pattern[str]:
    """A pattern with the names of called tools in its groups."""
    has_template = tokenizer.template_for(tools=True) is not None
    edges = speaker(tokenizer, tools=True)[1].call_edges if has_template else None
    found = [_ACTION]
    for openers, middle, _ in {edges or CALL_EDGES, CALL_EDGES}:
        after = re.escape(middle.strip()[:1]) if middle.strip() else r"\s"
        found += [rf"{re.escape(opener.strip())}\s*{_NAME}(?={after}|\s)" for opener in openers]
    return re.compile("|".join(found), re.MULTILINE)


def _tools(text: str, pattern: re.Pattern[str]) -> str:
    names = list(dict.fromkeys(next(filter(None, match.groups()), "") for match in pattern.finditer(text)))
    if len(names) >= _SEVERAL:
        return f"{len(names)} different tools"
    return " + ".join(names) or NO_CALL
