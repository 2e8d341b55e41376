"""Conversations parsed into the ids of the exported tokenizer, on which students are trained."""

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.errors import TokenizerError
from lar.tokenizer.pieces import encode_pieces, joints
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.locks import ThreadLock
from lar.vocabulary.segments import Segments


class Served(NamedTuple):
    """Conversations of n base tokens in u units, as an engine reads their text.

    units: uint32 (u). starts: int64 (u), the base position of the token that has each unit's first byte.
    begins: bool (u), whether the unit begins where that token does.
    """

    units: NDArray[np.uint32]
    starts: NDArray[np.int64]
    begins: NDArray[np.bool_]


class ServedParse:
    """The parse of one vocabulary: finds latents in text, and encodes the text between them piece by piece.

    Safe to share between threads. It caches the ids of encoded texts; where new ones would exceed
    128 MiB, all others are dropped.
    """

    def __init__(self, tokenizer: Tokenizer, segments: Segments) -> None:
        """Compile the parse of k segments.

        Raises:
            TokenizerError: the tokenizer changes a text that added tokens divide.
            VocabularyError: a segment holds an id that is no base id.
        """
        check_divisible(tokenizer)
        content, offsets = tokenizer.token_bytes()
        self._tokenizer = tokenizer
        self._core = _core.ServedParse(
            content,
            offsets.astype(np.int64),
            tokenizer.barriers,
            joints(tokenizer),
            segments.tokens,
            segments.offsets,
        )
        self._learning = ThreadLock()

    def with_segments(self, segments: Segments) -> "ServedParse":
        """The parse of other segments, with the cached texts of this one."""
        other = copy(self)
        other._core = self._core.with_segments(segments.tokens, segments.offsets)
        other._learning = ThreadLock()
        return other

    def parse(
        self, tokens: NDArray[np.uint32], action: NDArray[np.bool_], offsets: NDArray[np.int64]
    ) -> Served:
        """Parse the m conversations tokens[offsets[i]:offsets[i + 1]]; `action` (n) is who wrote each token.

        Raises:
            VocabularyError: an id is no base id, or the ids are not those of a text.
            OptionError: the arrays do not fit together.
        """
        plan = self._core.plan(tokens, np.ascontiguousarray(action), offsets)
        # One thread at a time: a thread that adds to the cache may drop texts that another one needs.
        with self._learning:
            if missing := self._core.missing(plan):
                self._core.learn(missing, *encode_pieces(self._tokenizer, missing))
            return Served(*self._core.units(plan))


def check_divisible(tokenizer: Tokenizer) -> None:
    """Raise TokenizerError where a text that added tokens divide does not decode to itself.

    Some tokenizers put a space before each piece of text (the normalizer `Prepend` of early Llama files).
    """
    ids, _ = encode_pieces(tokenizer, ["a b"])
    content, offsets = tokenizer.token_bytes()
    text = b"".join(content[offsets[i] : offsets[i + 1]].tobytes() for i in ids.tolist())
    if text != b"a b":
        raise TokenizerError(
            f"the tokenizer writes {text.decode(errors='replace')!r} for 'a b' after an added token: "
            "texts with latents would be changed by decoding"
        )
