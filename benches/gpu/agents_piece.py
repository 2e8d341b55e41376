"""The piece `agents`: a real model adapted to a world's runs, then agents on its tasks.

The stages are those of `benches.agents.stages`, in the folder STORE/work/WORLD. Existing results are kept, so
the next run continues with the arms that the last one did not reach. Once the adapted base is there, arms do
not need one another: several processes, each with its own --arms, train side by side.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lar
from benches.agents.arms import ARMS
from benches.agents.stages import Bench, Settings
from benches.agents.table import summary, table
from benches.agents.worlds.choice import WORLDS
from benches.agents.worlds.world import Split
from benches.gpu.clock import Pace, TimeUpError
from benches.gpu.planning import forget
from benches.gpu.record import Record
from lar.distillation import AdaptOptions, DistillOptions
from lar.generation.sampling import Sampling


@dataclass(frozen=True)
class Scale:
    """The size of the piece.

    arms: in their order; if time is short, the last are left out. splits: an arm works on the tasks of each.
    tasks: of a split. batch: episodes at once. max_units: limit of a turn. max_length, batch_tokens: base
    tokens of a window and of a step. adapt_steps, steps: of the adaptation and of each arm.
    """

    device: str | None
    arms: tuple[str, ...]
    splits: tuple[Split, ...]
    tasks: int
    batch: int
    max_units: int
    max_length: int
    batch_tokens: int
    adapt_steps: int
    steps: int


FULL = Scale(
    device=None,
    arms=("base", "react", "lar-64", "lar-256", "lar-1024"),
    splits=("test", "unseen"),
    tasks=200,
    batch=200,
    max_units=192,
    max_length=1024,
    batch_tokens=2048,
    adapt_steps=240,
    steps=400,
)


def measure(store: Path, world: str, scale: Scale, record: Record) -> None:
    """Adapt the model, then train the arms in order and let each work on the tasks, as time allows."""
    work = Work(store, world, scale, record)
    for name, stage in {"adapt": work.adapt, **{arm: work.arm(arm) for arm in scale.arms}}.items():
        with record.stage(name):
            stage()
        if not work.is_adapted:
            break


def print_table(figures: dict[str, Any]) -> None:
    """Print the table of the arms, for each split."""
    for split, rows in figures.get("table", {"": "no arm has figures"}).items():
        print(f"\n{split}\n{rows}")


class Work:
    """The stages of one world, in its folder."""

    def __init__(self, store: Path, world: str, scale: Scale, record: Record) -> None:
        self.model = store / "model"
        self.folder = store / "work" / world
        self.scale, self.record, self.clock = scale, record, record.clock
        tokenizer = lar.Tokenizer.load(self.model)
        self.world = WORLDS[world].make(store / "agents", tokenizer)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_adapted(self) -> bool:
        """Whether the adapted base exists."""
        return (self.folder / self.world.name / "teacher").exists()

    def adapt(self) -> None:
        """Adapt the base, or continue with it."""
        pace = Pace(self.clock)
        try:
            _ = self._bench(pace).teacher
        except TimeUpError:
            self.record.was_cut(f"adapt: {pace.done} of {pace.total} steps; no arm began")
        forget()

    def arm(self, name: str) -> Any:
        """The stage that trains an arm and lets it work on the tasks."""
        return lambda: self._measure(name)

    def _measure(self, name: str) -> None:
        if self.clock.left < 0:
            self.record.was_cut(f"{name}: not begun")
            return
        pace = Pace(self.clock)
        try:
            for split in self.scale.splits:
                self._bench(pace, split).measure(name, ARMS[name])
        except TimeUpError:
            self.record.was_cut(f"{name}: cut at {pace.done} of {self.scale.steps} steps")
        forget()
        measured = {split: self._bench(pace, split).records() for split in self.scale.splits}
        self.record.figure("table", {split: table(records) for split, records in measured.items()})
        self.record.figure("arms", {split: summary(records) for split, records in measured.items()})

    def _bench(self, pace: Pace, split: Split = "test") -> Bench:
        scale = self.scale
        common: dict[str, Any] = {
            "max_length": scale.max_length,
            "batch_tokens": scale.batch_tokens,
            "device": scale.device,
            "save_steps": 50,
        }
        settings = Settings(
            model=str(self.model),
            runs=None,
            tasks=scale.tasks,
            batch=scale.batch,
            adapt=AdaptOptions(**common, max_steps=scale.adapt_steps, learning_rate=1e-3),
            distill=DistillOptions(**common, max_steps=scale.steps),
            sampling=Sampling(max_units=scale.max_units),
        )
        return Bench(self.world, settings, self.folder, pace, split)
