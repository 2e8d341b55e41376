"""The piece `agents`: a real model adapted to a world's runs, then agents on its tasks.

The stages are those of `benches.agents.stages`, in the folder STORE/work/WORLD. Existing results are kept, so
the next run continues with the arms that the last one did not reach, at the same number of steps.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lar
from benches.agents.arms import ARMS
from benches.agents.stages import Bench, Settings
from benches.agents.table import summary, table
from benches.agents.worlds.choice import WORLDS
from benches.gpu.clock import Clock, Pace, TimeUpError
from benches.gpu.planning import MARGIN, clamp, forget
from benches.gpu.record import Record
from lar.distillation import AdaptOptions, DistillOptions
from lar.generation.sampling import Sampling

ONLINE = 0.08  # share of the piece's time in which an arm works on the tasks
_PROBED = "lar-256"  # the arm whose speed is measured


@dataclass(frozen=True)
class Scale:
    """The size of the piece.

    arms: in their order; if time is short, the last are left out. tasks: of the test split. batch: episodes
    at once. max_units: limit of a turn. max_length, batch_tokens: base tokens of a window and of a step.
    least_steps, most_steps: bounds on the steps of the adaptation and of each arm. probe_steps: steps of the
    trainings that measure the speed.
    """

    device: str | None
    arms: tuple[str, ...]
    tasks: int
    batch: int
    max_units: int
    max_length: int
    batch_tokens: int
    least_steps: int
    most_steps: int
    probe_steps: int


FULL = Scale(
    device=None,
    arms=("react", "lar-256", "lar-1024"),
    tasks=200,
    batch=100,
    max_units=192,
    max_length=1024,
    batch_tokens=2048,
    least_steps=200,
    most_steps=1200,
    probe_steps=12,
)


def measure(store: Path, world: str, scale: Scale, record: Record) -> None:
    """Adapt the model, then train the arms in order and let each work on the tasks, as time allows."""
    work = Work(store, world, scale, record)
    with record.stage("plan"):
        work.plan()
    if not work.plan_file.exists():
        return
    for name, stage in {"adapt": work.adapt, **{arm: work.arm(arm) for arm in scale.arms}}.items():
        with record.stage(name):
            stage()
        if not work.is_adapted:
            break


def print_table(figures: dict[str, Any]) -> None:
    """Print the plan and the table of the arms."""
    print(f"\nadaptation and arms: {figures.get('plan', {}).get('steps')} steps each")
    print(figures.get("table", "no arm has figures"))


class Work:
    """The stages of one world, in its folder."""

    def __init__(self, store: Path, world: str, scale: Scale, record: Record) -> None:
        self.model = store / "model"
        self.folder = store / "work" / world
        self.plan_file = self.folder / "plan.json"
        self.scale, self.record, self.clock = scale, record, record.clock
        tokenizer = lar.Tokenizer.load(self.model)
        self.world = WORLDS[world].make(store / "agents", tokenizer)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_adapted(self) -> bool:
        """Whether the adapted base exists."""
        return (self.folder / self.world.name / "teacher").exists()

    def plan(self) -> None:
        """Choose the number of steps, from the speed of short trainings; a later run keeps it."""
        if not self.plan_file.exists():
            adapt, arm = self._speeds()
            steps = steps_within(self.clock, adapt, arm, self.scale)
            plan = {"steps": steps, "seconds": {"adapt": adapt, "arm": arm}}
            self.plan_file.write_text(json.dumps(plan, indent=2) + "\n")
        self.record.figure("plan", self._plan())

    def adapt(self) -> None:
        """Adapt the base, or continue with it."""
        pace = Pace(self.clock)
        try:
            _ = self._bench(self._plan()["steps"], self.folder, pace).teacher
        except TimeUpError:
            self.record.was_cut(f"adapt: {pace.done} of {pace.total} steps; no arm began")
        forget()

    def arm(self, name: str) -> Any:
        """The stage that trains an arm and lets it work on the tasks."""
        return lambda: self._measure(name)

    def _measure(self, name: str) -> None:
        plan, pace = self._plan(), Pace(self.clock)
        needed = plan["seconds"]["arm"]["before"] + plan["steps"] * plan["seconds"]["arm"]["step"] / 2
        bench = self._bench(plan["steps"], self.folder, pace)
        begun = any(bench.folder.glob(f"students/{name}*"))
        if bench.record(name) is None and not begun and self.clock.left < needed:
            self.record.was_cut(f"{name}: not begun")
            return
        try:
            bench.measure(name, ARMS[name])
        except TimeUpError:
            self.record.was_cut(f"{name}: cut at {pace.done} of {plan['steps']} steps")
        forget()
        self.record.figure("table", table(bench.records()))
        self.record.figure("arms", summary(bench.records()))

    def _bench(self, steps: int, folder: Path, pace: Pace) -> Bench:
        scale = self.scale
        common: dict[str, Any] = {
            "max_length": scale.max_length,
            "batch_tokens": scale.batch_tokens,
            "device": scale.device,
            "max_steps": steps,
            "save_steps": 50,
        }
        settings = Settings(
            model=str(self.model),
            runs=None,
            tasks=scale.tasks,
            batch=scale.batch,
            adapt=AdaptOptions(**common, learning_rate=1e-3),
            distill=DistillOptions(**common),
            sampling=Sampling(max_units=scale.max_units),
        )
        return Bench(self.world, settings, folder, pace)

    def _speeds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of an adaptation and of an arm: before the first step, and for each step."""
        bench = self._bench(self.scale.probe_steps, self.folder / "probe", Pace(self.clock))
        corpus = bench.corpus("runs")
        paces = Pace(self.clock), Pace(self.clock)
        lar.adapt(corpus, str(self.model), bench.settings.adapt, progress=paces[0])
        forget()
        paces[1].began = paces[0].ended[-1]
        vocabulary = bench.vocabulary(_PROBED, ARMS[_PROBED])
        lar.distill(corpus, str(self.model), vocabulary, bench.settings.distill, progress=paces[1])
        forget()
        adapt, arm = ({"before": pace.before, "step": pace.step} for pace in paces)
        return adapt, arm

    def _plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.plan_file.read_text())
        return found


def steps_within(clock: Clock, adapt: dict[str, float], arm: dict[str, float], scale: Scale) -> int:
    """Steps of the adaptation and of each arm; of fewer arms if they would not reach `least_steps`."""
    for count in range(len(scale.arms), 1, -1):
        fixed = adapt["before"] + count * (arm["before"] + ONLINE * clock.limit)
        steps = (clock.left / MARGIN - fixed) / max(adapt["step"] + count * arm["step"], 1e-9)
        if steps >= scale.least_steps or count == 2:
            return clamp(steps, 2, scale.most_steps)
    raise ValueError("an agent with latents needs a control: two arms at least")
