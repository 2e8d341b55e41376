"""Generation with a student: units from `transformers.generate`, expanded into text while they arrive."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from lar.distillation.student import Student
from lar.errors import OptionError
from lar.generation.calls import blank_configuration
from lar.generation.growing_cache import growing_cache
from lar.generation.guard import CanonicalProcessor
from lar.generation.requests import OnText, Requests
from lar.generation.sampling import Generation, Sampling, SamplingKeywords
from lar.models.checks import embedding_rows
from lar.models.compatibility import cache_argument
from lar.models.device import autocast
from lar.models.in_use import evaluating
from lar.utils.arguments import opened
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.vocabulary.arrays import as_ids

Prompt = str | ArrayLike


def generate(
    student: Student | StrPath,
    prompts: Sequence[Prompt],
    sampling: Sampling | None = None,
    *,
    on_text: OnText | None = None,
    **keywords: Unpack[SamplingKeywords],
) -> list[Generation]:
    """Return the student's reply to each of `prompts`, generated as one batch padded on the left.

    Args:
        student: a Student or its folder; `Student.plain(model, tokenizer)` for a model without latents.
        prompts: each a text (as the chat template renders it) or base ids; both are parsed into units. An
            array that contains latents is used unchanged.
        sampling: see `Sampling`; `keywords` are its fields, and override those of `sampling`.
        on_text: called with the index of a request and its new text, once that text is final.

    Raises:
        OptionError: there is no prompt, an empty one, one of messages, or one text in place of a list.
        VocabularyError: an id is outside the vocabulary.
    """
    sampling = merge_options(Sampling, sampling, keywords)
    student = opened(Student, student, "lar.generate(student, prompts)")
    if isinstance(prompts, str):
        raise OptionError("prompts must be a list; for a single one: lar.generate(student, [prompt])")
    prompts = list(prompts)
    if any(map(_is_messages, prompts)):
        raise OptionError(
            "a prompt is a text or ids, not messages: give what transformers' apply_chat_template makes of"
            " them with add_generation_prompt=True, tokenize=False"
        )
    rows = [as_read(student, prompt) for prompt in prompts]
    if not rows or any(len(row) == 0 for row in rows):
        raise OptionError("a prompt is empty" if rows else "no prompts")
    ids, mask = pad_left(rows)
    requests = Requests(student, sampling, len(rows), on_text)
    write(student, sampling, requests, ids.to(student.device), mask.to(student.device))
    return requests.results()


def _is_messages(prompt: object) -> bool:
    """Whether a prompt is a message, or a list of some."""
    first = prompt[0] if isinstance(prompt, list | tuple) and prompt else prompt
    return isinstance(first, Mapping)


def as_read(student: Student, prompt: Prompt) -> NDArray[np.uint32]:
    """The ids (uint32) that an engine reads for text or base ids; ids with latents are unchanged.

    A student that writes latents alone reads base ids, also in place of latents.
    """
    vocabulary = student.vocabulary
    if student.decode_only:
        return vocabulary.tokenizer.encode(prompt) if isinstance(prompt, str) else vocabulary.expand(prompt)
    if isinstance(prompt, str):
        return vocabulary.encode_text(prompt)
    ids = as_ids(prompt)
    if (ids >= vocabulary.base_size).any():
        vocabulary.expand(ids)  # raises VocabularyError for ids outside the vocabulary
        return ids
    return vocabulary.reparameterize(ids, np.zeros(len(ids), dtype=np.bool_)).units


@torch.inference_mode()
def write(
    student: Student,
    sampling: Sampling,
    requests: Requests,
    ids: Tensor,
    mask: Tensor,
    cache: DynamicCache | None = None,
) -> None:
    """Run transformers' `generate`; `requests` receives the units, `cache` the keys and values."""
    if sampling.seed is not None:
        torch.manual_seed(sampling.seed)
    with evaluating(student), autocast(student.base), blank_configuration(student):
        student.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=_configuration(sampling, requests.ends, _padding_ids(student)),
            logits_processor=LogitsProcessorList(_processors(student, sampling, requests.earlier)),
            stopping_criteria=StoppingCriteriaList([requests]),
            **cache_argument(student.base, growing_cache(student.base.config) if cache is None else cache),
        )


def _processors(student: Student, sampling: Sampling, earlier: int) -> list[CanonicalProcessor]:
    """The guard, if `sampling` has it and there are latents; it is applied before top-k and top-p."""
    guarded = sampling.canonical and len(student.vocabulary) > 0
    return [CanonicalProcessor(student.vocabulary, earlier)] if guarded else []


def _padding_ids(student: Student) -> list[int]:
    """Ids of the model's rows that no token has; latents, if there are any, take their columns."""
    if student.rows is not None:
        return []
    return list(range(student.vocabulary.base_size, embedding_rows(student.base)))


def _configuration(sampling: Sampling, ends: frozenset[int], padding: list[int]) -> GenerationConfig:
    common = {
        "max_new_tokens": sampling.max_units,
        "eos_token_id": sorted(ends) or None,
        # Finished rows are filled with this id, and `Requests` ignores it.
        "pad_token_id": min(ends, default=0),
        "use_cache": True,
        "suppress_tokens": padding or None,
    }
    if sampling.temperature == 0:
        return GenerationConfig(do_sample=False, **common)
    return GenerationConfig(
        do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k, **common
    )


def pad_left(rows: list[NDArray[np.uint32]]) -> tuple[Tensor, Tensor]:
    """Rows of units as int64 (m, longest), padded with 0 on the left, and the mask of the units."""
    width = max(len(row) for row in rows)
    ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = row
        mask[index, width - len(row) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
