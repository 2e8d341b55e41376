"""Whether a model reads the sequences that are packed into one row apart, found by running it once."""

# Not a list of families: whether a family does depends on its layers, the attention and the version of
# transformers. Recurrent layers and convolutions read on over the border, and so does attention with ALiBi.

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

# Of the result in an attribute of the model, by its attention.
_ATTRIBUTE = "lar_separates_packed"
_LENGTHS = [8, 8]
# Largest distance of a hidden state, relative to its norm, that counts as rounding. Rounding gave 1e-6, in
# bfloat16 1e-2; a second sequence that sees the first one 0.05 to 1.5 (random weights of 13 families).
_ROUNDING = {torch.float32: 1e-4}
_ROUNDING_OF_HALF = 5e-2

States = Callable[[Tensor, Tensor | None], Tensor]


def separates_packed(model: Any, states: States) -> bool:
    """Whether `model` computes a packed row's hidden states as those of each sequence by itself.

    `states` returns the model's hidden states (1, n, width) of ids (1, n) and positions (1, n), or None. The
    model is run at the first call; one that fails gets a warning.
    """
    known: dict[str, bool] = vars(model).setdefault(_ATTRIBUTE, {})
    attention = str(model.config.get_text_config()._attn_implementation)
    if attention not in known:
        known[attention] = _compare(model, states)
        if not known[attention]:
            logger.warning(
                "%s does not separate sequences in one row: a batch is padded to its longest one, which takes"
                " more memory; lower batch_tokens if it does not suffice",
                type(model).__name__,
            )
    return known[attention]


@torch.no_grad()
def _compare(model: Any, states: States) -> bool:
    weight = model.get_input_embeddings().weight
    ids = spread_ids(weight, sum(_LENGTHS))[None]
    positions = torch.cat([torch.arange(length, device=weight.device) for length in _LENGTHS])[None]
    training = model.training
    model.eval()
    try:
        packed = states(ids, positions)[0].float()
        alone = torch.cat([states(part, None)[0] for part in torch.split(ids, _LENGTHS, dim=1)]).float()
    finally:
        model.train(training)
    return are_rounded(packed, alone, weight.dtype)


def spread_ids(weight: Tensor, count: int) -> Tensor:
    """Ids, int64 (count), spread over the first half of an embedding's rows; the last ones may be latents.

    The first ids would be of rare tokens, at whose states bfloat16 rounds by 5% and not by 2%.
    """
    half = max(1, weight.shape[0] // 2)
    return torch.arange(count, device=weight.device) * max(1, half // count) % half


def are_rounded(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether hidden states (n, width) of a model with weights in `dtype` differ by rounding alone."""
    distance = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    # Not finite: damaged weights, which training reports with the conversation.
    return bool(distance.nan_to_num(0.0).max() < _ROUNDING.get(dtype, _ROUNDING_OF_HALF))
