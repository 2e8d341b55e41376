"""Checkpoints of a run: their folder, the identity of the run, and the last one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from lar.distillation.data import Examples, PackedExamples
from lar.distillation.options import AdaptOptions
from lar.errors import OptionError
from lar.models.fingerprint import fingerprint
from lar.utils.files import read_json, write_json
from lar.utils.processes import count
from lar.utils.result_files import RUN_FILE

START_FILE = "start.json"
STATE_FILE = "trainer_state.json"


def run_identity(
    base: nn.Module, options: AdaptOptions, data: PackedExamples, held_out: Examples | None
) -> dict[str, Any]:
    """What must be the same for a run to resume: model, latents, options and data."""
    # How often a run saves or reports, and on which device it runs, does not change the weights.
    # Nor does whether activations are kept or computed again.
    same = replace(options, save_steps=1, logging_steps=1, report_to=(), device=None, sharding="none")
    same = replace(same, gradient_checkpointing=False)
    if options.patience is None:  # without patience, evaluation does not change them either
        same = replace(same, evaluate_steps=None, evaluated_windows=None, min_improvement=0.0)
        held_out = None
    content = {
        "model": fingerprint(base),
        "data": data.examples.digest(),
        "mask": data.examples.mask_digest(),
        "options": same.to_dict(),
        "held_out": held_out and held_out.digest(),
        "cached_teacher": data.examples.teacher and data.examples.teacher.precision,
        "processes": count(),
    }
    result: dict[str, Any] = json.loads(json.dumps(content))
    return result


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Write the run's identity beside its checkpoints; those of another run are an OptionError.

    Without a checkpoint the folder holds nothing of a run yet, and belongs to the next one.
    """
    file = folder / RUN_FILE
    if not file.exists() or last_checkpoint(folder) is None:
        write_json(file, identity)
        return
    found = read_json(file)
    found.setdefault("processes", 1)  # of a version without several processes
    for name in ("mask", "cached_teacher"):  # of versions that did not compare them
        found.setdefault(name, identity.get(name))
    different = [name for name, value in identity.items() if found.get(name) != value]
    if different:
        raise OptionError(
            f"{folder}: checkpoints of a run with other {' and '.join(different)}; "
            "remove the folder or choose another output"
        )


def record_start(folder: Path, started: dict[str, Any]) -> None:
    """Write what is known of the run's start beside its checkpoints, for the record of a run that goes on."""
    write_json(folder / START_FILE, started)


def recorded_start(folder: Path) -> dict[str, Any]:
    """What `record_start` has written; empty where an older version has written nothing."""
    file = folder / START_FILE
    return read_json(file) if file.is_file() else {}


def last_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint.

    The Trainer writes its state last: one that is incomplete has none, or half of it.
    """
    found = [file.parent for file in folder.glob(f"checkpoint-*/{STATE_FILE}") if _is_json(file)]
    return max(found, key=lambda path: int(path.name.split("-")[1])) if found else None


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return True
