"""What files beside a log hold about it: the result of a trial that Harbor ran.

Harbor writes `trial/agent/trajectory.json`, and the task and the reward of the trial to `trial/result.json`.
"""

import json
from pathlib import Path
from typing import Any

TRIAL = "trial"  # the member of a record's context that holds the result of its trial
_FOLDERS = 2  # from the log upwards
_BELOW = 6  # folders from a file of a trial up to the trial's
_LOG = Path("agent", "trajectory.json")  # within the folder of a trial
_NOTES = ("config.json", "result.json", "job.log")  # of a job, beside the folders of its trials


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
    agent itself logged it.
    """
    if file.name in _NOTES and any(file.parent.glob(f"*/{_LOG.as_posix()}")):
        return True
    for folder in file.parents[:_BELOW]:
        if (folder / _LOG).is_file():
            return file.parent.name != _LOG.parent.name or not file.name.startswith(_LOG.stem)
    return False


def _result(path: Path) -> dict[str, Any] | None:
    """The result of a trial in a file, None where it is absent or something else."""
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and "verifier_result" in result else None
