"""Latents beside zip2zip (arXiv 2506.01084): units saved on held-out tasks of real logs, by its own package.

    pip install zip2zip-compression==0.3.4
    python -m benches.mining.zip2zip --data shared/data --tokenizer shared/tokenizers/qwen3 -o zip2zip.json

zip2zip has no vocabulary that is mined before. While a model reads and writes, LZW turns token sequences that
came up before in the same conversation into *hypertokens*, and forgets them at its end. So it needs no logs,
and shortens what is read too. Its model computes the rows of new hypertokens, so its engine has to as well.

Every conversation is compressed from its first token on, special tokens are never merged, and a hypertoken is
of the turn in which it begins: one that reaches from a prompt into a reply costs the reply nothing. Both
methods are counted by what the text allows: no model has learnt either. A setting CxM is C hypertokens at
most, of M base tokens at most: 1024x4 is in the published code of the training, for windows of 1,024 tokens,
8192x4 in the README's example, and 65536x64 is nearly without limits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry
from benches.mining.reduction import CORPORA, HELD_OUT
from lar.corpus import Corpus
from lar.tokenizer import Tokenizer
from lar.utils.files import write_json

PACKAGE = "zip2zip_compression"
SETTINGS = [(1024, 4), (8192, 4), (65536, 64)]
PROMPT_WEIGHT = 0.1


@dataclass
class Saved:
    """What a method makes of the same text, in base tokens and in units."""

    action_tokens: int = 0
    action_units: int = 0
    tokens: int = 0
    units: int = 0

    def shares(self) -> tuple[float, float]:
        """The share of the agent's tokens that is saved, and of all tokens."""
        return 1 - self.action_units / self.action_tokens, 1 - self.units / self.tokens


def main() -> None:
    """Measure each corpus, print a row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    entry.add_logs(parser, CORPORA)
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[256, 1024], help="numbers of latents"
    )
    parser.add_argument(
        "--settings", nargs="+", type=limits_of, default=SETTINGS, help="of zip2zip, as CxM, such as 1024x4"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="splits of the tasks")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    if find_spec(PACKAGE) is None:
        raise SystemExit("zip2zip's package is not there: pip install zip2zip-compression==0.3.4")
    limits = {
        f"zip2zip {codebook}x{subtokens}": (codebook, subtokens) for codebook, subtokens in options.settings
    }
    results: dict[str, dict[str, list[tuple[float, float]]]] = {}
    arms = [*limits, *(arm for size in options.sizes for arm in lar_arms(size))]
    print("saved of the agent's tokens / of all tokens, in percent")
    print(f"| corpus | {' | '.join(arms)} |\n|---|{'---|' * len(arms)}")
    for name in options.corpora:
        logs = lar.read_trajectories(options.data / f"{name}.jsonl.gz")
        corpus = Corpus.build(logs, options.tokenizer)
        found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
        for seed in options.seeds:
            train, held_out = corpus.split(HELD_OUT, seed)
            for arm, most in limits.items():
                found[arm].append(by_zip2zip(held_out, *most).shares())
            for size in options.sizes:
                for arm, weight in lar_arms(size).items():
                    found[arm].append(by_lar(train, held_out, size, weight))
        results[name] = found
        print(row(name, found), flush=True)
        write_json(options.output, results)


def limits_of(setting: str) -> tuple[int, int]:
    """The most hypertokens, and the most base tokens in one, of a setting such as 1024x4."""
    codebook, _, subtokens = setting.partition("x")
    return entry.positive(codebook), entry.positive(subtokens)


limits_of.__name__ = "setting"  # argparse names it


def lar_arms(size: int) -> dict[str, float]:
    """The names of the two vocabularies of a size, and the weights of what is read."""
    return {f"lar {size}": 0.0, f"lar {size}, prompts too": PROMPT_WEIGHT}


def by_lar(train: Corpus, held_out: Corpus, size: int, weight: float) -> tuple[float, float]:
    """What latents that were mined on other tasks save: of the agent's tokens, and of all."""
    total = lar.evaluate({"held out": held_out}, lar.mine(train, size=size, prompt_weight=weight)).total
    return total.reduction, total.context_reduction


def by_zip2zip(corpus: Corpus, codebook: int, subtokens: int) -> Saved:
    """What hypertokens save in these conversations.

    Raises:
        SystemExit: they do not give the text back.
    """
    package = import_module(PACKAGE)  # only here: all else does without
    tokenizer = Tokenizer.of(corpus.tokenizer)
    special = sorted(tokenizer.barriers)
    compressor = package.LZWCompressor(tokenizer.base_size, codebook, subtokens, special[0], special)
    saved = Saved()
    for one in corpus:
        tokens, action = one.tokens.tolist(), one.action
        units, _, hypertokens = compressor.encode(tokens, False, False, None)
        if compressor.decode(units)[0] != tokens:
            raise SystemExit(f"{one.id}: not lossless")
        parts = hypertokens.to_dict()
        begins = starts(len(parts[unit]) if unit in parts else 1 for unit in units)
        saved.action_tokens += int(action.sum())
        saved.action_units += int(action[begins].sum())
        saved.tokens += len(tokens)
        saved.units += len(units)
    return saved


def starts(sizes: Iterable[int]) -> NDArray[np.int64]:
    """Where n units of these sizes begin, one after the other; int64 (n)."""
    found = np.fromiter(sizes, np.int64)
    begins: NDArray[np.int64] = np.cumsum(found) - found
    return begins


def row(name: str, found: dict[str, list[tuple[float, float]]]) -> str:
    """One line of the table: means over the splits."""
    cells = (
        " / ".join(f"{100 * mean(share):.1f}" for share in zip(*shares, strict=True))
        for shares in found.values()
    )
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    entry.run(main)
