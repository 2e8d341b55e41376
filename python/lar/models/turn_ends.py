"""Where a model's turn ends."""

import logging
from functools import cache
from typing import Any

from lar.tokenizer.spans import end_of_turn
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)


def end_ids(model: Any, tokenizer: Tokenizer, vocabulary: LatentVocabulary) -> list[int]:
    """The ids that end a turn: the model's own, the tokenizer's end of text, the template's end of turn.

    The configuration of a base model that has learnt a chat template often names its end of text alone.
    `vocabulary` has the student's latents; none of them ends a turn (see `base_ids`).
    """
    own = base_ids(getattr(model.generation_config, "eos_token_id", None), vocabulary)
    ends = [end_of_turn(tokenizer, tools) for tools in (False, True)]
    named = [tokenizer.special_tokens.get("eos_token"), *ends]
    found = [tokenizer.backend.token_to_id(name) for name in named if name is not None]
    return list(dict.fromkeys([*own, *(index for index in found if index is not None)]))


def base_ids(value: int | list[int] | None, vocabulary: LatentVocabulary) -> list[int]:
    """The ids in a field of a generation configuration, such as `eos_token_id`.

    Some configurations name ids beyond those of the tokenizer. With latents such an id is that of a latent,
    or of a row of padding after them: it is left out, with a warning.
    """
    ids = [] if value is None else [value] if isinstance(value, int) else list(value)
    if not len(vocabulary):
        return ids
    beyond = tuple(index for index in ids if index >= vocabulary.base_size)
    if beyond:
        _warn(beyond, vocabulary.base_size)
    return [index for index in ids if index not in beyond]


@cache  # each call of `generate` asks
def _warn(ids: tuple[int, ...], base_size: int) -> None:
    logger.warning(
        "the base's generation configuration names ids that its tokenizer of %d ids does not have, and that "
        "are the latents' now; they are left out: %s",
        base_size,
        ", ".join(map(str, ids)),
    )
