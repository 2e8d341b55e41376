"""Where a run's log goes besides its record: TensorBoard, Weights & Biases and the like."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.integrations import TensorBoardCallback
from transformers.integrations.integration_utils import default_logdir

from lar.errors import MissingExtraError, OptionError

# The Trainer's name of an integration -> packages, one of which it needs; the first is the one to install.
PACKAGES = {
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}


def check_report_to(names: Sequence[str]) -> None:
    """Check, before training, that integrations are known and their packages installed.

    Raises:
        OptionError: an unknown name. MissingExtraError: its package is not installed.
    """
    for name in names:
        if name not in PACKAGES:
            raise OptionError(f"report_to {name!r} is none of {', '.join(PACKAGES)}")
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            raise MissingExtraError(f"report_to {name!r} needs its package: pip install {PACKAGES[name][0]}")


def log_folder(checkpoints: Path | None) -> Path:
    """The folder of TensorBoard's files: `<output>.logs`, which stays when the checkpoints are removed.

    TENSORBOARD_LOGGING_DIR overrides it. Without an output it is TensorBoard's default folder.
    """
    chosen = os.environ.get("TENSORBOARD_LOGGING_DIR")
    if chosen:
        return Path(chosen).expanduser()
    return Path(default_logdir()) if checkpoints is None else checkpoints.with_suffix(".logs")


def reporting_callbacks(names: Sequence[str], checkpoints: Path | None) -> list[Any]:
    """The callbacks that we make in place of the Trainer: TensorBoard's, with our folder."""
    if "tensorboard" not in names:
        return []
    callback = TensorBoardCallback()
    callback.logging_dir = str(log_folder(checkpoints))
    return [callback]


def integrations(names: Sequence[str]) -> list[str] | str:
    """The integrations that the Trainer makes callbacks for; "none" for none."""
    return [name for name in names if name != "tensorboard"] or "none"
