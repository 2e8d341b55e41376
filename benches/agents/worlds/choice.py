"""The worlds by name, with the settings of a small model for each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches.agents.worlds.programs import Code
from benches.agents.worlds.search_qa import SearchQA
from benches.agents.worlds.telecom import Telecom
from benches.agents.worlds.world import World
from lar.tokenizer import Tokenizer


@dataclass(frozen=True)
class Choice:
    """A world, and the sizes of its runs and turns.

    max_length: base tokens of a training window. max_units: limit of a turn. adapt_steps, steps: of the
    teacher and of an arm; a step is one window. scored_tokens: see `Settings`.
    """

    make: Callable[[Path, Tokenizer], World]
    max_length: int
    max_units: int
    adapt_steps: int
    steps: int
    scored_tokens: int | None = None


WORLDS = {
    "search_qa": Choice(SearchQA, max_length=1024, max_units=192, adapt_steps=600, steps=600),
    "tau2_telecom": Choice(
        lambda shared, _: Telecom(shared),
        max_length=2048,
        max_units=96,
        adapt_steps=400,
        steps=300,
        scored_tokens=150_000,  # of 5.1 M in runs of one script
    ),
    "code_mbpp": Choice(
        lambda shared, _: Code(shared, "mbpp"), max_length=2048, max_units=512, adapt_steps=400, steps=300
    ),
    "code_kodcode": Choice(
        lambda shared, _: Code(shared, "kodcode"), max_length=4096, max_units=1024, adapt_steps=400, steps=300
    ),
}
