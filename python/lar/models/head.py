"""The head of a model: from hidden states to logits.

It is apart from the hidden states, so that logits (positions x embedding rows, by far the largest tensor)
exist only for a chunk of positions at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lar.errors import TrainingError
from lar.models.checks import check_rows
from lar.models.device import autocast
from lar.models.hidden_states import hidden_states

# Number of logits of one chunk: 128 MB in float32 on a CPU, 512 MB on a GPU.
_CHUNK_LOGITS = {"cpu": 32_000_000, "cuda": 128_000_000}


@dataclass(frozen=True)
class Head:
    """The function from hidden states to logits: the output matrix, then the family's scaling or capping.

    A model may have more rows than its tokenizer has ids. Those columns are cut off: no token ever had them.
    """

    module: nn.Module
    finish: Callable[[Tensor], Tensor]
    base_size: int

    def __call__(self, hidden: Tensor) -> Tensor:
        """Float32 logits over the base ids, (n, base_size), of hidden states (n, width)."""
        logits: Tensor = self.module(hidden)
        return self.finish(logits[..., : self.base_size].float())

    @property
    def chunk_size(self) -> int:
        """Maximum number of positions whose logits exist at a time."""
        device = next(self.module.parameters()).device.type
        return max(16, _CHUNK_LOGITS.get(device, _CHUNK_LOGITS["cpu"]) // self.base_size)


def head_of(model: Any, base_size: int) -> Head:
    """The model's head over `base_size` ids, compared with the model's own logits on a few tokens.

    Raises:
        TokenizerError: the model has fewer rows than that.
        TrainingError: the logits differ, because the model changes them in an unsupported way.
    """
    check_rows(model, base_size)
    head = Head(model.get_output_embeddings(), _finish(model.config.get_text_config()), base_size)
    weight = model.get_input_embeddings().weight
    ids = torch.arange(4, device=weight.device).remainder(weight.shape[0])[None]
    with torch.no_grad(), autocast(model):
        expected = model(input_ids=ids, use_cache=False).logits[..., :base_size].float()
        found = head(hidden_states(model, ids).flatten(0, 1)).view_as(expected)
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise TrainingError(f"{type(model).__name__} changes its logits in an unsupported way")
    return head


def _finish(config: Any) -> Callable[[Tensor], Tensor]:
    """The family's change of logits: Gemma caps them, Cohere multiplies and Granite divides them."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def finish(logits: Tensor) -> Tensor:
        logits = logits if scale == 1.0 else logits * scale
        return logits if cap is None else torch.tanh(logits / cap) * cap

    return finish
