r"""Suffix decoding (arXiv 2411.04975) over base ids and over units: base tokens per pass on held-out tasks.

    python -m benches.speculation.suffix_decoding --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o decoding.json

A simulation: no model runs. The model is assumed to write the logged text greedily, in units where there are
latents (the canonical parse). A pass verifies a draft; it yields the accepted part and one more unit.

Drafts come from two suffix trees. One holds the conversation so far, with tool results. The other holds
earlier responses, each with the end of its prompt: those of the training tasks, on which the latents are
mined too, and those of held-out tasks as they arrive (--earlier). All arms have the same trees. A draft's
name is its kind and its maximum size in units. `path` and `tree` are the published kinds, from one tree and
one match length; `blend` combines both trees and two match lengths.

Figures are of the held-out tasks of all splits; `splits` is the range over splits. Of tau_bench one domain is
measured, with earlier responses of the same domain; latents are mined on all domains.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry
from benches.resampling.agent_turns import turn_spans
from benches.speculation.suffix_drafts import BlendDrafter, Drafter, Matches, PathDrafter, TreeDrafter
from benches.speculation.suffix_tree import SuffixTree
from lar.utils.files import write_json

CORPORA = ["tau_bench/airline", "mini_swe_gemini3"]
DRAFTS = ["none:0", "path:24", "tree:16", "blend:16", "blend:32"]
KINDS: dict[str, Callable[[int], Drafter]] = {
    "none": Drafter,
    "path": PathDrafter,
    "tree": TreeDrafter,
    "blend": BlendDrafter,
}
EARLIER = {
    "tasks": "training tasks, and each held-out task once all attempts at it are over",
    "attempts": "training tasks, and each held-out attempt once it is over",
}
HELD_OUT = 0.2
DEPTH = 32  # longest string in the suffix trees; with 64 figures rise by less than 0.1%
PROMPT_END = 8  # tokens of its prompt that are kept with an earlier response, so that drafts can open it

Split = tuple[lar.Corpus, lar.Corpus]


@dataclass(frozen=True)
class Conversation:
    """One trajectory: its units, their sizes in base tokens, and the spans of the agent's turns."""

    id: str
    task: str
    units: list[int]
    sizes: NDArray[np.int64]
    turns: list[tuple[int, int]]

    def responses(self) -> Iterator[list[int]]:
        """The agent's turns in units, each with the end of its prompt."""
        for start, end in self.turns:
            yield self.units[max(0, start - PROMPT_END) : end]


@dataclass
class Counts:
    """Sums over the agent's turns. The context of each turn counts in full, in units."""

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
        """The sums and the ratios of the table."""
        return asdict(self) | {
            "base_tokens_a_pass": self.base_tokens / self.passes,
            "accepted_share": self.accepted / self.drafted if self.drafted else 0.0,
            "drafted_a_pass": self.drafted / self.passes,
            "context_a_turn": self.context / self.turns,
        }


def main() -> None:
    """Measure each corpus, print its rows at once, and write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument(
        "--corpora",
        nargs="+",
        default=CORPORA,
        help="file name, or file name/word: only ids that contain the word",
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=entry.at_least_zero,
        default=[0, 256, 1024, 4096],
        help="numbers of latents",
    )
    parser.add_argument(
        "--drafts", nargs="+", default=DRAFTS, help="kind:size, with a kind of " + ", ".join(KINDS)
    )
    parser.add_argument("--gates", default="engines", help="engine gates of mining: engines, none, or names")
    parser.add_argument("--earlier", choices=EARLIER, default="attempts", help=_lines(EARLIER))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="splits of the tasks")
    parser.add_argument(
        "--tokens",
        type=entry.positive,
        default=30_000,
        help="base tokens of the agent's after which a split stops",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
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
    write_json(options.output, {"options": measured, "results": results})


def measure(name: str, size: int, seed: int, options: argparse.Namespace) -> dict[str, Counts]:
    """The counts of each draft on one split, with `size` latents (0: base ids)."""
    file, _, word = name.partition("/")
    train, held_out = split(options.data / f"{file}.jsonl.gz", options.tokenizer, seed)
    vocabulary = lar.mine(train, size=size, gates=options.gates) if size else None
    earlier = [one for one in conversations(train, vocabulary) if word in one.id]
    unseen = first([one for one in conversations(held_out, vocabulary) if word in one.id], options.tokens)
    drafters = {draft: drafter(draft) for draft in options.drafts}
    return simulate(earlier, unseen, drafters, options.earlier)


@cache
def split(file: Path, tokenizer: Path, seed: int) -> Split:
    """The training and the held-out tasks of a file of trajectories."""
    return corpus(file, tokenizer).split(HELD_OUT, seed)


@cache
def corpus(file: Path, tokenizer: Path) -> lar.Corpus:
    """The corpus of a file of trajectories."""
    return lar.Corpus.build(lar.read_trajectories(file), lar.Tokenizer.load(tokenizer))


def drafter(name: str) -> Drafter:
    """The drafter of a name such as `path:24`; SystemExit where there is none."""
    kind, _, limit = name.partition(":")
    if kind not in KINDS or not limit.isdigit():
        raise SystemExit(
            f"a draft is kind:size, such as path:24, with a kind of {', '.join(KINDS)}; not {name}"
        )
    return KINDS[kind](int(limit))


def conversations(source: lar.Corpus, vocabulary: lar.LatentVocabulary | None) -> Iterator[Conversation]:
    """The corpus's conversations in units."""
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
                turn_spans(action[start:end]),
            )


def first(found: list[Conversation], tokens: int) -> list[Conversation]:
    """The first conversations with `tokens` base tokens of the agent, the attempts at a task together."""
    together = sorted(found, key=lambda one: [other.task for other in found].index(one.task))
    written = [sum(int(one.sizes[start:end].sum()) for start, end in one.turns) for one in together]
    return together[: int(np.searchsorted(np.cumsum(written), tokens)) + 1]


def simulate(
    earlier: list[Conversation], unseen: list[Conversation], drafters: dict[str, Drafter], arriving: str
) -> dict[str, Counts]:
    """The counts of each drafter over the unseen conversations; `arriving` is a key of EARLIER."""
    responses = SuffixTree(DEPTH)
    for conversation in earlier:
        learn(responses, conversation)
    counts = {name: Counts() for name in drafters}
    waiting: list[Conversation] = []
    for conversation in unseen:
        if arriving == "attempts" or (waiting and waiting[0].task != conversation.task):
            while waiting:
                learn(responses, waiting.pop(0))
        write(conversation, responses, drafters, counts)
        waiting.append(conversation)
    return counts


def learn(tree: SuffixTree, conversation: Conversation) -> None:
    """Add a conversation's responses to a tree."""
    for response in conversation.responses():
        tree.extend(response)
        tree.end()


def write(
    conversation: Conversation, responses: SuffixTree, drafters: dict[str, Drafter], counts: dict[str, Counts]
) -> None:
    """Write one conversation's turns with each drafter.

    The drafters share the trees, which depend on the written text only.
    """
    own, units, known = SuffixTree(DEPTH), conversation.units, 0
    for start, end in conversation.turns:
        own.extend(units[known:start])
        known = end
        base_tokens = int(conversation.sizes[start:end].sum())
        for count in counts.values():
            count += Counts(turns=1, base_tokens=base_tokens, units=end - start, context=start)
        context = units[max(0, start - DEPTH) : start]
        trees = [Matches(tree, tree.matches(context)) for tree in (own, responses)]
        write_turn(units[start:end], trees, drafters, counts)


def write_turn(
    turn: list[int], trees: list[Matches], drafters: dict[str, Drafter], counts: dict[str, Counts]
) -> None:
    """Write one turn with each drafter, and append it to the first tree."""
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
    """The figures of all splits together, and the base tokens per pass of each."""
    total = Counts()
    for split in splits:
        total += split[draft]
    return total.figures() | {"splits": [split[draft].figures()["base_tokens_a_pass"] for split in splits]}


def head() -> str:
    """The table's head."""
    return (
        f"{'corpus':<18}{'latents':>8}  {'draft':<9}{'base tokens a pass':>19}{'splits':>13}"
        f"{'accepted':>9}{'drafted a pass':>15}{'context a turn':>15}"
    )


def row(name: str, size: int, draft: str, figures: dict[str, Any]) -> str:
    """One row of the table."""
    splits = f"{min(figures['splits']):.2f}-{max(figures['splits']):.2f}"
    return (
        f"{name:<18}{size:>8}  {draft:<9}{figures['base_tokens_a_pass']:>19.2f}{splits:>13}"
        f"{figures['accepted_share']:>9.1%}{figures['drafted_a_pass']:>15.1f}"
        f"{figures['context_a_turn']:>15,.0f}"
    )


def _lines(choices: dict[str, str]) -> str:
    return "; ".join(f"{name}: {meaning}" for name, meaning in choices.items())


if __name__ == "__main__":
    entry.run(main)
