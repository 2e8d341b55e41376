r"""Suffix decoding (arXiv 2411.04975) over base ids and over units: base tokens a pass on held-out tasks.

    python -m benches.speculation.suffix_decoding --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o decoding.json

A simulation: no model runs. The model is taken to write the logged text greedily, unit by unit where there
are latents (their canonical parse); a pass verifies a draft and gives what agrees of it and one unit more.
Drafts come from two suffix trees: one of the conversation so far, tool results included, and one of earlier
responses, each with the end of its prompt. Those are the training tasks' responses, on which the latents
are mined too, and those of held-out tasks as they arrive (--earlier); all arms see the same ones. A draft is
named by its kind and its greatest size in units: `path` and `tree` as published, from one tree and one match
length, `blend` from both trees and two match lengths together.

Figures are of the held-out tasks of all splits together, `splits` is the smallest and the largest split's. Of
tau_bench one domain is measured, with earlier responses of its own; latents are mined on all domains.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lar
from benches.speculation.suffix_drafts import BlendDrafter, Drafter, Matches, PathDrafter, TreeDrafter
from benches.speculation.suffix_tree import SuffixTree

CORPORA = ["tau_bench/airline", "mini_swe_gemini3"]
DRAFTS = ["none:0", "path:24", "tree:16", "blend:16", "blend:32"]
KINDS: dict[str, Callable[[int], Drafter]] = {
    "none": Drafter,
    "path": PathDrafter,
    "tree": TreeDrafter,
    "blend": BlendDrafter,
}
EARLIER = {
    "training": "responses of training tasks alone",
    "tasks": "and of each held-out task once all attempts at it are over",
    "attempts": "and of each held-out attempt once it is over",
}
HELD_OUT = 0.2
DEPTH = 32  # longest string in the suffix trees; with 64 figures rise by less than 0.1%
PROMPT_END = (
    8  # tokens of its prompt that an earlier response is kept with, so that its opening can be drafted
)

Split = tuple[lar.Corpus, lar.Corpus]


@dataclass(frozen=True)
class Conversation:
    """One trajectory: its units, the base tokens that each stands for, and where the agent's turns are."""

    id: str
    task: str
    units: list[int]
    sizes: NDArray[np.int64]
    turns: list[tuple[int, int]]

    def responses(self) -> Iterator[list[int]]:
        """The agent's turns, each with the end of its prompt."""
        for start, end in self.turns:
            yield self.units[max(0, start - PROMPT_END) : end]


@dataclass
class Counts:
    """Sums over the agent's turns; units and context are counted in units, the context of each turn anew."""

    turns: int = 0
    base_tokens: int = 0
    units: int = 0
    context: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0

    def __iadd__(self, other: "Counts") -> "Counts":
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    def figures(self) -> dict[str, float]:
        """The sums and what they say."""
        return asdict(self) | {
            "base_tokens_a_pass": self.base_tokens / self.passes,
            "units_a_pass": self.units / self.passes,
            "accepted_share": self.accepted / self.drafted if self.drafted else 0.0,
            "drafted_a_pass": self.drafted / self.passes,
            "passes_a_turn": self.passes / self.turns,
            "context_a_turn": self.context / self.turns,
        }


def main() -> None:
    """Measure each corpus, print its rows as soon as they are there, write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument(
        "--corpora", nargs="+", default=CORPORA, help="a file's name, /word: ids that hold it"
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[0, 256, 1024, 4096], help="numbers of latents"
    )
    parser.add_argument("--drafts", nargs="+", default=DRAFTS, help="kind:size, kinds: " + ", ".join(KINDS))
    parser.add_argument("--gates", default="engines", help="of mining: engines, none, or names")
    parser.add_argument("--earlier", choices=EARLIER, default="attempts", help=_lines(EARLIER))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="splits of the tasks")
    parser.add_argument(
        "--tokens", type=int, default=30_000, help="stop a split after so many of the agent's"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    print(head(), flush=True)
    for name in options.corpora:
        results[name] = {}
        for size in options.sizes:
            splits = [measure(name, size, seed, options) for seed in options.seeds]
            results[name][str(size)] = {draft: summary(splits, draft) for draft in options.drafts}
            for draft, figures in results[name][str(size)].items():
                print(row(name, size, draft, figures), flush=True)
    measured = {name: getattr(options, name) for name in ("earlier", "gates", "seeds", "tokens")}
    options.output.write_text(json.dumps({"options": measured, "results": results}, indent=2) + "\n")


def measure(name: str, size: int, seed: int, options: argparse.Namespace) -> dict[str, Counts]:
    """Counts of each draft on one split, with so many latents (0: base ids)."""
    file, _, word = name.partition("/")
    train, held_out = split(options.data / f"{file}.jsonl.gz", options.tokenizer, seed)
    vocabulary = lar.mine(train, size=size, gates=options.gates) if size else None
    earlier = [one for one in conversations(train, vocabulary) if word in one.id]
    unseen = first([one for one in conversations(held_out, vocabulary) if word in one.id], options.tokens)
    drafters = {draft: drafter(draft) for draft in options.drafts}
    return simulate(earlier, unseen, drafters, options.earlier)


@cache
def split(file: Path, tokenizer: Path, seed: int) -> Split:
    """The training tasks and the held-out ones of a file of trajectories."""
    return corpus(file, tokenizer).split(HELD_OUT, seed)


@cache
def corpus(file: Path, tokenizer: Path) -> lar.Corpus:
    """The corpus of a file of trajectories."""
    return lar.Corpus.build(lar.read_trajectories(file), lar.Tokenizer.load(tokenizer))


def drafter(name: str) -> Drafter:
    """The drafter that a name such as `path:24` means."""
    kind, _, limit = name.partition(":")
    if kind not in KINDS or not limit.isdigit():
        raise SystemExit(
            f"a draft is kind:size, such as path:24, with a kind of {', '.join(KINDS)}; not {name}"
        )
    return KINDS[kind](int(limit))


def conversations(source: lar.Corpus, vocabulary: lar.LatentVocabulary | None) -> Iterator[Conversation]:
    """The corpus's conversations, in units."""
    for shard in source.shards():
        if vocabulary is None:
            units, action, starts = shard.tokens, shard.action, np.arange(len(shard.tokens) + 1)
        else:
            form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
            units, action, starts = form.units, form.action, form.starts
        offsets = np.searchsorted(starts, shard.offsets)
        for number, (start, end) in enumerate(pairwise(offsets.tolist())):
            yield Conversation(
                shard.ids[number],
                shard.tasks[number],
                units[start:end].tolist(),
                np.diff(starts[start : end + 1]),
                turns(action[start:end]),
            )


def turns(action: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where the agent's turns begin and end."""
    changes = np.flatnonzero(np.diff(action.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(changes[::2], changes[1::2], strict=True))


def first(found: list[Conversation], tokens: int) -> list[Conversation]:
    """Conversations until they hold so many of the agent's base tokens, attempts at one task together."""
    together = sorted(found, key=lambda one: [other.task for other in found].index(one.task))
    written = [sum(int(one.sizes[start:end].sum()) for start, end in one.turns) for one in together]
    return together[: int(np.searchsorted(np.cumsum(written), tokens)) + 1]


def simulate(
    earlier: list[Conversation], unseen: list[Conversation], drafters: dict[str, Drafter], arriving: str
) -> dict[str, Counts]:
    """Let each drafter go through the unseen conversations; `arriving` is one of EARLIER."""
    said = SuffixTree(DEPTH)
    for conversation in earlier:
        learn(said, conversation)
    counts = {name: Counts() for name in drafters}
    waiting: list[Conversation] = []
    for conversation in unseen:
        if arriving == "attempts" or (
            arriving == "tasks" and waiting and waiting[0].task != conversation.task
        ):
            while waiting:
                learn(said, waiting.pop(0))
        write(conversation, said, drafters, counts)
        waiting.append(conversation)
    return counts


def learn(tree: SuffixTree, conversation: Conversation) -> None:
    """Add a conversation's responses to a tree."""
    for response in conversation.responses():
        tree.extend(response)
        tree.end()


def write(
    conversation: Conversation, said: SuffixTree, drafters: dict[str, Drafter], counts: dict[str, Counts]
) -> None:
    """Write one conversation's turns with each drafter.

    They go side by side, because the trees depend on what is written and not on how it was drafted.
    """
    own, units, known = SuffixTree(DEPTH), conversation.units, 0
    for start, end in conversation.turns:
        own.extend(units[known:start])
        known = end
        base_tokens = int(conversation.sizes[start:end].sum())
        for count in counts.values():
            count += Counts(turns=1, base_tokens=base_tokens, units=end - start, context=start)
        context = units[max(0, start - DEPTH) : start]
        trees = [Matches(tree, tree.matches(context)) for tree in (own, said)]
        write_turn(units[start:end], trees, drafters, counts)


def write_turn(
    turn: list[int], trees: list[Matches], drafters: dict[str, Drafter], counts: dict[str, Counts]
) -> None:
    """Write one turn with each drafter; the first tree grows with it."""
    written = dict.fromkeys(drafters, 0)
    for place, unit in enumerate(turn):
        for name, drafter in drafters.items():
            if written[name] == place:
                draft = drafter.draft(trees)
                accepted = draft.accepted(turn, place)
                counts[name] += Counts(passes=1, drafted=len(draft.tokens), accepted=accepted)
                written[name] += accepted + 1
        trees[0].tree.append(unit)
        trees = [matches.after(unit) for matches in trees]


def summary(splits: list[dict[str, Counts]], draft: str) -> dict[str, Any]:
    """Figures of all splits together, and base tokens a pass of each."""
    total = Counts()
    for split in splits:
        total += split[draft]
    return total.figures() | {"splits": [split[draft].figures()["base_tokens_a_pass"] for split in splits]}


def head() -> str:
    """The table's head."""
    return (
        f"{'corpus':<18}{'latents':>8}  {'draft':<9}{'base tokens a pass':>19}{'splits':>13}"
        f"{'units a pass':>13}{'accepted':>9}{'drafted a pass':>15}{'passes a turn':>14}"
        f"{'context a turn':>15}{'in all':>12}"
    )


def row(name: str, size: int, draft: str, figures: dict[str, Any]) -> str:
    """One line of the table."""
    splits = f"{min(figures['splits']):.2f}-{max(figures['splits']):.2f}"
    return (
        f"{name:<18}{size:>8}  {draft:<9}{figures['base_tokens_a_pass']:>19.2f}{splits:>13}"
        f"{figures['units_a_pass']:>13.2f}{figures['accepted_share']:>9.1%}{figures['drafted_a_pass']:>15.1f}"
        f"{figures['passes_a_turn']:>14.1f}{figures['context_a_turn']:>15,.0f}{figures['context']:>12,}"
    )


def _lines(choices: dict[str, str]) -> str:
    return "\n".join(f"{name}: {meaning}" for name, meaning in choices.items())


if __name__ == "__main__":
    main()
