"""The piece `pretrained`: a real model adapted to one log, then curves of students and their controls.

The stages are those of `benches.training.pretrained`, in the folder STORE/work/LOG. Existing results are
kept, so the next run continues with the arms that the last one did not reach, at the same number of steps.
"""

import argparse
import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lar
from benches.gpu.clock import Pace, TimeUpError
from benches.gpu.curves import curve, is_flat
from benches.gpu.planning import MARGIN, clamp, forget
from benches.gpu.record import Record
from benches.training import pretrained, pretrained_options
from benches.training.pretrained import Arm
from lar.scoring.distribution import entropy_quantiles
from lar.utils.files import atomic_folder, write_json

ADAPTATION = "adaptation.json"
FOR_ADAPTATION = 0.25  # share of the piece's time
VALIDATIONS, PATIENCE = 10, 3


@dataclass(frozen=True)
class Scale:
    """The size of the piece; tokens are base tokens.

    sizes: numbers of latents. windows: held-out windows of an evaluation. evaluations: number of evaluations
    of an arm. least_steps: minimum steps of an arm; if time is short, fewer arms are trained. probe_steps:
    steps of the training runs that measure the speed.
    """

    device: str | None
    sizes: tuple[int, int]
    max_length: int
    batch_tokens: int
    windows: int
    evaluations: int
    least_steps: int
    most_steps: int
    adapt_steps: int
    probe_steps: int


FULL = Scale(
    device=None,
    sizes=(256, 1024),
    max_length=2048,
    batch_tokens=8192,
    windows=48,
    evaluations=8,
    least_steps=300,
    most_steps=4000,
    adapt_steps=1000,
    probe_steps=12,
)


@dataclass(frozen=True)
class Planned:
    """An arm and the number of latents of its vocabulary."""

    size: int
    arm: Arm

    @property
    def name(self) -> str:
        """The arm's name in tables."""
        kind = "control" if self.arm.gate == "control" else f"student, K = {self.size}, gate {self.arm.gate}"
        return f"{kind}, {self.arm.loss}"


def planned(sizes: tuple[int, int]) -> list[Planned]:
    """The arms, the most important first."""
    few, many = sizes
    named = [(few, "control:sft"), (few, "none:marginal"), (few, "p60:marginal")]
    named += [(many, "none:marginal"), (many, "p60:marginal")]
    return [Planned(size, Arm.parse(text)) for size, text in named]


def measure(store: Path, log: str, scale: Scale, record: Record) -> None:
    """Adapt, score, and train as many arms as the time allows."""
    work = Work(store, log, scale, record)
    for name, stage in {"adapt": work.adapt, "score": work.score, "arms": work.train}.items():
        with record.stage(name):
            stage()
        if name in record.errors or not work.teacher.exists():
            break


class Work:
    """The stages of one log, in its folder."""

    def __init__(self, store: Path, log: str, scale: Scale, record: Record) -> None:
        self.model = store / "model"
        self.folder = store / "work" / log
        self.corpus = self.folder / "corpus"
        self.teacher = self.folder / "teacher"
        self.plan_file = self.folder / "plan.json"
        self.scale, self.record, self.clock = scale, record, record.clock
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.corpus.exists():  # a copy: scores are written into it
            with atomic_folder(self.corpus, holds=None) as partial:
                shutil.copytree(store / log, partial, dirs_exist_ok=True)

    def options(self, size: int) -> argparse.Namespace:
        """The options of `benches/training/pretrained.py` for arms with `size` latents."""
        scale = self.scale
        files = ["--model", self.model, "--corpus", self.corpus, "--teacher", self.teacher]
        files += ["-o", self.folder / f"k{size}"]
        text = f"--size {size} --gates none p60 --live-teacher --learning-rate 1e-3 --row-learning-rate 1e-3"
        text += f" --max-length {scale.max_length} --batch-tokens {scale.batch_tokens}"
        text += f" --evaluated-windows {scale.windows} --min-support 5"
        if scale.device:
            text += f" --device {scale.device}"
        return pretrained_options.parser().parse_args([*text.split(), *map(str, files)])

    def adapt(self) -> None:
        """Adapt the model to the training tasks until the validation tasks stop gaining, or time is up."""
        if not self.teacher.exists():
            options = self.options(self.scale.sizes[0])
            options.adapt_steps = self._planned("adapt_steps", self._steps_to_adapt)
            options.validate_steps = max(1, options.adapt_steps // VALIDATIONS)
            options.patience = PATIENCE
            pace = Pace(self.clock)
            try:
                pretrained.adapt(options, pace)
            except TimeUpError:
                self.record.was_cut(f"adapt: {pace.done} of {pace.total} steps; no arm began")
            forget()
        course = pretrained.course_of(self.teacher, ADAPTATION)
        figures = {"steps": course[-1]["step"] if course else 0, "flat": is_flat(course)}
        self.record.figure("adapt", {**figures, "validation": curve(course)})

    def _steps_to_adapt(self) -> int:
        pace = Pace(self.clock)
        train, _ = pretrained.split(self.options(self.scale.sizes[0]))
        settings = lar.distillation.AdaptOptions(
            max_steps=self.scale.probe_steps,
            max_length=self.scale.max_length,
            batch_tokens=self.scale.batch_tokens,
            device=self.scale.device,
        )
        lar.adapt(train, str(self.model), settings, progress=pace)
        forget()
        pace.after = 0.0
        seconds = self.clock.limit * FOR_ADAPTATION - self.clock.seconds
        self.record.figure("adapt seconds a step", pace.step)
        return clamp((seconds - pace.before) / max(MARGIN * pace.step, 1e-9), 1, self.scale.adapt_steps)

    def score(self) -> None:
        """Score the corpus, and record the distribution of entropies over the training tasks."""
        options = self.options(self.scale.sizes[0])
        pretrained.score(options)
        self.record.figure("entropies", entropy_quantiles(pretrained.split(options)[0]))
        forget()

    def train(self) -> None:
        """Train the arms in order, all for the same number of steps."""
        arms = planned(self.scale.sizes)
        self.record.figure("arms", {})
        steps = self._planned("steps", lambda: self._steps_of_arms(arms))
        for one in arms:
            options = self._arm_options(one, steps)
            folder = pretrained.arm_folder(options, one.arm)
            begun = folder.exists() or pretrained.log_of(folder)
            if not begun and self.clock.left < self._needed(steps):
                self.record.was_cut(f"{one.name}: not begun")
            elif self.clock.left > 0 or folder.exists():
                with self.record.stage(one.name):
                    self._train(one, options)
            self._keep(one, options)

    def _arm_options(self, one: Planned, steps: int) -> argparse.Namespace:
        options = self.options(one.size)
        options.steps = steps
        options.evaluate_steps = options.save_steps = math.ceil(options.steps / self.scale.evaluations)
        return options

    def _train(self, one: Planned, options: argparse.Namespace) -> None:
        pace = Pace(self.clock)
        try:
            pretrained.train(options, one.arm, pace)
        except TimeUpError:
            self.record.was_cut(f"{one.name}: cut at {pace.done} of {options.steps} steps")
        forget()

    def _keep(self, one: Planned, options: argparse.Namespace) -> None:
        """Record the arm's curve and its vocabulary's reduction."""
        folder = pretrained.arm_folder(options, one.arm)
        log, course = pretrained.log_of(folder), pretrained.course_of(folder)
        if not course:
            return
        is_control = one.arm.gate == "control"
        speeds = [line["base_tokens_per_second"] for line in log if "base_tokens_per_second" in line]
        found = {
            "latents": 0 if is_control else one.size,
            "gate": None if is_control else one.arm.gate,
            "loss": one.arm.loss,
            "steps": course[-1]["step"],
            "planned_steps": options.steps,
            "reduction": 0.0 if is_control else pretrained.saved(options, one.arm.gate)["reduction"],
            "flat": is_flat(course),
            "curve": curve(course),
            "base_tokens_per_second": speeds[-1] if speeds else None,
        }
        self.record.figure("arms", {**self.record.figures["arms"], one.name: found})

    def _steps_of_arms(self, arms: list[Planned]) -> int:
        """The steps of each arm, from the speed of a short training of the first student."""
        first = next(one for one in arms if one.arm.gate != "control")
        options = self._arm_options(first, self.scale.probe_steps)
        options.evaluate_steps = self.scale.probe_steps
        train, held_out = pretrained.split(options)
        vocabulary = pretrained.mined(options, first.arm.gate)
        settings = replace(pretrained.settings_of(options, first.arm), save_steps=10**9)
        pace = Pace(self.clock)
        lar.distill(train, str(self.teacher), vocabulary, settings, held_out=held_out, progress=pace)
        pace.close()
        forget()
        speed = {"before": pace.before, "step": pace.step, "evaluation": pace.after}
        speed["row start"] = pace.start_seconds  # which is a part of `before`
        self.record.figure("arm seconds", speed)
        self._write_plan(speed=speed)
        return steps_within(self.clock.left, len(arms) - 1, speed, self.scale)

    def _needed(self, steps: int) -> float:
        """Seconds that must be left to begin an arm: its start and half of its steps."""
        speed = self._plan()["speed"]
        return float(speed["before"] + speed["step"] * steps / 2)

    def _planned(self, name: str, work_out: Any) -> int:
        """A number of steps from the plan of this folder, which all runs share; `work_out` makes it first."""
        if name not in self._plan():
            self._write_plan(**{name: work_out()})
        steps = int(self._plan()[name])
        self.record.figure(f"planned {name}", steps)
        return steps

    def _plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.plan_file.read_text()) if self.plan_file.exists() else {}
        return found

    def _write_plan(self, **more: Any) -> None:
        write_json(self.plan_file, {**self._plan(), **more})


def steps_within(seconds: float, arms: int, speed: dict[str, float], scale: Scale) -> int:
    """Steps of each of `arms` arms, or of fewer (at least two) if they would not reach `least_steps`."""
    for count in range(arms, 1, -1):
        overhead = speed["before"] + scale.evaluations * speed["evaluation"]
        steps = (seconds / MARGIN / count - overhead) / max(speed["step"], 1e-9)
        if steps >= scale.least_steps or count == 2:
            return clamp(steps, 2, scale.most_steps)
    raise ValueError("a student needs a control: two arms at least")
