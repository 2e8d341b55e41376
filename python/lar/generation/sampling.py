"""The options of generation, and the result of a request."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from lar.distillation.options import Texts
from lar.utils.checked import check_fields

Ids = Annotated[tuple[NonNegativeInt, ...], Field(strict=False)]  # a list becomes a tuple


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
    end a turn, in addition to the model's end-of-sequence ids and the end of a turn in the chat template.
    seed: each reply draws from it anew, as a request to an engine does; None leaves torch's random state as
    it is, so that the replies of a conversation draw on. canonical: mask the units after which an engine
    would find other latents in the turn's text than were written (`lar.generation.guard`). It changes the
    text: agents broke the form of their turns and began to loop, so it is off.
    """

    max_units: PositiveInt = 256
    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    stop: str | Texts = ()
    end: Ids = ()
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None  # what torch takes
    canonical: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
