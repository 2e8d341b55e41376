"""What files beside a log hold about it: the result of a trial that Harbor ran.

Harbor writes `trial/agent/trajectory.json`, and the task and the reward of the trial to `trial/result.json`.
"""

import json
from pathlib import Path
from typing import Any

TRIAL = "trial"  # the member of a record's context that holds the result of its trial
_FOLDERS = 2  # from the log upwards
_BELOW = 6  # folders from a file of a trial up to the trial's
_LOG = Path("agent", "trajectory.json")  # within the folder of a trial, or of a step of it
_MARKS = ("config.json", "result.json")  # one of them is in the folder of every trial
_OF_JOB = (*_MARKS, "job.log")  # beside the folders of the trials
_OF_TRIAL = (*_MARKS, "trial.log", "exception.txt")
_WRITTEN = (_LOG.parent.name, "verifier", "artifacts")  # folders of a trial


def context_of(path: Path | str) -> dict[str, Any]:
    """The context of a log's records that files beside it give; empty where there are none.

    Only the local disk is looked at: a log behind a URL, which is a string, has none.
    """
    if not isinstance(path, Path) or not path.name.startswith("trajectory"):
        return {}
    for folder in path.absolute().parents[:_FOLDERS]:
        result = _result(folder / "result.json")
        if result is not None:
            return {TRIAL: result}
    return {}


def is_note(file: Path) -> bool:
    """Whether a file belongs to a trial or a job of Harbor and is no trajectory of it.

    Beside the trajectory are the settings, the result, what the verifier printed, and the same run as the
    agent itself logged it. Other files there, which Harbor does not write, are no notes.
    """
    logs = file.parent.glob(f"*/{_LOG.as_posix()}") if file.name in _OF_JOB else ()
    if any(_is_trial(log.parents[1]) for log in logs):
        return True
    return any(_is_note_of(folder, file) for folder in file.parents[:_BELOW] if _is_trial(folder))


def _is_trial(folder: Path) -> bool:
    """Whether a folder is that of a trial, or of a step of one: `trial/steps/NAME`."""
    if not (folder / _LOG).is_file():
        return False
    marked = folder.parents[1] if folder.parent.name == "steps" else folder
    return any((marked / name).is_file() for name in _MARKS)


def _is_note_of(trial: Path, file: Path) -> bool:
    first, *rest = file.relative_to(trial).parts
    if not rest:
        return first in _OF_TRIAL
    is_log = file.parent == trial / _LOG.parent and file.name.startswith(_LOG.stem)
    return first in _WRITTEN and not is_log


def _result(path: Path) -> dict[str, Any] | None:
    """The result of a trial in a file, None where it is absent or something else."""
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and "verifier_result" in result else None
