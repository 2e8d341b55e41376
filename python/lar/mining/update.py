"""An update of a vocabulary: what still pays keeps its id, so that a student's rows stay of use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lar.corpus import Corpus
from lar.errors import VocabularyError
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary


def check_tokenizer(vocabulary: LatentVocabulary, corpus: Corpus) -> None:
    """Raise VocabularyError if the vocabulary was mined with another tokenizer than the corpus's."""
    ours, theirs = vocabulary.tokenizer_fingerprint, corpus.tokenizer.fingerprint
    if ours != theirs:
        raise VocabularyError(
            f"the vocabulary was mined with tokenizer {ours[:12]}, the corpus was built with {theirs[:12]}"
        )


@dataclass(frozen=True)
class Rows:
    """Which of the chosen segments has which row.

    order: for each row, the index of its segment among those that were chosen. kept: rows that hold the same
    segment as before. moved: segments that are kept in another row. retired: the latents that are gone.
    """

    order: list[int]
    kept: int
    moved: int
    retired: tuple[Latent, ...]

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the retired texts as JSON-ready values."""
        new = len(self.order) - self.kept - self.moved
        retired = [latent.text for latent in self.retired]
        return {"kept": self.kept, "moved": self.moved, "new": new, "retired": retired}


def rows_of(before: Sequence[Latent], chosen: Sequence[Sequence[int]]) -> Rows:
    """The rows of an updated vocabulary, whose segments are `chosen`, the most useful first.

    A segment that was a latent keeps its row, and the others fill the rows of retired latents in order, then
    rows behind them. If they are too few, the last rows move into those that are left.

    >>> before = [Latent(7, (1, 2), "a", 1, 1, 1), Latent(8, (3, 4), "b", 1, 1, 1)]
    >>> rows_of(before, [(5, 6), (3, 4)]).order
    [0, 1]
    """
    place = {tuple(segment): index for index, segment in enumerate(chosen)}
    stays = [place.pop(latent.tokens, None) for latent in before]
    new = iter(place.values())
    rows = [next(new, None) if index is None else index for index in stays]
    rows += new
    while None in rows:
        last = rows.pop()
        if last is not None:
            rows[rows.index(None)] = last
    order = [index for index in rows if index is not None]
    kept = sum(before is not None and before == after for before, after in zip(stays, order, strict=False))
    stayed = sum(index is not None for index in stays)
    retired = tuple(latent for latent, index in zip(before, stays, strict=True) if index is None)
    return Rows(order, kept, stayed - kept, retired)
