"""The result of the demo: three agents, and the latents that saved the most."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lar.demo.online import Arm
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass(frozen=True)
class DemoResult:
    """The agents by name ("base", "control", "student"), the most useful latents, and seconds by stage."""

    folder: Path
    arms: dict[str, Arm]
    latents: list[Latent]
    seconds: dict[str, float]

    @property
    def reduction(self) -> float:
        """1 - the student's units / the base's tokens, both generated, means over tickets."""
        return 1 - self.arms["student"].units / self.arms["base"].base_tokens

    @property
    def success_change(self) -> float:
        """The student's success minus the control's, as shares of tickets."""
        return self.arms["student"].success - self.arms["control"].success

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "folder": str(self.folder),
            "tasks": len(self.arms["base"].solved),
            "arms": {name: _arm_to_dict(arm) for name, arm in self.arms.items()},
            "reduction": round(self.reduction, 4),
            "success_change": round(self.success_change, 4),
            "latents": [
                {
                    "text": latent.text,
                    "tokens": len(latent.tokens),
                    "uses": latent.uses,
                    "saved": latent.saving,
                }
                for latent in self.latents
            ],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


@dataclass
class Stopwatch:
    """Seconds of wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - began


def useful_latents(vocabulary: LatentVocabulary, uses: Mapping[int, int], count: int = 5) -> list[Latent]:
    """The `count` latents that saved the most units, by the `uses` of each unit id in place of mining's."""
    latents = [replace(latent, uses=uses[latent.id]) for latent in vocabulary.latents if uses.get(latent.id)]
    return sorted(latents, key=lambda latent: latent.saving, reverse=True)[:count]


def _arm_to_dict(arm: Arm) -> dict[str, float]:
    return {
        "success": round(arm.success, 4),
        "turns": round(arm.turns, 2),
        "units": round(arm.units, 2),
        "base_tokens": round(arm.base_tokens, 2),
        "seconds": round(arm.seconds, 2),
    }
