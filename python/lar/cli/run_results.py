"""What the stages of `lar run` have written, by which a run that goes on notices what is gone or replaced."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lar.corpus.scores import RECORD_FILE, TEACHER_FOLDER
from lar.errors import OptionError
from lar.utils.files import read_json, write_json
from lar.utils.result_files import CORPUS_FILE, EXPORT_FILE, RUN_FILE, STUDENT_FILE, VOCABULARY_FILE

_RESULTS = "results"  # in the record: by stage, the digest of what it has written, and of what it has read
_END = 1 << 20  # bytes; a file of Parquet has its index at its end
# Of each stage the file in the run's folder that its result is known by; evaluate writes its report alone.
_FILES = {
    "import": Path("trajectories.parquet"),
    "corpus": Path("corpus", CORPUS_FILE),
    "score": Path("corpus", TEACHER_FOLDER, RECORD_FILE),
    "mine": Path("vocabulary", VOCABULARY_FILE),
    "distill": Path("student", STUDENT_FILE),
    "control": Path("control", STUDENT_FILE),
    "export": Path("export", EXPORT_FILE),
}
# Of each stage those whose results it reads, in the order of the stages.
READS: dict[str, tuple[str, ...]] = {
    "import": (),
    "corpus": ("import",),
    "score": ("corpus",),
    "mine": ("corpus", "score"),
    "distill": ("corpus", "score", "mine"),
    "control": ("corpus", "distill"),
    "evaluate": ("corpus", "mine", "distill", "control"),
    "export": ("distill",),
}


class Results:
    """The results of a run's stages, in its folder and in its record.

    A stage without a digest was done by an earlier version, and is taken as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        record = read_json(folder / RUN_FILE).get(_RESULTS)
        self._known: dict[str, Any] = record if isinstance(record, dict) else {}

    def report(self, stage: str) -> Path:
        """The file with what a stage has reported, which is there when it is done."""
        return self._folder / f"{stage}.json"

    def is_there(self, stage: str) -> bool:
        """Whether what a stage has written can be read by others."""
        return stage not in _FILES or (self._folder / _FILES[stage]).is_file()

    def is_done(self, stage: str, reads: Iterable[str]) -> bool:
        """Whether a stage is done, and none of those that it `reads` has written anything else since."""
        pairs = [(self._of(stage).get(one), self._of(one).get(one)) for one in reads]
        return self.report(stage).is_file() and all(None in pair or pair[0] == pair[1] for pair in pairs)

    def add(self, stage: str, reads: Iterable[str]) -> None:
        """Record what a stage has written and read."""
        read = {one: self._of(one).get(one) or self._digest(one) for one in reads}
        self._known[stage] = {**read, stage: self._digest(stage)}
        file = self._folder / RUN_FILE
        write_json(file, {**read_json(file), _RESULTS: self._known})

    def check(self, stages: Iterable[str]) -> None:
        """Raise OptionError where a result is there that a stage, which is done, has not written."""
        for stage in stages:
            wrote = self._of(stage).get(stage)
            if wrote is None or not self.report(stage).is_file() or not self.is_there(stage):
                continue
            if self._digest(stage) != wrote:
                raise OptionError(
                    f"{self._folder / _FILES[stage]}: not what the run's stage {stage} has written; put that"
                    f" back, choose another -o, or remove {self.report(stage)} to do the stage again"
                )

    def _of(self, stage: str) -> dict[str, Any]:
        found = self._known.get(stage)
        return found if isinstance(found, dict) else {}

    def _digest(self, stage: str) -> str | None:
        """SHA-256 (hex) of the size and the end of a result's file; None where there is none."""
        if stage not in _FILES or not self.is_there(stage):
            return None
        with (self._folder / _FILES[stage]).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END))
            return hashlib.sha256(b"%d\n" % size + file.read()).hexdigest()
