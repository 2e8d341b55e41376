"""What a month of runs costs, without and with latents, from the user's own prices."""

from dataclasses import dataclass, replace

from lar.errors import OptionError
from lar.evaluation.usage import Tokens, Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """What tokens cost. Prices are for a million tokens, in any one currency; None where unknown.

    input: a token that a request holds. cached: one that the server finds in its prefix cache; None: as
    much as `input`. output: a token that is generated. runs: the runs of a month. machine: the GPU whose
    price `output` is, None for a provider's price.
    """

    runs: int
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    machine: "Machine | None" = None

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise OptionError(f"the runs of a month must be at least 1, not {self.runs}")
        if any(
            price is not None and not 0 <= price < float("inf")
            for price in (self.input, self.output, self.cached)
        ):
            raise OptionError("a price must be a number of at least 0")

    def month(self, tokens: Tokens, runs: int) -> float:
        """What a month costs if its runs are like the `runs` whose `tokens` are given."""
        price = self.input or 0.0
        sent = tokens.new * price + tokens.cached * (price if self.cached is None else self.cached)
        return sent / MILLION * self.runs / runs + self.written(tokens, runs)

    def written(self, tokens: Tokens, runs: int) -> float:
        """The part of `month` for what the agent writes."""
        return tokens.generated * (self.output or 0.0) / MILLION * self.runs / runs


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU of one's own: its price for an hour, and the tokens a second that it generates in all."""

    hour: float
    tokens_a_second: float

    def __post_init__(self) -> None:
        if not (0 <= self.hour < float("inf") and 0 < self.tokens_a_second < float("inf")):
            raise OptionError("a GPU's price must be at least 0 and its tokens a second more than 0")

    @property
    def output_price(self) -> float:
        """The price of a million generated tokens."""
        return self.hour / 3600 / self.tokens_a_second * MILLION


def realised(usage: Usage, share: float) -> Usage:
    """The usage if the agent saves only this share of what it could have saved of its own text."""

    def between(base: int, units: int) -> int:
        return round(base - share * (base - units))

    base, units = usage.base, usage.units
    # What it wrote in base tokens comes back in later requests; the prompt is parsed as ever.
    generated = between(base.generated, units.generated)
    resent = between(base.resent, units.resent)
    return replace(usage, units=replace(units, generated=generated, resent=resent))
