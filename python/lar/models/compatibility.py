"""Where supported versions of torch, transformers and PEFT differ: each difference is handled here."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def cache_argument(cache: Any) -> dict[str, Any]:
    """`generate`'s keyword for a key-value cache that lives on: `cache` from transformers 5.24 on.

    Before that it is `past_key_values`, and from then on that name warns.
    """
    from transformers import GenerationMixin

    parameters = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    return {"cache" if "cache" in parameters else "past_key_values": cache}


def shards_exactly() -> bool:
    """Whether this torch's FSDP2 trains the weights that one process trains: from 2.10 on.

    2.6 and 2.7 fail, on a CPU or on frozen weights of another dtype. With 2.8 and 2.9 the losses silently
    differ by 4e-4 after three steps (seen with `tests/distillation/test_distributed.py`).
    """
    import torch
    from torch.torch_version import TorchVersion

    return bool(TorchVersion(torch.__version__) >= "2.10")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Within the block PEFT may ask transformers for a property by the name that it had before."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
