"""Real turns cut into atoms: whole words, whole numbers and single other tokens."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import lar
from benches.resampling.agent_turns import AgentTurns
from benches.resampling.hashing import Hashes, Indices, distinct, mixed, pieces

OTHER, WORD, NUMBER = 0, 1, 2
_FEWEST_LETTERS = 3  # shorter words are grammar: articles, aliases in SQL
_FEWEST_DIGITS = 2  # single digits count steps and list items
_FEWEST_TASKS = 2


@dataclass(frozen=True)
class TokenShapes:
    """The characters of each id of a byte-level tokenizer; arrays as long as its base size.

    digit: the id is one digit. letters: the id is only letters (bytes past ASCII count as letters). word: the
    id is letters with at most one other character before them. shape: of a word, that character and the case
    of the letters. size: number of letters or digits. digits (10): the ids of "0" to "9".
    """

    digit: NDArray[np.bool_]
    letters: NDArray[np.bool_]
    word: NDArray[np.bool_]
    shape: NDArray[np.uint32]
    size: NDArray[np.int64]
    digits: NDArray[np.uint32]

    @classmethod
    def of(cls, tokenizer: lar.Tokenizer) -> "TokenShapes":
        """The shapes of every id, from its bytes."""
        flat, offsets = tokenizer.token_bytes()
        content = flat.tobytes()
        tokens = [content[start:end] for start, end in pairwise(offsets.tolist())]
        letters = np.array([_is_letters(token) for token in tokens])
        prefixed = np.array([_is_letters(token[1:]) and not token[:1].isalnum() for token in tokens])
        digit = np.array([len(token) == 1 and token.isdigit() for token in tokens])
        return cls(
            digit=digit,
            letters=letters,
            word=letters | prefixed,
            shape=np.array([_shape(token) for token in tokens], dtype=np.uint32),
            size=np.array([len(token) for token in tokens]) - (prefixed & ~letters),
            digits=np.array([tokenizer.encode(str(number))[0] for number in range(10)], dtype=np.uint32),
        )


def _is_letters(token: bytes) -> bool:
    return bool(token) and all(byte >= 0x80 or chr(byte).isalpha() for byte in token)


def _shape(token: bytes) -> int:
    prefix, bare = (0, token) if _is_letters(token) else (token[0] if token else 0, token[1:])
    case = 2 if len(bare) > 1 and bare.isupper() else int(bare[:1].isupper())
    return prefix * 4 + case


@dataclass(frozen=True)
class Atoms:
    """t turns with n tokens, cut into a atoms.

    An atom that occurs in few tasks of its corpus is a *value*: a name, an id, an amount. The others are the
    corpus's grammar, which the agent writes in every task.

    tokens (n). starts (a + 1): the first token of each atom. turns (t + 1): the first atom of each turn.
    task (a). content (a): a hash of the atom's tokens and its corpus. shape (a): a hash of the corpus with,
    for a word, its first other character and its case, and for a number its length. number, value (a):
    whether the atom is one.
    """

    tokens: NDArray[np.uint32]
    starts: Indices
    turns: Indices
    task: NDArray[np.uint32]
    content: Hashes
    shape: Hashes
    number: NDArray[np.bool_]
    value: NDArray[np.bool_]

    @cached_property
    def lengths(self) -> Indices:
        """Tokens of each atom (a)."""
        return np.diff(self.starts)

    @cached_property
    def symbols(self) -> Hashes:
        """Each atom as a context of others (a): its content, or of a value its shape only."""
        return np.where(self.value, mixed(self.shape + np.uint64(1)), self.content)


def cut_into_atoms(real: AgentTurns, shapes: TokenShapes, known_to: float) -> Atoms:
    """Cut real turns. Values occur in at most the share `known_to` of their corpus's tasks (or in 2)."""
    tokens = real.tokens
    starts = np.flatnonzero(~_continues(real, shapes))
    lengths = np.diff(starts, append=len(tokens))
    trajectory = np.repeat(np.arange(len(real.tasks)), np.diff(real.turns[real.trajectories]))[starts]
    corpus, task = real.corpora[trajectory], real.tasks[trajectory]
    content = _content(tokens, starts, lengths, corpus)
    word, number = shapes.word[tokens[starts]], shapes.digit[tokens[starts]]
    sizes = np.add.reduceat(shapes.size[tokens], starts)
    long_enough = (word & (sizes >= _FEWEST_LETTERS)) | (number & (sizes >= _FEWEST_DIGITS))
    shape = np.where(word, shapes.shape[tokens[starts]], 1 << 16 | lengths)
    return Atoms(
        tokens=tokens,
        starts=np.append(starts, len(tokens)),
        turns=np.searchsorted(starts, real.turns),
        task=task,
        content=content,
        shape=corpus.astype(np.uint64) << np.uint64(32) | shape.astype(np.uint64),
        number=number,
        value=long_enough & _is_rare(content, corpus, task, known_to),
    )


def _continues(real: AgentTurns, shapes: TokenShapes) -> NDArray[np.bool_]:
    """Whether each token belongs to the same atom as the one before it (n)."""
    tokens = real.tokens
    before = np.roll(tokens, 1)
    continues = (shapes.letters[tokens] & shapes.word[before]) | (shapes.digit[tokens] & shapes.digit[before])
    continues[real.turns[:-1]] = False
    return continues


def _content(
    tokens: NDArray[np.uint32], starts: Indices, lengths: Indices, corpus: NDArray[np.uint32]
) -> Hashes:
    place = pieces(np.zeros_like(starts), lengths).astype(np.uint64)
    # Never 0, which stands for the place before a turn.
    placed = mixed((tokens.astype(np.uint64) + np.uint64(1)) << np.uint64(32) | place)
    return mixed(np.add.reduceat(placed, starts) + corpus.astype(np.uint64))


def _is_rare(
    content: Hashes, corpus: NDArray[np.uint32], task: NDArray[np.uint32], known_to: float
) -> NDArray[np.bool_]:
    """Whether each atom occurs in few tasks of its corpus (a)."""
    numbers = np.unique(content, return_inverse=True)[1]
    known = np.bincount(numbers[distinct(numbers, task)])
    tasks = np.bincount(corpus[np.unique(task, return_index=True)[1]])
    rare: NDArray[np.bool_] = known[numbers] <= np.maximum(tasks * known_to, _FEWEST_TASKS)[corpus]
    return rare
