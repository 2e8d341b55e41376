"""Several streams of tokens in one row, some of which go on from a part of another one.

A branch goes on from the beginning of its parent, and is seen by nothing else. So a model computes, in one
pass, what it would compute of each branch behind that beginning.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lar.models.packing import are_rounded, spread_ids

_CONVERSATION, _SEEN, _BRANCH = 8, 5, 4  # tokens of the row by which a model is tried

States = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]


def stream_mask(streams: Tensor, positions: Tensor) -> Tensor:
    """The mask of attention for one row, bool (1, 1, n, n): what each token sees.

    streams: int64 (3, n), of each token its stream, its parent (its own stream, if it has none), and how many
    of the parent's tokens it sees. positions: int64 (1, n), the place of each token in its sequence.
    """
    own, parent, sees = streams
    at = torch.arange(len(own), device=own.device)
    before = (own[:, None] == own[None]) & (at[:, None] >= at[None])
    inherited = (parent[:, None] == own[None]) & (positions < sees[:, None])
    mask: Tensor = (before | inherited)[None, None]
    return mask


@torch.no_grad()
def reads_streams(model: Any, states: States) -> bool:
    """Whether `model` computes of a branch what it computes behind the beginning that this goes on from.

    `states` returns the model's hidden states (1, n, width) of ids (1, n), positions (1, n) and streams. The
    model is run twice on a few tokens. Layers with a sliding window or a recurrent state are not tried: they
    do not follow such a mask.
    """
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=model.config).layers):
        return False
    weight = model.get_input_embeddings().weight
    row = spread_ids(weight, _CONVERSATION + _BRANCH)
    branch = (torch.arange(len(row), device=weight.device) >= _CONVERSATION).long()
    streams = torch.stack([branch, torch.zeros_like(branch), branch * _SEEN])
    positions = torch.cat([torch.arange(_CONVERSATION), _SEEN + torch.arange(_BRANCH)]).to(weight.device)
    alone = torch.cat([row[:_SEEN], row[_CONVERSATION:]])
    training = model.training
    model.eval()
    try:
        found = states(row[None], positions[None], streams)[0, _CONVERSATION:].float()
        expected = states(alone[None], None, None)[0, _SEEN:].float()
    finally:
        model.train(training)
    return are_rounded(found, expected, weight.dtype)
