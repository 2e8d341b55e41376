"""Turns what libraries raise for damaged or foreign model files into one line with the folder."""

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from lar.errors import LarError, TrainingError
from lar.models.out_of_memory import is_out_of_memory

# Quantized weights need packages of their own; without them transformers raises an ImportError.
_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OSError,
    EOFError,
    ImportError,
    RuntimeError,
    SafetensorError,
)


@contextmanager
def as_training_error(message: str) -> Iterator[None]:
    """Turn an error of loading in the block into a TrainingError: `message` and the error's first line.

    Running out of memory is left to `advise_on_memory`.
    """
    try:
        yield
    except LarError:
        raise
    except _ERRORS as error:
        if is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines()
        raise TrainingError(f"{message} ({lines[0] if lines else repr(error)})") from error
