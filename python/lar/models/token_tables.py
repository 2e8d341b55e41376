"""Embeddings by token besides a model's first one, which have no rows for latents."""

from typing import Any

import torch
from torch import nn

from lar.errors import TrainingError
from lar.models.hidden_states import hidden_states
from lar.models.in_use import evaluating


@torch.no_grad()
def check_token_tables(model: Any, latent: int) -> None:
    """Raise TrainingError where a model looks the id `latent` up in an embedding that does not have it.

    Gemma 4's small models do, in a table for all layers. The rows of latents stand beside the first embedding
    alone. The model is run on this one id, and is stopped before the look-up, which a GPU would not survive.
    """
    first = model.get_input_embeddings()
    tables = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and module is not first and module.num_embeddings <= latent
    ]
    if not tables:
        return
    handles = [
        module.register_forward_pre_hook(_in_range(name, module.num_embeddings, model))
        for name, module in tables
    ]
    try:
        with evaluating(model):
            hidden_states(model, torch.tensor([[latent]], device=first.weight.device))
    finally:
        for handle in handles:
            handle.remove()


def _in_range(name: str, rows: int, model: Any) -> Any:
    def check(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        if int(arguments[0].max()) >= rows:
            raise TrainingError(
                f"{type(model).__name__} has a further embedding by token ({name}), in which latents have no"
                " row: it can be adapted or be a control, but not learn latents"
            )

    return check
