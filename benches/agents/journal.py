"""The ended episodes of an arm, kept batch by batch, so that a stopped arm goes on where it was."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benches.agents.episodes import Result


class Journal:
    """A file with one line of JSON for each ended batch.

    A batch is kept whole: the rounding in an episode depends on the episodes beside it, so a stopped arm must
    go on with the batches of one that was not stopped.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def results(self) -> list[Result]:
        """The results of the batches so far. The rest of a batch that was being written is removed."""
        if not self._file.exists():
            return []
        whole = self._file.read_bytes().rpartition(b"\n")
        self._file.write_bytes(b"".join(whole[:2]))
        return [Result(**result) for line in whole[0].splitlines() for result in json.loads(line)]

    def append(self, batch: Sequence[Result]) -> None:
        """Keep a batch."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([asdict(result) for result in batch]) + "\n")

    def remove(self) -> None:
        """Remove the file, after the results have been written elsewhere."""
        self._file.unlink(missing_ok=True)
