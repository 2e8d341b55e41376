"""Where a run's log goes besides its record: TensorBoard, Weights & Biases and the like."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.integrations import TensorBoardCallback
from transformers.integrations.integration_utils import default_logdir

from lar.errors import MissingExtraError, OptionError

# The Trainer's name for an integration -> packages any of which it needs; the first is the one to install.
PACKAGES = {
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}


def check_report_to(names: Sequence[str]) -> None:
    """Refuse, before anything is trained, an integration that is not known or whose package is absent.

    Raises:
        OptionError: an unknown name. MissingExtraError: its package is not installed.
    """
    for name in names:
        if name not in PACKAGES:
            raise OptionError(f"report_to {name!r} is none of {', '.join(PACKAGES)}")
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            raise MissingExtraError(f"report_to {name!r} needs its package: pip install {PACKAGES[name][0]}")


def log_folder(checkpoints: Path | None) -> Path:
    """Where TensorBoard's files go: `<output>.logs`, which stays when the checkpoints are removed.

    TENSORBOARD_LOGGING_DIR goes before it. Without an output they go where TensorBoard looks by itself.
    """
    chosen = os.environ.get("TENSORBOARD_LOGGING_DIR")
    if chosen:
        return Path(chosen).expanduser()
    return Path(default_logdir()) if checkpoints is None else checkpoints.with_suffix(".logs")


def reporting_callbacks(names: Sequence[str], checkpoints: Path | None) -> list[Any]:
    """The callbacks that the Trainer does not make by itself: TensorBoard's, with a folder of our own."""
    if "tensorboard" not in names:
        return []
    callback = TensorBoardCallback()
    callback.logging_dir = str(log_folder(checkpoints))
    return [callback]


def integrations(names: Sequence[str]) -> list[str] | str:
    """What the Trainer shall make callbacks of; its word for nothing is "none"."""
    return [name for name in names if name != "tensorboard"] or "none"
