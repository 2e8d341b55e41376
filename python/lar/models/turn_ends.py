"""Where a model's turn ends."""

from typing import Any

from lar.tokenizer.spans import end_of_turn
from lar.tokenizer.tokenizer import Tokenizer


def end_ids(model: Any, tokenizer: Tokenizer) -> list[int]:
    """The ids that end a turn: the model's own, the tokenizer's end of text, the template's end of turn.

    The configuration of a base model that has learnt a chat template often names its end of text alone.
    """
    own = getattr(model.generation_config, "eos_token_id", None)
    own = [] if own is None else [own] if isinstance(own, int) else list(own)
    ends = [end_of_turn(tokenizer, tools) for tools in (False, True)]
    named = [tokenizer.special_tokens.get("eos_token"), *ends]
    found = [tokenizer.backend.token_to_id(name) for name in named if name is not None]
    return list(dict.fromkeys([*own, *(index for index in found if index is not None)]))
