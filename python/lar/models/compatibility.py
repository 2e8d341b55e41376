"""Handles the differences between supported versions of torch, transformers and PEFT."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The keyword argument that gives the `generate` of `model` an existing key-value cache.

    It is `cache` from transformers 5.24 on, where `past_key_values` warns. Before, it is `past_key_values`,
    or `cache_params` for models with recurrent states alone.
    """
    from transformers import GenerationMixin

    parameters = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    if "cache" in parameters:
        return {"cache": cache}
    is_recurrent = "cache_params" in inspect.signature(model.forward).parameters
    return {"cache_params" if is_recurrent else "past_key_values": cache}


def shards_exactly() -> bool:
    """Whether FSDP2 trains the same weights as a single process: from torch 2.10 on.

    torch 2.6 and 2.7 fail, on a CPU or with frozen weights of another dtype. With 2.8 and 2.9 the losses
    silently differ by 4e-4 after three steps (seen with `tests/distillation/test_distributed.py`).
    """
    import torch
    from torch.torch_version import TorchVersion

    return bool(TorchVersion(torch.__version__) >= "2.10")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence two warnings of PEFT about itself.

    It reads a property of transformers by its old name. And it takes the ranks that it sets for experts in
    one tensor, which have a LoRA of that rank then, for patterns without a match.
    """
    with warnings.catch_warnings():
        unmatched = "The following (rank|alpha)_pattern keys did not match"
        warnings.filterwarnings("ignore", message=unmatched, category=RuntimeWarning)
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
