"""Where the supported versions of transformers and PEFT differ: each difference is handled here alone."""

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


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Within the block PEFT may ask transformers for a property by the name that it had before."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
