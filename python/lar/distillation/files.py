"""The names of the files that `adapt` and `distill` write; this module imports no torch."""

from pathlib import Path

from lar.utils.files import remove_folder
from lar.utils.paths import StrPath

# In a student's folder.
VOCABULARY_FOLDER = "vocabulary"


def checkpoints_beside(output: StrPath | None) -> Path | None:
    """The folder of an output's checkpoints; None if the result stays in memory."""
    return None if output is None else Path(output).with_name(f"{Path(output).name}.checkpoints")


def remove_checkpoints(output: StrPath) -> None:
    """Remove the folder of an output's checkpoints; errors are ignored."""
    if folder := checkpoints_beside(output):
        remove_folder(folder)
