"""Generating with a student: units from `transformers.generate`, expanded into text as they come.

`generate` answers prompts, one or a batch. `Conversation` keeps the key-value cache of one conversation
between its turns, so that a turn costs its own new units and not the whole history again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from lar.causal_model import autocast
from lar.compatibility import cache_argument
from lar.distillation.student import Student
from lar.errors import OptionError, TrainingError
from lar.guard import CanonicalProcessor
from lar.vocabulary import LatentVocabulary, as_ids

OnText = Callable[[int, str], None]
Prompt = str | ArrayLike


@dataclass(frozen=True)
class Generation:
    """What one request got.

    text: without special tokens, cut where a stop string begins. units: what the model wrote, the unit that
    ended the turn included; base_ids: the same, expanded. finish_reason: "end" (an end-of-turn unit), "stop"
    (a stop string) or "length".
    """

    text: str
    units: NDArray[np.uint32]
    base_ids: NDArray[np.uint32]
    finish_reason: str


@dataclass(frozen=True)
class Sampling:
    """How to write. max_units: at most so many units a turn. temperature 0 is greedy.

    stop: strings that end a turn. end: ids that end one, besides the model's own end-of-sequence ids.
    seed: None leaves torch's random state alone. canonical: mask what the canonical parse excludes, so that
    the units of a turn are always the parse of its text, as they were in training (`lar.guard`); None does
    so where units are drawn, at a temperature above 0.
    """

    max_units: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    end: tuple[int, ...] = ()
    seed: int | None = None
    canonical: bool | None = None

    def __post_init__(self) -> None:
        if self.max_units < 1:
            raise OptionError(f"max_units must be positive, not {self.max_units}")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise OptionError("temperature and top_k must not be negative, and top_p lies in (0, 1]")

    @property
    def guarded(self) -> bool:
        """Whether only canonical units may be written."""
        return self.temperature > 0 if self.canonical is None else self.canonical


def generate(
    student: Student,
    prompts: Sequence[Prompt],
    sampling: Sampling | None = None,
    *,
    on_text: OnText | None = None,
) -> list[Generation]:
    """Answer `prompts` together, padded on the left.

    Args:
        student: a Student; `Student.plain(model, tokenizer)` for a model without latents.
        prompts: each a text (as the chat template renders it) or base ids; both are parsed into units. An
            array that holds latents already is taken as it is.
        sampling: see `Sampling`.
        on_text: called with the request's index and its new text, as soon as that is certain.

    Raises:
        OptionError: no prompt, or an empty one. VocabularyError: an id outside the vocabulary.
    """
    sampling = sampling or Sampling()
    rows = [as_units(student.vocabulary, prompt) for prompt in prompts]
    if not rows or any(len(row) == 0 for row in rows):
        raise OptionError("a prompt is empty" if rows else "no prompts")
    ids, mask = pad_left(rows)
    requests = Requests(student, sampling, len(rows), on_text)
    write(student, sampling, requests, ids.to(student.device), mask.to(student.device))
    return requests.results()


class Conversation:
    """One conversation with a student whose cache lives from turn to turn.

    `append` adds what others say (text or ids, as the chat template renders it, up to the header of the
    agent's turn), `reply` lets the student write. Nothing that was read once is read again.
    """

    def __init__(self, student: Student, sampling: Sampling | None = None) -> None:
        self.student = student
        self.sampling = sampling or Sampling()
        self.units = np.zeros(0, dtype=np.uint32)
        self._cache = DynamicCache(config=student.base.config)

    @property
    def base_ids(self) -> NDArray[np.uint32]:
        """The conversation so far in base ids."""
        return self.student.vocabulary.expand(self.units)

    def append(self, prompt: Prompt) -> None:
        """Add text or ids that the student did not write; they are read at the next `reply`."""
        self.units = np.concatenate([self.units, as_units(self.student.vocabulary, prompt)])

    def reply(
        self, sampling: Sampling | None = None, *, on_text: Callable[[str], None] | None = None
    ) -> Generation:
        """Let the student write until it ends its turn, and add that to the conversation.

        A turn that a stop string ended keeps all its units, the stop string's included.
        """
        if not len(self.units) or self._cache.get_seq_length() >= len(self.units):
            raise TrainingError("nothing was appended since the last reply")
        sampling = sampling or self.sampling
        listen = None if on_text is None else lambda _, text: on_text(text)
        requests = Requests(self.student, sampling, 1, listen)
        ids, mask = pad_left([self.units])
        device = self.student.device
        write(self.student, sampling, requests, ids.to(device), mask.to(device), cache=self._cache)
        result = requests.results()[0]
        self.units = np.concatenate([self.units, result.units])
        return result


def as_units(vocabulary: LatentVocabulary, prompt: Prompt) -> NDArray[np.uint32]:
    """Text or base ids as units, by the canonical parse; ids that hold latents already as they are."""
    if isinstance(prompt, str):
        return vocabulary.encode(vocabulary.tokenizer.encode(prompt))
    ids = as_ids(prompt)
    if (ids >= vocabulary.base_size).any():
        vocabulary.expand(ids)  # refuses ids outside the vocabulary
        return ids
    return vocabulary.encode(ids)


class UnitStreamer(BaseStreamer):  # type: ignore[misc]  # transformers is not typed here
    """A streamer of transformers, for one's own call of `student.model.generate` with one prompt.

    Hands each piece of text to `on_text` as soon as it is certain.
    """

    def __init__(self, vocabulary: LatentVocabulary, on_text: Callable[[str], None]) -> None:
        self._stream = vocabulary.stream()
        self._on_text = on_text
        self._prompt_is_next = True

    def put(self, value: Tensor) -> None:
        """Take the prompt (first call, not streamed), then each new unit."""
        if self._prompt_is_next:
            self._prompt_is_next = False
            return
        if value.numel() != 1:
            raise OptionError("UnitStreamer takes one prompt; lar.generation.generate takes many")
        self._say(self._stream.push(int(value)))

    def end(self) -> None:
        """Hand on what was held back."""
        self._say(self._stream.flush())

    def _say(self, text: str) -> None:
        if text:
            self._on_text(text)


class Requests(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
    """The streams of a batch. `generate` shows it each step's units and asks which rows are done.

    It is no streamer, for versions of transformers differ in whether a streamer or the criteria come first.
    """

    def __init__(self, student: Student, sampling: Sampling, count: int, on_text: OnText | None) -> None:
        self.ends = _end_ids(student, sampling)
        self.vocabulary = student.vocabulary
        self.on_text = on_text
        self.streams = [self.vocabulary.stream(stop=list(sampling.stop)) for _ in range(count)]
        self.units: list[list[int]] = [[] for _ in range(count)]
        self.texts: list[list[str]] = [[] for _ in range(count)]
        self.reasons: list[str | None] = [None] * count

    def __call__(self, input_ids: Tensor, scores: Any, **arguments: Any) -> Tensor:  # noqa: ARG002
        """Take the last unit of each row of `input_ids`; returns which rows are done, bool (count)."""
        for row, unit in enumerate(input_ids[:, -1].tolist()):
            if self.reasons[row] is None:
                self._take(row, unit)
        return torch.tensor([reason is not None for reason in self.reasons], device=input_ids.device)

    def results(self) -> list[Generation]:
        """Flush what was held back and return what each request got."""
        for row, stream in enumerate(self.streams):
            if self.reasons[row] != "stop":
                self._say(row, stream.flush())
        return [self._result(row) for row in range(len(self.streams))]

    def _take(self, row: int, unit: int) -> None:
        self.units[row].append(unit)
        self._say(row, self.streams[row].push(unit))
        if self.streams[row].finish_reason == "stop":
            self.reasons[row] = "stop"
        elif unit in self.ends:
            self.reasons[row] = "end"

    def _say(self, row: int, text: str) -> None:
        if text:
            self.texts[row].append(text)
            if self.on_text is not None:
                self.on_text(row, text)

    def _result(self, row: int) -> Generation:
        units = np.array(self.units[row], dtype=np.uint32)
        base_ids = self.vocabulary.expand(units)
        return Generation("".join(self.texts[row]), units, base_ids, self.reasons[row] or "length")


@torch.inference_mode()
def write(
    student: Student,
    sampling: Sampling,
    requests: Requests,
    ids: Tensor,
    mask: Tensor,
    cache: DynamicCache | None = None,
) -> None:
    """Let transformers generate: the units go to `requests`, the keys and values to `cache`."""
    student.eval()
    if sampling.seed is not None:
        torch.manual_seed(sampling.seed)
    with autocast(student.base):
        student.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=_configuration(sampling, requests.ends),
            logits_processor=LogitsProcessorList(_processors(student, sampling)),
            stopping_criteria=StoppingCriteriaList([requests]),
            **({} if cache is None else cache_argument(cache)),
        )


def _processors(student: Student, sampling: Sampling) -> list[CanonicalProcessor]:
    """The guard, where it is wanted and there is something to guard; it comes before top-k and top-p."""
    wanted = sampling.guarded and len(student.vocabulary) > 0
    return [CanonicalProcessor(student.vocabulary)] if wanted else []


def _configuration(sampling: Sampling, ends: frozenset[int]) -> GenerationConfig:
    common = {
        "max_new_tokens": sampling.max_units,
        "eos_token_id": sorted(ends) or None,
        # What a row that is done gets until all are; nobody reads it.
        "pad_token_id": min(ends, default=0),
        "use_cache": True,
    }
    if sampling.temperature == 0:
        return GenerationConfig(do_sample=False, **common)
    return GenerationConfig(
        do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k, **common
    )


def _end_ids(student: Student, sampling: Sampling) -> frozenset[int]:
    """The ids that end a turn: the model's, its tokenizer's end-of-sequence token, and those asked for."""
    own = getattr(student.base.generation_config, "eos_token_id", None)
    own = [] if own is None else [own] if isinstance(own, int) else list(own)
    tokenizer = student.vocabulary.tokenizer
    named = tokenizer.special_tokens.get("eos_token")
    found = None if named is None else tokenizer.backend.token_to_id(named)
    return frozenset([*own, *sampling.end, *([] if found is None else [found])])


def pad_left(rows: list[NDArray[np.uint32]]) -> tuple[Tensor, Tensor]:
    """Rows of units as int64 (m, longest), padded with 0 on the left, and the mask of what is no padding."""
    width = max(len(row) for row in rows)
    ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = row
        mask[index, width - len(row) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
