"""Attention for packed rows without a mask: each sequence is computed by itself.

Under `sdpa`, transformers separates packed sequences by a mask of length x length. That excludes the flash
kernel, computes every masked product, and repeats the keys for each group of heads. `packed_sdpa` cuts the
row into its sequences and runs each as a plain causal one; it needs only torch. Other inputs (padding, a
cache, sliding windows) are computed by `sdpa`.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lar.errors import OptionError

PACKED = "packed_sdpa"
ATTENTIONS = ("auto", PACKED, "sdpa", "eager", "flex_attention", "flash_attention_2")
_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def choose_attention(model: Any, attention: str = "auto") -> None:
    """Set the attention implementation of `model`.

    "auto" replaces transformers' own choice only if that is `sdpa`: with flash_attention_2 on a GPU if the
    package flash_attn is installed and the weights are half precision, otherwise with `packed_sdpa`.

    Raises:
        OptionError: the name is unknown, or this model or this machine does not support it.
    """
    if attention not in ATTENTIONS:
        raise OptionError(f"attention {attention!r} is none of {', '.join(ATTENTIONS)}")
    if attention == "auto":
        attention = _best(model)
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        raise OptionError(f"attention {attention!r}: {error}") from error
    if model.config.get_text_config()._attn_implementation != attention:
        raise OptionError(f"attention {attention!r}: {type(model).__name__} does not let it be chosen")


def _best(model: Any) -> str:
    config = model.config.get_text_config()
    current: str = config._attn_implementation
    if current != "sdpa" or getattr(config, "attn_logit_softcapping", None):
        return current
    half = model.dtype in (torch.bfloat16, torch.float16)
    if model.device.type == "cuda" and half and find_spec("flash_attn"):
        return "flash_attention_2"
    return PACKED if model._can_set_attn_implementation() else current


def packed_lengths(positions: Tensor) -> Tensor:
    """Lengths (m), on the CPU, of the sequences that `positions` (1, n) packs in one row.

    Compute it once for all layers, because the copy from a GPU blocks.
    """
    starts = torch.nonzero(positions[0].diff() != 1)[:, 0].cpu() + 1
    return starts.diff(prepend=starts.new_zeros(1), append=starts.new_full((1,), positions.shape[1]))


def _packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed_lengths: Tensor | None = None,
    **keywords: Any,
) -> tuple[Tensor, None]:
    """Attention of query (batch, heads, n, d) over key and value; returns (batch, n, heads, d)."""
    row = attention_mask is None and query.shape[0] == 1 and query.shape[2] == key.shape[2]
    if row and packed_lengths is None:
        packed_lengths = _lengths_of(keywords.get("position_ids"), query.shape[2])
    with _kernels(query):
        if not row or packed_lengths is None or len(packed_lengths) < 2:
            return sdpa_attention_forward(module, query, key, value, attention_mask, **keywords)[0], None
        lengths = packed_lengths.tolist()
        pieces = zip(*(torch.split(states, lengths, dim=2) for states in (query, key, value)), strict=True)
        found = [sdpa_attention_forward(module, *piece, None, **keywords)[0] for piece in pieces]
    return torch.cat(found, dim=1), None


def _kernels(query: Tensor) -> AbstractContextManager[Any]:
    """Exclude cuDNN's kernel on a GPU: it makes a plan for each length, and lengths hardly repeat."""
    return sdpa_kernel(_KERNELS) if query.is_cuda else nullcontext()


def _lengths_of(positions: Tensor | None, count: int) -> Tensor | None:
    """`packed_lengths` of `positions`, for callers that do not pass the lengths; None for other inputs."""
    return packed_lengths(positions) if positions is not None and positions.shape[-1] == count else None


def _packed_mask(**keywords: Any) -> Tensor | None:
    """None for whole causal rows, which `_packed_attention` cuts; otherwise the mask of `sdpa`."""
    causal = not keywords.get("use_vmap") and not keywords.get("allow_is_bidirectional_skip")
    whole = keywords.get("attention_mask") is None and keywords["q_length"] == keywords["kv_length"]
    if causal and whole and keywords.get("local_size") is None:
        return None
    mask: Tensor | None = sdpa_mask(**keywords)
    return mask


# Sequences differ between rows, and a compiled layer would be recompiled for each.
AttentionInterface.register(PACKED, torch.compiler.disable(_packed_attention))  # type: ignore[no-untyped-call]
AttentionMaskInterface.register(PACKED, _packed_mask)
