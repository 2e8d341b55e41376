"""The calls that mining adds for tools that the logs never call.

Mining acts as if such a tool were called as often as the other tools of the file are on average. A tool that
the logs call is judged by its calls alone.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.mining.corpus_runs import CorpusRuns, Cut, frequencies
from lar.mining.options import MiningOptions
from lar.mining.tool_scaffolds import ToolScaffold, call_text, tool_scaffolds
from lar.mining.tool_schemas import ToolSchema
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.segments import Segments

# Tokens of distinct runs in which the spaces of calls, and calls at added tokens, are looked for.
_SAMPLE = 4_000_000
_KEY = "larscaffoldkey"


@dataclass(frozen=True, eq=False, slots=True)
class NewTools:
    """What a file of tools adds to the runs of a corpus.

    scaffolds: of each of k tools in the file. called: whether the logs call it, bool (k). count, support: how
    often, and in how many tasks, each of the others is taken to be called.
    """

    scaffolds: tuple[ToolScaffold, ...]
    called: NDArray[np.bool_]
    count: int
    support: int

    @classmethod
    def of(
        cls, tools: Iterable[ToolSchema], tokenizer: Tokenizer, runs: _core.Runs, options: MiningOptions
    ) -> "NewTools":
        """What `tools` add, judged by all of the agent's `runs`.

        A new tool is taken to be called as often as the other tools on average, and at least as often as the
        options ask for.

        Raises:
            TokenizerError: the chat template cannot write calls.
        """
        compact = writes_compact(tokenizer, runs)
        scaffolds = tool_scaffolds(tools, tokenizer, compact=compact)
        counts, supports = calls_of(scaffolds, runs)
        called = counts > 0
        return cls(
            scaffolds=tuple(scaffolds),
            called=called,
            count=max(options.min_count, _mean(counts[called])),
            support=max(options.min_support, _mean(supports[called])),
        )

    def added_to(self, runs: CorpusRuns, cut: Cut) -> CorpusRuns:
        """The runs with the new tools' calls in those that are parsed and searched; `cut` as in `fold`.

        With an entropy gate, the openings that are searched are cut where those of the tools part: there a
        model decides which tool it calls.
        """
        weight = runs.weights.generated
        searched = cut(self.runs(_decisions(self.scaffolds) if runs.nats is not None else {}))
        return replace(
            runs,
            parsed=_core.Runs.weighted([(runs.parsed, 1), (self.runs({}), weight)]),
            searched=_core.Runs.weighted([(runs.searched, 1), (searched, weight)]),
        )

    def runs(self, cuts: Mapping[str, Sequence[int]]) -> _core.Runs:
        """The pieces of the new tools' calls, cut in each tool's opening at its places in `cuts`."""
        new = compress(self.scaffolds, ~self.called)
        return repeated_runs((p for tool in new for p in _pieces(tool, cuts)), self.count, self.support)

    def to_dict(self) -> dict[str, Any]:
        """The number of tools, the names of the new ones, and their calls, as JSON-ready values."""
        new = [tool.name for tool in compress(self.scaffolds, ~self.called)]
        return {"tools": len(self.scaffolds), "new": new, "count": self.count, "support": self.support}


def calls_of(
    scaffolds: Sequence[ToolScaffold], runs: _core.Runs
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often each of k tools is called in `runs`, and in how many tasks; int64 (k) each.

    Of many runs a sample is read for the tools whose name stands at an added token.
    """
    counts, supports = frequencies(runs, Segments.of(scaffold.opening for scaffold in scaffolds))
    bare = [number for number, scaffold in enumerate(scaffolds) if scaffold.begins or scaffold.ends]
    if bare:
        # A sample has all runs that occur often, but none of one token.
        read = _RunArrays(*(runs if runs.distinct_tokens <= _SAMPLE else runs.sample(_SAMPLE)).to_arrays())
        for number in bare:
            counts[number], supports[number] = read.calls_of(scaffolds[number])
    return counts, supports


class _RunArrays(NamedTuple):
    """What `Runs.to_arrays` gives."""

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    counts: NDArray[np.uint64]
    tasks: NDArray[np.uint32]
    task_offsets: NDArray[np.int64]

    def calls_of(self, tool: ToolScaffold) -> tuple[int, int]:
        """The runs that begin or end, or both, with a tool's opening, and their tasks.

        A bare name is also in longer names and in prose, where it has no such border.
        """
        length = len(tool.opening)
        lengths = np.diff(self.offsets)
        found = np.flatnonzero(lengths == length if tool.begins and tool.ends else lengths >= length)
        first = self.offsets[:-1] if tool.begins else self.offsets[1:] - length
        for place, token in enumerate(tool.opening):
            found = found[self.tokens[first[found] + place] == token]
        tasks = [self.tasks[self.task_offsets[run] : self.task_offsets[run + 1]] for run in found]
        return int(self.counts[found].sum()), len(set().union(*(of_run.tolist() for of_run in tasks)))


def repeated_runs(pieces: Iterable[Sequence[int]], count: int, support: int) -> _core.Runs:
    """Runs in which each of `pieces` occurs `count` times, in the tasks below `support`."""
    numbers = Counter(map(tuple, pieces))
    segments = Segments.of(numbers)
    return _core.Runs.from_arrays(
        segments.tokens,
        segments.offsets,
        count * np.fromiter(numbers.values(), np.uint64, len(numbers)),
        np.tile(np.arange(support, dtype=np.uint32), len(numbers)),
        support * np.arange(len(numbers) + 1, dtype=np.int64),
    )


def writes_compact(tokenizer: Tokenizer, runs: _core.Runs) -> bool:
    """Whether most of the calls in `runs` have no space between a key of their arguments and its value.

    False where the template writes the arguments itself: it has one way to write them.
    """
    arguments = f'{{"{_KEY}":0}}', f'{{"{_KEY}": 0}}'
    after = [call_text(tokenizer, text)[1] for text in arguments]
    if after[0] == after[1]:
        return False
    # Runs end at added tokens, so what stands before one is in another run than the key.
    between = _behind_added(tokenizer, after[0].partition(_KEY)[0])
    key = re.compile(re.escape(between.encode()) + rb'[^"\\]{1,200}":(\s?)')
    tokens, offsets, *_ = runs.sample(_SAMPLE).to_arrays()
    texts = map(tokenizer.bytes_of, np.split(tokens, offsets[1:-1]))
    spaces = [space for text in texts for space in key.findall(text)]
    return 2 * spaces.count(b"") > len(spaces)


def _behind_added(tokenizer: Tokenizer, text: str) -> str:
    """The text after the last added token in `text`; all of it where there is none."""
    ids = tokenizer.encode(text)
    last = np.flatnonzero(np.isin(ids, tokenizer.barriers))
    return tokenizer.bytes_of(ids[last[-1] + 1 :]).decode() if len(last) else text


def _mean(numbers: NDArray[np.int64]) -> int:
    return round(float(numbers.mean())) if len(numbers) else 0


def _decisions(tools: Iterable[ToolScaffold]) -> dict[str, list[int]]:
    """For each tool's name the places in its opening where another tool's opening goes on differently."""
    following: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for tool in tools:
        for place, token in enumerate(tool.opening):
            following[tool.opening[:place]].add(token)
    return {
        tool.name: [n for n in range(1, len(tool.opening)) if len(following[tool.opening[:n]]) > 1]
        for tool in tools
    }


def _pieces(tool: ToolScaffold, cuts: Mapping[str, Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """The pieces of a tool with two tokens or more, the one with the opening cut at its places in `cuts`."""
    for piece in tool.pieces:
        opens = piece[: len(tool.opening)] == tool.opening
        bounds = [0, *(cuts.get(tool.name, ()) if opens else ()), len(piece)]
        yield from (piece[start:end] for start, end in pairwise(bounds) if end - start >= 2)
