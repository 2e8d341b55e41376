"""The generation configuration of an export, from which engines take what a request leaves open."""

import logging
from copy import deepcopy
from typing import Any

from transformers import GenerationConfig

from lar.distillation.student import Student
from lar.models.turn_ends import base_ids, end_ids
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)

# Penalties for repeated tokens, and the value with which each does nothing.
_PENALTIES = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_NAMED_IDS = ("eos_token_id", "bos_token_id", "pad_token_id", "suppress_tokens", "begin_suppress_tokens")
# Values that only sampling reads, and those that transformers accepts beside greedy decoding.
_SAMPLING = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}


def generation_defaults(student: Student, tokenizer: Tokenizer) -> GenerationConfig:
    """The base's generation configuration, changed where it does not fit units; `student` keeps its own.

    A turn ends where `lar.generate` ends it, by the template of the export's `tokenizer`. With latents,
    penalties for repetitions are dropped, with a warning: they would fall on each use of one latent, where
    the base has many different tokens. Where values for sampling are set, `do_sample` is too.
    """
    generation = deepcopy(student.base.generation_config)
    generation.eos_token_id = end_ids(student.base, tokenizer, student.vocabulary) or None
    drop_latents(generation, student.vocabulary)
    if len(student.vocabulary):
        _drop_penalties(generation)
    # Engines sample with a temperature whether or not there is a `do_sample`; one of 0 stays greedy.
    if _set(generation, _SAMPLING) and generation.temperature != 0:
        generation.do_sample = True
    return generation


def drop_latents(config: Any, vocabulary: LatentVocabulary) -> None:
    """Change a configuration so that no latent ends, begins or pads a text, or is never written.

    See `base_ids`: rows that no token has, which some bases suppress, may be those of latents now.
    """
    for name in _NAMED_IDS:
        value = getattr(config, name, None)
        if value is not None:
            kept = base_ids(value, vocabulary)
            setattr(config, name, (kept or None) if isinstance(value, list) else next(iter(kept), None))


def _drop_penalties(generation: GenerationConfig) -> None:
    dropped = _set(generation, _PENALTIES)
    known = vars(GenerationConfig())
    for name in dropped:
        if name in known:
            setattr(generation, name, None)
        else:
            delattr(generation, name)
    if dropped:
        logger.warning(
            "defaults of the base that are not exported, since they would penalize each use of a latent: %s",
            ", ".join(f"{name} {value}" for name, value in dropped.items()),
        )


def _set(generation: GenerationConfig, neutral: dict[str, Any]) -> dict[str, Any]:
    """The values of the names in `neutral` that are set to another value than is given there."""
    values = {name: getattr(generation, name, None) for name in neutral}
    return {name: value for name, value in values.items() if value not in (None, neutral[name])}
