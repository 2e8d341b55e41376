"""What the record of a student's training shows: its options, its losses and its held-out figures."""

from math import inf
from pathlib import Path
from typing import Any

from lar.errors import OptionError
from lar.evaluation.reporting.evidence import json_of
from lar.utils.result_files import STUDENT_FILE

_FIELDS = {"log": list, "options": dict, "kept": dict}
# What each line about training steps has, and of the lines about evaluations what is shown, by which name.
_OF_STEPS = ("step", "loss", "base_tokens", "base_tokens_per_second")
_OF_EVALUATION = {
    "eval_bits_per_byte": "held-out bits for each byte of the agent's text",
    "eval_latent_use": "share of held-out latents before which a latent is likeliest",
    "eval_explicit_preference": "share of held-out latents less likely than their first token",
}


def read(folder: Path) -> dict[str, Any]:
    """Options, steps and measured values in the `distillation.json` of a student's folder.

    The held-out figures are the last ones, or those of the weights that a run with patience has kept.

    Raises:
        OptionError: the file is broken.
    """
    file = folder / STUDENT_FILE
    value = json_of(file) if file.is_file() else {}
    parts = [value.get(name, kind()) for name, kind in _FIELDS.items()] if isinstance(value, dict) else []
    if list(map(type, parts)) != list(_FIELDS.values()) or not all(isinstance(row, dict) for row in parts[0]):
        raise OptionError(f"{file}: no record of a distillation")
    log, options, kept = parts
    return {
        "folder": str(folder),
        "steps": value.get("steps"),
        "values": _of_steps(log) | _of_evaluation(log, _number(kept, "step") or inf),
        "options": {name: of for name, of in options.items() if of not in (None, [], "")},
    }


def _of_steps(log: list[dict[str, Any]]) -> dict[str, float]:
    """The mean loss and the time of all steps, each only if all lines about steps have what it is made of.

    The Trainer's own summary has those since the checkpoint from which a stopped run went on.
    """
    lines = [{name: _number(row, name) for name in _OF_STEPS} for row in log if "loss" in row]
    ends = [line["step"] for line in lines]
    found = {}
    if lines and all(ends):
        # A line has the mean since the one before.
        begun = [0, *ends[:-1]]
        sums = [row["loss"] * (row["step"] - begin) for row, begin in zip(lines, begun, strict=True)]
        found["mean loss of the training"] = sum(sums) / ends[-1]
    if lines and all(line["base_tokens"] and line["base_tokens_per_second"] for line in lines):
        seconds = [line["base_tokens"] / line["base_tokens_per_second"] for line in lines]
        found["seconds of training, without evaluations"] = sum(seconds)
    return found


def _of_evaluation(log: list[dict[str, Any]], last: float) -> dict[str, float]:
    """The held-out figures of the last evaluation up to the step `last`."""
    rows = [row for row in log if _number(row, "step") <= last]
    found = {name: number for row in rows for name, number in row.items() if isinstance(number, int | float)}
    return {label: found[name] for name, label in _OF_EVALUATION.items() if name in found}


def _number(row: dict[str, Any], name: str) -> float:
    """A number of a record; 0 where it is missing or something else."""
    value = row.get(name)
    return value if isinstance(value, int | float) else 0
