"""Turns running out of memory into an error with advice."""

# Not accelerate's should_reduce_batch_size: it misses MemoryError, cuBLAS and "not enough memory", and it
# counts cuDNN's NOT_SUPPORTED as a lack of memory.

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lar.errors import LarError, TrainingError

# Messages of allocators and libraries that have no exception of their own.
_MESSAGES = (
    "out of memory",  # CUDA
    "not enough memory",  # the CPU's allocator
    "can't allocate memory",  # the same, on other systems
    "alloc_failed",  # cuBLAS and cuDNN
)


@contextmanager
def advise_on_memory(doing: str, advice: str) -> Iterator[None]:
    """Turn running out of memory in the block into a TrainingError with the activity and advice."""
    try:
        yield
    except LarError:
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory while {doing}: {advice}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory does not suffice, of the CPU or a GPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return any(part in message for part in _MESSAGES)
