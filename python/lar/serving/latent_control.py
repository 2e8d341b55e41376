"""When latents may be written: always, never, or in the agent's turns alone; on plain ids, for any engine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lar.errors import EngineError, OptionError
from lar.utils.paths import StrPath
from lar.utils.result_files import EXPORT_FILE

MODES = ("allow", "agent", "forbid")


@dataclass(frozen=True)
class LatentControl:
    """The latents of an export: the ids first to first + count - 1, and what opens the speakers' turns.

    `agent_header` are the ids that open the agent's turn. It is empty if the chat template has no such
    header. Its first id ends a turn of the agent, as do `other_openings`, which open turns of other speakers.
    """

    first: int
    count: int
    agent_header: tuple[int, ...] = ()
    other_openings: frozenset[int] = frozenset()

    @classmethod
    def of_export(cls, folder: StrPath) -> "LatentControl":
        """Read the record that `lar export` has written.

        Raises:
            EngineError: the folder is not an export.
        """
        file = Path(folder) / EXPORT_FILE
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            # Exports of older versions have no other openings.
            others = frozenset(record.get("other_openings", ()))
            return cls(record["first_latent"], record["latents"], tuple(record["agent_header"]), others)
        except FileNotFoundError:
            raise EngineError(f"{folder}: not an export (a folder that `lar export` has written)") from None
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{file}: not the record of an export ({error!r})") from None

    def follow(self, mode: str) -> "LatentFollower":
        """A follower of one request; `mode` is one of `MODES`.

        Raises:
            OptionError: an unknown mode, or "agent" without a header that opens the agent's turns.
        """
        if mode not in MODES:
            raise OptionError(f"latents must be one of {', '.join(MODES)}, not {mode!r}")
        if mode == "agent" and not self.agent_header:
            raise OptionError(
                "latents cannot be kept to the agent's turns: the chat template has no token that opens them"
            )
        return LatentFollower(self, mode)


class LatentFollower:
    """Reads the ids of one request one by one; decides whether the next one may be a latent."""

    def __init__(self, control: LatentControl, mode: str) -> None:
        self._header = control.agent_header
        self._others = control.other_openings
        self._mode = mode
        self._place: int | None = None  # in the agent's header, while all ids match it
        self._agent = False

    def push(self, ids: Sequence[int]) -> None:
        """Add the next ids, of the prompt or generated."""
        if self._mode != "agent":
            return
        for unit in ids:
            self._step(unit)

    @property
    def allowed(self) -> bool:
        """Whether the next id may be a latent."""
        return self._mode == "allow" or (self._mode == "agent" and self._agent)

    def _step(self, unit: int) -> None:
        if unit == self._header[0]:
            self._place, self._agent = 1, False
        elif self._place is not None and unit == self._header[self._place]:
            self._place += 1
        else:
            self._place = None
            self._agent = self._agent and unit not in self._others
        if self._place == len(self._header):
            self._place, self._agent = None, True
