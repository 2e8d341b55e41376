"""Linear layers that give no tensor, such as routers of Llama 4 and Phi-3.5-MoE: they can have no LoRA."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lar.models.hidden_states import hidden_states
from lar.models.in_use import evaluating


@torch.no_grad()
def layers_without_tensor(model: Any) -> list[str]:
    """The names of the linear layers that return something else than a tensor, such as scores and a choice.

    PEFT takes them for ordinary ones, and its LoRA fails in them. The model is run on one token, but only if
    it has linear layers with a function of their own; Falcon has some which a LoRA fits.
    """
    own = [(name, module) for name, module in model.named_modules() if _has_own_function(module)]
    if not own:
        return []
    found: set[str] = set()
    handles = [module.register_forward_hook(partial(_note, found, name)) for name, module in own]
    try:
        with evaluating(model):
            ids = torch.zeros(1, 1, dtype=torch.long, device=model.get_input_embeddings().weight.device)
            hidden_states(model, ids)
    finally:
        for handle in handles:
            handle.remove()
    return sorted(found)


def _has_own_function(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and type(module).forward is not nn.Linear.forward


def _note(found: set[str], name: str, module: nn.Module, arguments: Any, output: Any) -> None:  # noqa: ARG001
    if not isinstance(output, Tensor):
        found.add(name)
