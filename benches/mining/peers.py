"""The peers of `lar`'s mining: byte-pair merges over token ids, by the `tokenizers` trainer."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, trainers

from lar import Corpus, _core
from lar.mining.one_machine import OneMachine

# Each id is written as one character, past ASCII and around the surrogates, which are no characters.
_FIRST, _SURROGATES, _GAP = 0x100, 0xD800, 0x800


@dataclass(frozen=True)
class BpeMerges:
    """Merges learnt by the `tokenizers` trainer, and the characters of its training texts."""

    tokenizer: tokenizers.Tokenizer
    alphabet: frozenset[str]

    @classmethod
    def train(cls, runs: _core.Runs, size: int) -> "BpeMerges":
        """Learn `size` merges on all occurrences of `runs`; none crosses a barrier, as in `lar`."""
        texts = _texts(runs)
        alphabet = frozenset(character for text in texts for character in text)
        tokenizer = tokenizers.Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=len(alphabet) + size, initial_alphabet=sorted(alphabet), show_progress=False
        )
        counts = _counts(runs)
        repeated = (text for text, count in zip(texts, counts, strict=True) for _ in range(count))
        tokenizer.train_from_iterator(repeated, trainer)
        return cls(tokenizer, alphabet)

    def segments(self) -> list[list[int]]:
        """The base ids of each merge, in the order in which they were learnt."""
        merged = [text for text in self.tokenizer.get_vocab() if len(text) > 1]
        return [as_ids(text) for text in sorted(merged, key=self.tokenizer.token_to_id)]

    def saved(self, runs: _core.Runs) -> int:
        """How many units fewer than base tokens all occurrences of `runs` are."""
        counts = _counts(runs)
        units = sum(
            count * _units(self.tokenizer, text, self.alphabet)
            for text, count in zip(_texts(runs), counts, strict=True)
        )
        return int(runs.total_tokens - units)


def bpe_reduction(train: Corpus, held_out: Corpus, size: int) -> float:
    """1 - units / base tokens on `held_out` with `size` BPE merges learnt on the agent's runs of `train`.

    Merges never cross a barrier, as in `lar`; barriers count as one unit each.
    """
    merges = BpeMerges.train(agent_runs(train), size)
    return merges.saved(agent_runs(held_out)) / held_out.num_action_tokens


def agent_runs(corpus: Corpus) -> _core.Runs:
    """The distinct runs of the agent's tokens between barriers, with the tasks of each."""
    return OneMachine().fold(corpus, None)


def _texts(runs: _core.Runs) -> list[str]:
    tokens, offsets, *_ = runs.to_arrays()
    return [as_text(tokens[start:end]) for start, end in pairwise(offsets.tolist())]


def _counts(runs: _core.Runs) -> list[int]:
    _, _, counts, *_ = runs.to_arrays()
    found: list[int] = counts.tolist()
    return found


def as_text(tokens: NDArray[np.uint32]) -> str:
    """Ids as characters, one each."""
    codes = tokens.astype(np.int64) + _FIRST
    codes += np.where(codes >= _SURROGATES, _GAP, 0)
    return "".join(map(chr, codes.tolist()))


def as_ids(text: str) -> list[int]:
    """The ids that `as_text` wrote."""
    return [ord(character) - _FIRST - (_GAP if ord(character) >= _SURROGATES else 0) for character in text]


def _units(tokenizer: tokenizers.Tokenizer, text: str, alphabet: frozenset[str]) -> int:
    # BPE drops characters that are not in its alphabet; each is a unit of its own.
    return len(tokenizer.encode(text).ids) + sum(character not in alphabet for character in text)
