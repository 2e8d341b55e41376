"""The last hidden states of a model: of plain rows, of packed ones, and of rows with several streams."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lar.errors import OptionError
from lar.models.attention import PACKED, choose_attention, packed_lengths
from lar.models.packing import separates_packed
from lar.models.streams import reads_streams, stream_mask


def hidden_states(
    model: Any, ids: Tensor, positions: Tensor | None = None, streams: Tensor | None = None
) -> Tensor:
    """The last hidden states (batch, length, width) of ids (batch, length), which are the head's input.

    With `streams`, a row of several streams is read behind their mask (see `lar.models.streams`).
    One row may pack several sequences; `positions` (1, length) start again at 0 for each. Most models then
    separate them. For the others they become the rows of a batch, padded on the right.
    """
    if streams is not None and positions is not None:
        return _last_states(model, ids, positions, stream_mask(streams, positions))
    if positions is None or reads_packed(model):
        return _last_states(model, ids, positions)
    lengths = packed_lengths(positions).tolist()
    # Without a mask: causal models do not see what comes later.
    rows = _last_states(model, pad_sequence(list(torch.split(ids[0], lengths)), batch_first=True))
    return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])[None]


def use_streams(model: Any) -> None:
    """Let a model read several streams in one row (`lar.models.streams`), with an attention that takes masks.

    Raises:
        OptionError: it cannot.
    """
    if str(model.config.get_text_config()._attn_implementation).startswith("flash"):
        choose_attention(model, "sdpa")
    if not reads_streams(model, partial(hidden_states, model)):
        raise OptionError(
            f"decode_only: {type(model).__name__} does not read branches of a conversation apart; that needs"
            " full attention in all layers"
        )


def reads_packed(model: Any) -> bool:
    """Whether the model separates packed sequences; it is run for this once, and warns if it does not.

    A model that is to be sharded is asked before, while it can still be used by itself.
    """
    return separates_packed(model, partial(_last_states, model))


def _last_states(
    model: Any, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """As `hidden_states`, from the model itself.

    transformers separates packed sequences by `positions`, provided that it gets no mask and no cache.
    """
    keywords = {}
    if mask is None and ids.shape[0] == 1 and model.config.get_text_config()._attn_implementation == PACKED:
        whole = torch.tensor([ids.shape[1]])
        keywords["packed_lengths"] = whole if positions is None else packed_lengths(positions)
    output = model.base_model(
        input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False, **keywords
    )
    result: Tensor = output[0]
    return result
