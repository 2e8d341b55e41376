"""The generation configuration of a student's models while transformers generates with them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from transformers import GenerationConfig

from lar.distillation.student import Student
from lar.models.in_use import InUse, changed
from lar.models.turn_ends import base_ids
from lar.vocabulary.vocabulary import LatentVocabulary

_BLANKED: InUse[GenerationConfig] = WeakKeyDictionary()


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

    with changed(_BLANKED, model, change, give_back):
        yield
