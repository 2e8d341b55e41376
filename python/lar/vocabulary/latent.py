"""One latent: its id and its segment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latent:
    """One latent: its id and what is known of its segment.

    `count` and `support` are the segment's occurrences and distinct tasks in the runs that it was mined
    from, `uses` how often the canonical parse of that corpus used it, and `mean_entropy` the teacher's mean
    next-token entropy in nats before the segment's second and later tokens, over those uses (None without
    a teacher).
    """

    id: int
    tokens: tuple[int, ...]
    text: str
    count: int
    support: int
    uses: int
    mean_entropy: float | None = None

    @property
    def saving(self) -> int:
        """Units that the latent saves over its `uses`: one fewer than its base tokens at each."""
        return self.uses * (len(self.tokens) - 1)
