"""A short digest of latents, by which results tell whether they are of the same ones."""

import hashlib
import json
from collections.abc import Iterable, Sequence


def latents_digest(segments: Iterable[Sequence[int]]) -> str:
    """The digest of latents, given the base ids of each in their order.

    >>> from lar.vocabulary.digest import latents_digest
    >>> latents_digest([[1, 2], [3, 4, 5]])
    'ba5cbf49ad8e3878'
    """
    return hashlib.sha256(json.dumps([list(ids) for ids in segments]).encode()).hexdigest()[:16]
