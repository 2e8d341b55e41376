"""What files beside a log hold about it: the result of a trial that Harbor ran.

Harbor writes `trial/agent/trajectory.json`, and the task and the reward of the trial to `trial/result.json`.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any, TypeVar

P = TypeVar("P", bound=PurePath)
File = TypeVar("File")

NOTES = "Harbor's notes"
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
    return context_by(_read, results_beside(path.absolute())) if isinstance(path, Path) else {}


def results_beside(log: P) -> list[P]:
    """Where the result of the trial may be whose trajectory is in `log`; nowhere for another log."""
    if not log.name.startswith(_LOG.stem):
        return []
    return [folder / "result.json" for folder in log.parents[:_FOLDERS]]


def context_by(read: Callable[[File], bytes], results: Iterable[File]) -> dict[str, Any]:
    """The context by the first of `results` that holds a trial's result; `read` gives the content of each."""
    found = (_result(read(file)) for file in results)
    return next(({TRIAL: result} for result in found if result is not None), {})


class Trials:
    """The trials of Harbor whose trajectories are among some files."""

    def __init__(self, files: Iterable[P], is_file: Callable[[P], bool]) -> None:
        """`is_file` is whether there is a file, which may be beside the given ones."""
        logs = (file for file in files if file.parts[-2:] == _LOG.parts)
        self._folders = {log.parents[1] for log in logs if any(map(is_file, _marks(log.parents[1])))}
        self._jobs = {folder.parent for folder in self._folders}

    def have_note(self, file: PurePath) -> bool:
        """Whether a file belongs to a trial or a job and is no trajectory of it.

        Beside the trajectory are the settings, the result, what the verifier printed, and the same run as the
        agent itself logged it. Other files there, which Harbor does not write, are no notes.
        """
        if file.name in _OF_JOB and file.parent in self._jobs:
            return True
        return any(_is_note_of(at, file) for at in file.parents[:_BELOW] if at in self._folders)


def _marks(folder: P) -> list[P]:
    """The files of which one makes a folder a trial's; of `trial/steps/NAME`, in the folder of the trial."""
    marked = folder.parents[1] if folder.parent.name == "steps" else folder
    return [marked / name for name in _MARKS]


def _is_note_of(trial: PurePath, file: PurePath) -> bool:
    first, *rest = file.relative_to(trial).parts
    if not rest:
        return first in _OF_TRIAL
    is_log = file.parent == trial / _LOG.parent and file.name.startswith(_LOG.stem)
    return first in _WRITTEN and not is_log


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _result(data: bytes) -> dict[str, Any] | None:
    """The result of a trial in a file's content, None where it is something else."""
    try:
        result = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and "verifier_result" in result else None
