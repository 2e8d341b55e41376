"""Seconds of arms on one machine: they work on the same tasks in turns, so that its other work meets all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self

import torch

from benches.agents.agent import Agent
from benches.agents.episodes import run_batch
from benches.agents.worlds.world import Task, World
from lar.distillation import Student


@dataclass(frozen=True)
class Timed:
    """An arm's figures, task by task.

    seconds: of all replies. decode_seconds: these without the passes that read a prompt. units: generated.
    """

    seconds: tuple[float, ...]
    decode_seconds: tuple[float, ...]
    units: tuple[int, ...]

    def against(self, control: "Timed") -> dict[str, float]:
        """For each figure, its median ratio to the control's over the tasks."""
        pairs = {name: (values, asdict(control)[name]) for name, values in asdict(self).items()}
        return {name: median(a / b for a, b in zip(*both, strict=True)) for name, both in pairs.items()}


class ReadingClock:
    """Adds up the seconds of a model's passes over more than one column, which read a prompt.

    The model is the one whose `forward` generation calls: PEFT's wrapper is passed by (`Student.base`).
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds = 0.0
        self._model = model
        self._began = 0.0

    def __enter__(self) -> Self:
        self._hooks = [
            self._model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self._model.register_forward_hook(self._end, with_kwargs=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begin(self, *_: Any) -> None:
        self._began = _now()

    def _end(
        self, _: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], *__: Any
    ) -> None:
        ids = keywords.get("input_ids", arguments[0] if arguments else None)
        if ids is not None and ids.shape[1] > 1:
            self.seconds += _now() - self._began


def timed(
    world: World, tasks: Sequence[Task], agents: Mapping[str, Agent], students: Mapping[str, Student]
) -> dict[str, Timed]:
    """Let all agents work on each task, one episode at a time, in an order that changes from task to task.

    `students`: those of the agents, by the same names. The first task warms up: it is worked on twice, and
    its second try counts.
    """
    rows: dict[str, list[tuple[float, float, int]]] = {name: [] for name in agents}
    for number, task in enumerate([tasks[0], *tasks]):
        for name in sorted(agents, reverse=bool(number % 2)):
            with ReadingClock(students[name].base) as reading:
                (result,) = run_batch(world, [task], agents[name])
            if number > 0:
                rows[name].append((result.seconds, result.seconds - reading.seconds, result.units))
    return {name: Timed(*zip(*found, strict=True)) for name, found in rows.items()}


def timing_table(found: Mapping[str, Timed], control: str) -> str:
    """The ratios of all arms but the control, in Markdown."""
    lines = [
        "| arm, of the control | seconds | without reading | units | tasks |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, arm in found.items():
        if name != control:
            ratios = arm.against(found[control])
            values = " | ".join(f"{ratios[key]:.3f}" for key in ("seconds", "decode_seconds", "units"))
            lines.append(f"| {name} | {values} | {len(arm.units)} |")
    return "\n".join(lines)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
