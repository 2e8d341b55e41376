"""What latents save by tool, turn and source, and where each latent occurs: one pass over the corpora."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.turns import newly_read
from lar.evaluation.reporting.turns import Turns
from lar.utils.progress import Progress
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary, Reparameterized

_AROUND = 16  # base tokens that an example shows on either side


@dataclass
class Saving:
    """Sums over stretches of text: how many there are, their base tokens, and their units with latents."""

    number: int = 0
    base: int = 0
    units: int = 0

    @property
    def saved(self) -> int:
        """Base tokens less units."""
        return self.base - self.units

    @property
    def reduction(self) -> float:
        """1 - units / base tokens."""
        return 1 - self.units / self.base if self.base else 0.0

    def add(self, number: int, base: int, units: int) -> None:
        """Count more text."""
        self.number += number
        self.base += base
        self.units += units


@dataclass
class LatentUse:
    """Where a latent occurs in all of the given logs.

    uses, prompt_uses: in the agent's text, and in what it reads. tasks: names of those in which the agent
    uses it. tools: its uses by the tools that the turn calls. opens, closes: how often it is the first or the
    last unit of a turn, not counting an added token that ends it. example: the text before its first use, and
    the text after it.
    """

    latent: Latent
    uses: int = 0
    prompt_uses: int = 0
    tasks: set[str] = field(default_factory=set)
    tools: Counter[str] = field(default_factory=Counter)
    opens: int = 0
    closes: int = 0
    example: tuple[str, str] = ("", "")

    @property
    def saved(self) -> int:
        """Units that the latent saves in the agent's text."""
        return self.uses * (len(self.latent) - 1)


@dataclass
class Measured:
    """What one pass over the logs found.

    Savings are those of the `tasks` that are held out, or of all of them if `in_sample`: then every task was
    mined. generated, prompt: what the agent writes and reads, by source; `number` counts runs. by_tool and
    by_turn are of what the agent writes, and their `number` counts turns. The uses of latents, `runs` and
    `outcomes` (runs by their success) are those of all the logs.
    """

    tasks: frozenset[str]
    in_sample: bool
    latents: list[LatentUse]
    generated: dict[str, Saving] = field(default_factory=lambda: defaultdict(Saving))
    prompt: dict[str, Saving] = field(default_factory=lambda: defaultdict(Saving))
    by_tool: dict[str, Saving] = field(default_factory=lambda: defaultdict(Saving))
    by_turn: dict[int, Saving] = field(default_factory=lambda: defaultdict(Saving))
    outcomes: Counter[bool | None] = field(default_factory=Counter)
    runs: int = 0
    all_tasks: int = 0
    tokens: int = 0
    action_tokens: int = 0

    @staticmethod
    def total(savings: Mapping[Any, Saving]) -> Saving:
        """The sum of several savings."""
        found = Saving()
        for each in savings.values():
            found.add(each.number, each.base, each.units)
        return found


def measure(
    corpora: Mapping[str, Corpus],
    vocabulary: LatentVocabulary,
    progress: Progress,
    to_measure: frozenset[str] | None = None,
) -> Measured:
    """Parse all conversations of the corpora as an engine with the vocabulary reads them, and count.

    `to_measure` is the tasks that savings may be of, None for all; those that were mined are left out.
    `progress` counts base tokens.
    """
    tasks = frozenset(task for corpus in corpora.values() for task in corpus.tasks)
    chosen = tasks if to_measure is None else tasks & to_measure
    held = frozenset(task for task in chosen if not vocabulary.has_seen(task))
    found = Measured(held or chosen or tasks, not held, [LatentUse(latent) for latent in vocabulary])
    found.all_tasks = len(tasks)
    total = sum(corpus.num_tokens for corpus in corpora.values())
    for name, corpus in corpora.items():
        for shard in corpus.shards():
            _add_shard(found, name, shard, vocabulary)
            progress(found.tokens, total)
    return found


def _add_shard(found: Measured, name: str, shard: Shard, vocabulary: LatentVocabulary) -> None:
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    turns = Turns.of(shard, vocabulary.tokenizer)
    found.runs += shard.num_runs
    found.tokens += len(shard.tokens)
    found.action_tokens += int(shard.action.sum())
    found.outcomes.update(compress(shard.success, (~shard.continues).tolist()))
    measured = np.array([task in found.tasks for task in shard.tasks], dtype=np.bool_)
    _add_savings(found, name, shard, form, turns, measured)
    _add_uses(found, shard, form, turns, vocabulary)


def _add_savings(
    found: Measured, name: str, shard: Shard, form: Reparameterized, turns: Turns, measured: NDArray[np.bool_]
) -> None:
    base = turns.ends - turns.starts
    of_turn = turns.at(form.starts[:-1][form.action])
    units = np.bincount(of_turn, minlength=len(base))
    chosen = np.flatnonzero(measured[turns.rows])
    for turn in chosen.tolist():
        counts = 1, int(base[turn]), int(units[turn])
        found.by_tool[turns.tools[turn]].add(*counts)
        found.by_turn[int(turns.numbers[turn])].add(*counts)
    runs = int((measured & ~shard.continues).sum())
    found.generated[name].add(runs, int(base[chosen].sum()), int(units[chosen].sum()))
    ends = np.searchsorted(form.starts, shard.offsets)
    read = newly_read(shard.tokens, shard.action, shard.offsets, shard.continues)
    kept = np.repeat(measured, np.diff(shard.offsets)) & read
    kept_units = np.repeat(measured, np.diff(ends)) & _read_units(shard, form)
    found.prompt[name].add(runs, int(kept.sum()), int(kept_units.sum()))


def _read_units(shard: Shard, form: Reparameterized) -> NDArray[np.bool_]:
    """Which units the agent only reads, each once; bool (u)."""
    ends = np.searchsorted(form.starts, shard.offsets)
    return newly_read(form.units, form.action, ends, shard.continues)


def _add_uses(
    found: Measured, shard: Shard, form: Reparameterized, turns: Turns, vocabulary: LatentVocabulary
) -> None:
    latent = form.units >= vocabulary.base_size
    ids = form.units.astype(np.int64) - vocabulary.base_size
    read = latent & _read_units(shard, form)
    for index, uses in enumerate(np.bincount(ids[read], minlength=vocabulary.size).tolist()):
        found.latents[index].prompt_uses += uses
    places = np.flatnonzero(latent & form.action)
    of_turn = turns.at(form.starts[places])
    opens = turns.starts[of_turn] == form.starts[places]
    # No latent holds the token that ends a turn.
    ends = turns.ends - np.isin(shard.tokens[turns.ends - 1], vocabulary.tokenizer.barriers)
    closes = form.starts[places + 1] >= ends[of_turn]
    order = np.argsort(ids[places], kind="stable")
    bounds = np.searchsorted(ids[places][order], np.arange(vocabulary.size + 1))
    for index in range(vocabulary.size):
        chosen = order[bounds[index] : bounds[index + 1]]
        if not len(chosen):
            continue
        use, in_turns = found.latents[index], of_turn[chosen].tolist()
        if not use.uses:
            use.example = _around(form, turns, int(places[chosen[0]]), vocabulary)
        use.uses += len(chosen)
        use.tasks.update(shard.tasks[row] for row in set(turns.rows[in_turns].tolist()))
        use.tools.update(turns.tools[turn] for turn in in_turns)
        use.opens += int(opens[chosen].sum())
        use.closes += int(closes[chosen].sum())


def _around(form: Reparameterized, turns: Turns, place: int, vocabulary: LatentVocabulary) -> tuple[str, str]:
    """The text before and after a unit, inside its turn."""
    turn = int(turns.at(form.starts[place : place + 1])[0])
    first = int(np.searchsorted(form.starts, turns.starts[turn]))
    last = int(np.searchsorted(form.starts, turns.ends[turn]))
    sides = (
        form.units[max(first, place - _AROUND) : place],
        form.units[place + 1 : min(last, place + 1 + _AROUND)],
    )
    contents = (vocabulary.tokenizer.bytes_of(vocabulary.expand(side)) for side in sides)
    before, after = (content.decode(errors="replace") for content in contents)
    return before[-120:], after[:120]
