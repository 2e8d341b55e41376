"""The options of `mine`, with their defaults."""

from dataclasses import dataclass
from typing import TypedDict

from lar import _core
from lar.errors import OptionError
from lar.mining.engine_gates.static import parse_gates
from lar.mining.entropy_gate import parse_gate
from lar.mining.token_weights import TokenWeights
from lar.utils.checked import check_fields
from lar.utils.paths import StrPath

# Candidates for each latent. With twice as many, the choice is the same; with half as many, the loss is 0.1
# points if many segments are alike.
CANDIDATES_A_LATENT = 32
# The core has no id of 2^26 or more, and each latent has one.
MOST_LATENTS = (1 << 26) - 1
# The numbers of latents that `mine` chooses from where none is given, and that `estimate` compares.
SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)

_LEAST = {"min_support": 1, "min_count": 1, "max_length": 2}
_MOST = {"min_support": 2**32 - 1, "min_count": 2**48, "max_length": 2**48}  # what the core's numbers hold


class MiningKeywords(TypedDict, total=False):
    """The fields of `MiningOptions` but its size, as keywords of `mine`."""

    min_support: int
    min_count: int
    max_length: int
    max_entropy: float | str | None
    max_crossing: float
    gates: str
    min_kept: float
    prompt_weight: float
    tools: StrPath | None


@dataclass(frozen=True)
class MiningOptions:
    """The options of `mine`.

    size: most latents; there are fewer if fewer segments recur or are used. `lar.mine` chooses the size where
        none is given.
    min_support: fewest distinct tasks in which a segment must occur. With two, the names and retries of a
        single task stay out of the vocabulary. Selection gives rare segments less weight anyway, so 1 chooses
        as well, and better if the corpus is small for that many latents. Use more if the student must see
        each latent often to learn it.
    min_count: fewest occurrences of a segment.
    max_length: longest segment in base tokens, from 2 to 1,024.
    max_entropy: the gate. A token may continue a segment only if the teacher's next-token entropy before it
        is at most this: nats (0.25) or a quantile of the agent's own entropies ("p60"). None: no gate. Nats
        above any entropy of the tokenizer, ln(its ids), are refused.
        If the corpus is not scored, its n-gram entropy is used instead.
    max_crossing: for that gate: the largest share of a segment's occurrences in the agent's text that may
        cross it, that is, continue at a token above it. The parse takes a latent wherever its text occurs, so
        a segment that is certain in some places and a decision in the others would decide there too. 1: a
        segment needs `min_count` occurrences within the gate, whatever the others are.
    gates: the engine gates that segments must pass: "engines" (all of `lar.mining.engine_gates`), "none", or
        the names of some with commas between.
    min_kept: for the gate `served`: in the text that engines read, a latent must save at least this share of
        what it saves in tokens. Where its text is found inside a word, the rest of the word is encoded by
        itself, which costs units.
    prompt_weight: what a token that the agent only reads (system prompt, tool specification, user,
        observation) costs beside one that it writes. An occurrence of a segment in a prompt counts so much,
        in `min_count` too. 0: only the agent's text is mined. 0.1 is a usual price where a server keeps the
        prompt's cache between turns.
    tools: a JSON file with the agent's tools, for those that the logs never call. What their schemas fix of
        a call (its opening with the tool's name, and the required keys) is mined as if each of them were
        called as often as the file's other tools on average. Latents from it have few uses or none.
    """

    size: int = 1024
    min_support: int = 2
    min_count: int = 2
    max_length: int = 128
    max_entropy: float | str | None = None
    max_crossing: float = 0.05
    gates: str = "engines"
    min_kept: float = 0.5
    prompt_weight: float = 0.0
    tools: StrPath | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.size <= MOST_LATENTS:
            raise OptionError(f"size must be from 1 to {MOST_LATENTS}, not {self.size}")
        for name, least in _LEAST.items():  # the core would not name the option
            if (number := getattr(self, name)) < least:
                raise OptionError(f"{name} must be at least {least}, not {number}")
            if number > _MOST[name]:
                raise OptionError(f"{name} must be at most {_MOST[name]}, not {number}")
        _ = self.limits  # checked as they are made
        for name in ("max_crossing", "min_kept"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise OptionError(f"{name} must be from 0 to 1, not {share}")
        parse_gate(self.max_entropy)
        parse_gates(self.gates)

    @property
    def weights(self) -> TokenWeights:
        """What a token counts, by who wrote it."""
        return TokenWeights.of(self.prompt_weight)

    @property
    def limits(self) -> _core.Limits:
        """The limits of the search for candidates."""
        return _core.Limits(
            min_count=self.min_count * self.weights.generated,
            min_support=self.min_support,
            max_length=self.max_length,
            most=CANDIDATES_A_LATENT * self.size,
        )
