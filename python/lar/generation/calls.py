"""What a student's models are while transformers generates with them, in one call or in several at once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn
from transformers import GenerationConfig

from lar.distillation.student import Student
from lar.models.turn_ends import base_ids
from lar.utils.locks import ThreadLock
from lar.vocabulary.vocabulary import LatentVocabulary

_Before = TypeVar("_Before")
_InUse = WeakKeyDictionary[Any, tuple[_Before, int]]

_LOCK = ThreadLock()
# Of each student and model within calls: what it was before the first one, and the number of calls.
_EVALUATING: _InUse[list[nn.Module]] = WeakKeyDictionary()
_BLANKED: _InUse[GenerationConfig] = WeakKeyDictionary()


@contextmanager
def evaluating(student: Student) -> Iterator[None]:
    """Within the block the student drops nothing out; after it each module is in the mode that it was in."""

    def change() -> list[nn.Module]:
        trained = [module for module in student.modules() if module.training]
        student.eval()
        return trained

    def give_back(trained: list[nn.Module]) -> None:
        for module in trained:  # not `student.train()`: the base may be in evaluation mode
            module.training = True

    with _changed(_EVALUATING, student, change, give_back):
        yield


@contextmanager
def blank_configuration(student: Student) -> Iterator[None]:
    """Within the block the models have a generation configuration that names only the ids that end a turn.

    transformers takes what a call leaves open from it. A penalty for repetitions would then fall on each use
    of one latent, where a model without latents has many different tokens; and no reply would be greedy.
    """
    with ExitStack() as stack:
        for model in {student.model, student.base}:
            if "generation_config" in vars(model):
                stack.enter_context(_blanked(model, student.vocabulary))
        yield


@contextmanager
def _blanked(model: Any, vocabulary: LatentVocabulary) -> Iterator[None]:
    def change() -> GenerationConfig:
        own: GenerationConfig = model.generation_config
        ends = base_ids(own.eos_token_id, vocabulary) or None
        model.generation_config = GenerationConfig(eos_token_id=ends)
        return own

    def give_back(own: GenerationConfig) -> None:
        model.generation_config = own

    with _changed(_BLANKED, model, change, give_back):
        yield


@contextmanager
def _changed(
    in_use: "_InUse[_Before]",
    model: Any,
    change: Callable[[], _Before],
    give_back: Callable[[_Before], None],
) -> Iterator[None]:
    """Within the block a model is changed. Of the calls of several threads, the last to end gives it back."""
    with _LOCK:
        before, calls = in_use.get(model) or (change(), 0)
        in_use[model] = before, calls + 1
    try:
        yield
    finally:
        with _LOCK:
            before, calls = in_use.pop(model)
            if calls > 1:
                in_use[model] = before, calls - 1
            else:
                give_back(before)
