"""Whether a control belongs to a student: it learnt the same tasks, with the same steps and options."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from lar.distillation.options import AdaptOptions
from lar.errors import LarError
from lar.utils.files import read_json
from lar.utils.result_files import STUDENT_FILE
from lar.utils.task_digests import TRAINED_FILE, read_digests

# Options that do not change what is learnt, and those that do so only where patience may stop a run. What
# `DistillOptions` adds to `AdaptOptions` is about latents and the teacher: it has no effect on a control.
_MACHINE = {"device", "sharding", "gradient_checkpointing", "save_steps", "logging_steps", "report_to"}
_OF_PATIENCE = {"evaluate_steps", "evaluated_windows", "min_improvement"}
_COMPARED = [item.name for item in fields(AdaptOptions) if item.name not in _MACHINE]


def differences(control: Path, student: Path) -> list[str]:
    """What should be the same in the folders of a control and a student and is not, each in a few words.

    What one of the records lacks, as those of earlier versions may, is not compared. With patience, each run
    stops at a step of its own.

    Raises:
        LarError: a record is broken.
        OSError: a record cannot be read.
    """
    records = read_json(control / STUDENT_FILE), read_json(student / STUDENT_FILE)
    tasks = read_digests(control / TRAINED_FILE), read_digests(student / TRAINED_FILE)
    found = ["the split"] if _differ("split", *records) else []
    if all(tasks) and tasks[0] != tasks[1]:
        found.append(f"the trained tasks ({len(tasks[0])} and {len(tasks[1])})")
    started = {earlier_arm(record) is not None for record in records if "start" in record}
    if len(started) > 1:
        found.append("the start (--from)")
    options = _options(records[0]), _options(records[1])
    if all(one.get("patience") is None for one in options):
        found += _values(["steps"], *records)
    return [*found, *_values(_names(*options), *options)]


def are_a_pair(control: Path, student: Path) -> bool:
    """Whether the two folders have no `differences`; False where one cannot be read."""
    try:
        return not differences(control, student)
    except (LarError, OSError):
        return False


def earlier_arm(record: dict[str, Any]) -> Path | None:
    """The folder of the student or control that the run of a record started from; None without one."""
    found: Any = record
    for name in ("start", "from", "student"):
        found = found.get(name) if isinstance(found, dict) else None
    return Path(found) if isinstance(found, str) else None


def _names(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """The options that change what these two runs learn."""
    stops = first.get("patience") is not None or second.get("patience") is not None
    by_steps = first.get("max_steps") is not None and second.get("max_steps") is not None
    for name in _COMPARED:
        if (name in _OF_PATIENCE and not stops) or (name == "epochs" and by_steps):
            continue
        yield name


def _options(record: dict[str, Any]) -> dict[str, Any]:
    options = record.get("options")
    return options if isinstance(options, dict) else {}


def _differ(name: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    return name in first and name in second and first[name] != second[name]


def _values(names: Iterable[str], first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [f"{name} ({first[name]} and {second[name]})" for name in names if _differ(name, first, second)]
