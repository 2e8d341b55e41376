"""What a student's models are while transformers generates with them, in one call or in several at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from transformers import GenerationConfig

from lar.distillation.student import Student
from lar.models.turn_ends import base_ids

_LOCK = Lock()
# Of each model within calls: its own configuration, and the number of calls.
_BLANKED: WeakKeyDictionary[Any, tuple[GenerationConfig, int]] = WeakKeyDictionary()


@contextmanager
def evaluating(student: Student) -> Iterator[None]:
    """Within the block the student drops nothing out; after it each module is in the mode that it was in."""
    trained = [module for module in student.modules() if module.training]
    student.eval()
    try:
        yield
    finally:
        for module in trained:  # not `student.train()`: the base may be in evaluation mode
            module.training = True


@contextmanager
def blank_configuration(student: Student) -> Iterator[None]:
    """Within the block the models have a generation configuration that names only the ids that end a turn.

    transformers takes what a call leaves open from it. A penalty for repetitions would then fall on each use
    of one latent, where a model without latents has many different tokens; and no reply would be greedy.
    Threads may generate with one student at a time: the last call to end gives the configuration back.
    """
    models = [model for model in {student.model, student.base} if "generation_config" in vars(model)]
    with _LOCK:
        for model in models:
            own, calls = _BLANKED.get(model) or (model.generation_config, 0)
            _BLANKED[model] = own, calls + 1
            ends = base_ids(own.eos_token_id, student.vocabulary) or None
            model.generation_config = GenerationConfig(eos_token_id=ends)
    try:
        yield
    finally:
        with _LOCK:
            for model in models:
                _give_back(model)


def _give_back(model: Any) -> None:
    own, calls = _BLANKED.pop(model)
    if calls > 1:
        _BLANKED[model] = own, calls - 1
    else:
        model.generation_config = own
