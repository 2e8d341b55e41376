"""The search tool of `search_qa`: BM25 over its passages, written as Search-R1 writes results."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# bm25s imports JAX where it is installed, and that would take three quarters of a GPU's memory.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
import bm25s

from lar.tokenizer import Tokenizer

TOP = 3
LONGEST = 500  # tokens of all documents of a result
COMMON = 0.3  # words in a larger share of the passages are ignored
_WORD = re.compile(r"\w+")
_PLAIN_TITLE = re.compile(r"[A-Za-z0-9.!-]+")


@dataclass(frozen=True)
class Passage:
    """A passage of the pool."""

    title: str
    text: str


class Search:
    """Finds passages by BM25 (k1 = 1.2, b = 0.75).

    `tokenizer` counts the tokens at which a result is cut. The logs were cut with Qwen's; a result of another
    tokenizer is a little longer or shorter.
    """

    def __init__(self, passages: Sequence[Passage], tokenizer: Tokenizer) -> None:
        self._passages = passages
        self._tokenizer = tokenizer
        words = [_words(f"{passage.title} {passage.text}") for passage in passages]
        counts = Counter(word for passage in words for word in set(passage))
        self._common = {word for word, count in counts.items() if count > COMMON * len(passages)}
        self._index = bm25s.BM25(k1=1.2, b=0.75)
        self._index.index([self._kept(passage) for passage in words], show_progress=False)

    def find(self, query: str, top: int = TOP) -> list[Passage]:
        """At most `top` passages, the best first; none shares no word with the query."""
        words = self._kept(_words(query))
        if not words:
            return []
        top = min(top, len(self._passages))
        found, scores = self._index.retrieve([words], k=top, show_progress=False)
        pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return [self._passages[index] for index, score in pairs if score > 0]

    def result(self, query: str) -> str:
        """The tool's answer to a query."""
        documents = "\n".join(
            f"Doc {place}(Title: {_quoted_title(passage.title)}) {_doubled(passage.text)}"
            for place, passage in enumerate(self.find(query), 1)
        )
        return f"\n\n<information>{self._cut(documents)}</information>\n\n"

    def _kept(self, words: list[str]) -> list[str]:
        return [word for word in words if word not in self._common]

    def _cut(self, text: str) -> str:
        encoding = self._tokenizer.backend.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= LONGEST:
            return text
        return text[: encoding.offsets[LONGEST - 1][1]]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _quoted_title(title: str) -> str:
    return title if _PLAIN_TITLE.fullmatch(title) else f'"{_doubled(title)}"'


def _doubled(text: str) -> str:
    return text.replace('"', '""')
