"""One run of the agent as units, with the teacher's entropies where the corpus is scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lar.corpus import Corpus, Shard
from lar.evaluation.reporting.turns import Turns
from lar.vocabulary.vocabulary import LatentVocabulary

MOST_TOKENS = 400
_CANDIDATES = 16  # runs of about median length, of which the one with the most different tools is taken


@dataclass(frozen=True)
class Unit:
    """A unit of the agent's text: its text, its latent's number (None: a base token), and its base tokens.

    entropies: the teacher's entropy in nats before each base token that begins in the unit; None where there
    is none.
    """

    text: str
    latent: int | None
    tokens: int
    entropies: tuple[float | None, ...]


@dataclass(frozen=True)
class ExampleTurn:
    """One turn: its number in the run, the tools that it calls, and its units."""

    number: int
    tools: str
    units: list[Unit]


@dataclass(frozen=True)
class Example:
    """The first turns of one run, up to `MOST_TOKENS` base tokens of the agent, and one turn at least.

    all_turns: how many turns the run has. scored: whether it has entropies.
    """

    run: str
    task: str
    success: bool | None
    turns: list[ExampleTurn]
    all_turns: int
    scored: bool


def example(
    corpora: Mapping[str, Corpus], vocabulary: LatentVocabulary, tasks: frozenset[str]
) -> Example | None:
    """A run of about median length at one of `tasks`, a successful one that is scored where there is one.

    None if the agent writes nothing in them.
    """
    found: list[tuple[tuple[bool, bool], int, Shard, slice]] = []
    for corpus in corpora.values():
        for shard in corpus.select(tasks.__contains__).shards():
            begins = np.flatnonzero(~shard.continues).tolist()
            for begin, end in pairwise([*begins, len(shard.ids)]):
                length = int(shard.action_offsets[end] - shard.action_offsets[begin])
                rank = _is_scored(shard, begin, end), bool(shard.success[begin])
                found += [(rank, length, shard, slice(begin, end))] if length else []
            if len(found) > 10_000:
                break
    if not found:
        return None
    best = max(rank for rank, *_ in found)
    ordered = sorted((item for item in found if item[0] == best), key=lambda item: item[1])
    middle = len(ordered) // 2
    near = ordered[max(middle - _CANDIDATES // 2, 0) : middle + 1 + _CANDIDATES // 2]
    choices = [_one(shard, rows) for _, _, shard, rows in near]
    tools = [len(set(Turns.of(one, vocabulary.tokenizer).tools)) for one in choices]
    return _example(choices[tools.index(max(tools))], vocabulary)


def _is_scored(shard: Shard, begin: int, end: int) -> bool:
    """Whether a run, these rows of a shard, has entropies: its task may not be in the scored sample."""
    if (entropies := shard.action_entropy) is None:
        return False
    return not np.isnan(entropies[shard.action_offsets[begin] : shard.action_offsets[end]]).all()


def _one(shard: Shard, rows: slice) -> Shard:
    """The rows of one run of a shard."""
    chosen = np.zeros(len(shard.ids), np.bool_)
    chosen[rows] = True
    return shard.take(chosen)


def _example(one: Shard, vocabulary: LatentVocabulary) -> Example:
    turns = Turns.of(one, vocabulary.tokenizer)
    form = vocabulary.reparameterize(one.tokens, one.action, one.offsets)
    bounds = np.searchsorted(form.starts, np.stack([turns.starts, turns.ends]))
    shown: list[ExampleTurn] = []
    tokens = 0
    for number, turn in enumerate(turns.numbers.argsort().tolist(), start=1):
        tokens += int(turns.ends[turn] - turns.starts[turn])
        if shown and tokens > MOST_TOKENS:
            break
        units = [
            _unit(one, form.units[place], form.starts[place : place + 2].tolist(), vocabulary)
            for place in range(int(bounds[0, turn]), int(bounds[1, turn]))
        ]
        shown.append(ExampleTurn(number, turns.tools[turn], units))
    return Example(
        one.ids[0],
        one.tasks[0],
        one.success[0],
        shown,
        all_turns=len(turns.starts),
        scored=_is_scored(one, 0, len(one.ids)),
    )


def _unit(shard: Shard, unit: np.uint32, bounds: list[int], vocabulary: LatentVocabulary) -> Unit:
    start, end = bounds
    entropies = [] if shard.entropy is None else shard.entropy[start:end].astype(float).tolist()
    latent = int(unit) - vocabulary.base_size
    return Unit(
        vocabulary.tokenizer.bytes_of(vocabulary.expand([unit])).decode(errors="replace"),
        latent if latent >= 0 else None,
        end - start,
        tuple(None if np.isnan(value) else value for value in entropies),
    )
