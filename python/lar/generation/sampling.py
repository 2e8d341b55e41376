"""The options of generation, and the result of a request."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from lar.errors import OptionError


@dataclass(frozen=True)
class Generation:
    """The result of one request.

    text: the text without special tokens, cut where a stop string begins. units: the generated units
    (uint32), including the unit that ended the turn. base_ids: these units expanded (uint32). finish_reason:
    "end" (an end-of-turn unit), "stop" (a stop string) or "length".
    """

    text: str
    units: NDArray[np.uint32]
    base_ids: NDArray[np.uint32]
    finish_reason: str


class SamplingKeywords(TypedDict, total=False):
    """The fields of `Sampling`, as keywords of `generate`."""

    max_units: int
    temperature: float
    top_p: float
    top_k: int
    stop: str | tuple[str, ...]
    end: tuple[int, ...]
    seed: int | None
    canonical: bool


@dataclass(frozen=True)
class Sampling:
    """The options of generation.

    max_units: maximum units of a turn. temperature: 0 is greedy. stop: strings that end a turn. end: ids that
    end a turn, in addition to the model's end-of-sequence ids. seed: None leaves torch's random state
    unchanged. canonical: mask the units after which an engine would find other latents in the turn's text
    than were written (`lar.generation.guard`).
    """

    max_units: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: str | tuple[str, ...] = ()
    end: tuple[int, ...] = ()
    seed: int | None = None
    canonical: bool = True

    def __post_init__(self) -> None:
        if self.max_units < 1:
            raise OptionError(f"max_units must be positive, not {self.max_units}")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise OptionError("temperature and top_k must be at least 0, and top_p must be in (0, 1]")
