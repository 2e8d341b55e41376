"""One latent: its id and its segment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Latent:
    """One latent: its id, its segment, and the segment's frequency in the corpus that it was mined from.

    tokens: the segment's base ids. text: their text, as it is within a text. count: the segment's occurrences
    in the corpus's runs, behind the gates that cut runs (but where a sample is scored, not the entropy gate).
    support: the number of distinct tasks that these are from. uses: how often mining's
    parse of tokens used the latent in the agent's text; an engine finds latents in text, which may use it
    more or less often (`lar evaluate` counts those uses). mean_entropy: the teacher's mean next-token entropy
    in nats before the segment's second and later tokens, over its uses in text; None without a teacher or
    without such uses. prompt_uses: the uses in what the agent only read; counted if prompts had a weight.
    `len` is the number of base tokens.

    >>> latent = vocabulary.latents[0]
    >>> len(latent) == len(latent.tokens) >= 2
    True
    >>> vocabulary.tokenizer.decode(latent.tokens) == latent.text
    True
    """

    id: int
    tokens: tuple[int, ...]
    text: str
    count: int
    support: int
    uses: int
    mean_entropy: float | None = None
    prompt_uses: int = 0

    @property
    def saving(self) -> int:
        """Units that the latent saves in all its `uses`; a use saves all but one of its base tokens."""
        return self.uses * (len(self) - 1)

    @property
    def prompt_saving(self) -> int:
        """Units that the latent saves in all its `prompt_uses`."""
        return self.prompt_uses * (len(self) - 1)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Latent(id={self.id}, text={self.text!r}, {len(self)} tokens, {self.uses} uses)"
