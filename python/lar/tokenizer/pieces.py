"""Encoding pieces of text that follow other text, and where a tokenizer always parts a text."""

import random
import re
from collections.abc import Sequence, Set
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lar.tokenizer.tokenizer import Tokenizer

# A byte that no text has.
_BORDER = b"\xff"
# Texts that are encoded as one: the library's cost for each text is then small beside that of its tokens.
_JOINED = 1_000
_PROBES = 1_000
# What probes are made of: each class of characters that pre-tokenizers treat alike, words, and contractions.
_ALPHABET = (
    "a",
    "B",
    "the",
    "Of",
    "é",
    "1",
    "23",
    ".",
    "/",
    "(",
    '"',
    "'",
    "'s",
    "_",
    ">",
    "\n",
    "\r",
    " ",
    "\t",
    "—",
)


class Joints(NamedTuple):
    """The kinds of places at which a tokenizer parts every text: tokens(a + b) = tokens(a) + tokens(b).

    space: before a single space between two visible ASCII characters. newline: between a newline and a
    visible ASCII character other than a slash. punctuation: between an ASCII letter or digit and ASCII
    punctuation other than an apostrophe.
    """

    space: bool
    newline: bool
    punctuation: bool


# Of each kind, in the order of `Joints`.
_PATTERNS = (
    re.compile(rb"(?<=[!-~])(?= [!-~])"),
    re.compile(rb"(?<=\n)(?=[!-.0-~])"),
    re.compile(rb"(?<=[A-Za-z0-9])(?=[!-&(-/:-@\[-`{-~])"),
)


@lru_cache(maxsize=8)
def joints(tokenizer: Tokenizer) -> Joints:
    """Return which kinds of joints hold for `tokenizer`.

    A kind holds if no base token continues across such a place, and if thousands of texts made of every class
    of characters are parted there.
    """
    table = tokenizer.base_token_bytes()
    rng = random.Random(0)
    return Joints(*(not _crossing(tokenizer, p, table) and _parts(tokenizer, p, rng) for p in _PATTERNS))


@lru_cache(maxsize=8)
def partings(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """A pattern of added tokens after which a text is parted: tokens(a + b) = tokens(a) + tokens(b).

    They are special, leave the text around them as it is, and no other added token can overlap them. None
    without such a token, or if some texts are not parted.
    """
    added = tokenizer.backend.get_added_tokens_decoder()
    found = [added[index] for index in tokenizer.barriers.tolist()]
    contents = [token.content for token in found]
    ends = {content[start:] for content in contents for start in range(1, len(content))}
    plain = [t for t in found if t.special and not (t.lstrip or t.rstrip or t.single_word or t.normalized)]
    chosen = [t.content for t in plain if not _is_overlapped(t.content, contents, ends)]
    whole = tokenizer.encode_batch([token + text for token in chosen for text in _ALPHABET])
    parts = tokenizer.encode_batch([*chosen, *_ALPHABET])
    before, after = parts[: len(chosen)], parts[len(chosen) :]
    expected = [np.concatenate([ids, text]) for ids in before for text in after]
    if not chosen or not all(map(np.array_equal, whole, expected)):
        return None
    return re.compile("|".join(map(re.escape, chosen)))


def _is_overlapped(token: str, contents: Sequence[str], ends: Set[str]) -> bool:
    """Whether an added token may take text of `token`: one that contains it, or ends in its beginning."""
    is_within = any(token in content for content in contents if content != token)
    return is_within or any(token[:end] in ends for end in range(1, len(token) + 1))


def _crossing(tokenizer: Tokenizer, pattern: re.Pattern[bytes], table: Sequence[bytes]) -> bool:
    """Whether a base token that the tokenizer makes of its own text continues across a joint."""
    joined = _BORDER.join(table)
    starts = np.cumsum([0, *(len(token) + 1 for token in table)])
    places = [match.start() for match in pattern.finditer(joined)]
    found = {table[index] for index in np.searchsorted(starts, places, side="right") - 1}
    texts = [token.decode() for token in found if _is_text(token)]
    _, offsets = encode_pieces(tokenizer, texts)
    # Vocabularies have some tokens that no merge leads to, such as `<unk>` written out.
    return len(texts) < len(found) or bool((np.diff(offsets) == 1).any())


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parts(tokenizer: Tokenizer, pattern: re.Pattern[bytes], rng: random.Random) -> bool:
    """Whether random texts are parted where `pattern` matches."""
    whole: list[str] = []
    before: list[str] = []
    after: list[str] = []
    while len(whole) < _PROBES:
        text = "".join(rng.choices(_ALPHABET, k=rng.randint(2, 12)))
        content = text.encode()
        for match in pattern.finditer(content):
            whole.append(text)
            before.append(content[: match.start()].decode())
            after.append(content[match.start() :].decode())
    ids, offsets = encode_pieces(tokenizer, [*whole, *before, *after])
    parts = [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]
    n = len(whole)
    return all(parts[i] == parts[n + i] + parts[2 * n + i] for i in range(n))


def encode_pieces(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Encode each of m texts as it is encoded after an added token.

    Returns the base ids of all texts end to end, uint32, and their offsets (m + 1), int64.
    """
    separator = tokenizer.separator
    if separator is None:
        return _flat(tokenizer.encode_batch(texts))
    groups = [texts[start : start + _JOINED] for start in range(0, len(texts), _JOINED)]
    encoded = tokenizer.encode_batch([separator + separator.join(group) for group in groups])
    ids = np.concatenate([np.zeros(0, np.uint32), *encoded])
    borders = np.flatnonzero(ids == tokenizer.backend.token_to_id(separator))
    if len(borders) != len(texts):  # a text holds the separator itself
        return _flat([tokenizer.encode(separator + text)[1:] for text in texts])
    offsets = np.append(borders, len(ids)) - np.arange(len(texts) + 1)
    return np.delete(ids, borders), offsets.astype(np.int64)


def _flat(lists: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    offsets = [0, *accumulate(map(len, lists))]
    return np.concatenate([np.zeros(0, np.uint32), *lists]), np.array(offsets, dtype=np.int64)
