"""The manifest of a corpus: one JSON file beside the shards, with its counts and its settings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from lar.corpus.selection import Split
from lar.errors import CorpusError
from lar.tokenizer.spans import moves_text, prompts_are_plain
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import REASONING, Loss, Unwritten
from lar.utils.files import write_json
from lar.utils.result_files import CORPUS_FILE

# The other entries of a corpus folder beside the shards and `teacher/`.
TOKENIZER_FOLDER = "tokenizer"
# Version 1 had a teacher's scores in the shards, and the teacher in the manifest (see `lar.corpus.scores`).
# In versions 1 and 2 each trajectory was one row. Up to version 3 a turn began with its content, not where
# its prompt ends. Up to version 4 it could lack tools and a system's text that its prompt has.
FORMAT_VERSION = 5
_OF_ROWS, _OF_PROMPTS, _OF_MOVED_TEXT = 3, 4, 5
# Fields of other types are lists and records.
_CHECKED = (str, int, bool)


@dataclass(slots=True)
class Part:
    """One shard file and its counts."""

    file: str
    trajectories: int
    rows: int  # one for each trajectory, or several (`lar.tokenizer.prefixes`)
    tokens: int
    action_tokens: int
    without_action: int  # rows in which the agent generated nothing


@dataclass(slots=True)
class Manifest:
    """The counts and the settings of a corpus, and the progress of its build."""

    tokenizer_fingerprint: str
    chat_template_hash: str
    base_size: int  # number of the tokenizer's ids
    shard_tokens: int  # a shard is closed when it has at least this many
    only_succeeded: bool = False  # only trajectories that are known to have succeeded were taken
    failed_left_out: int = 0  # trajectories that `only_succeeded` left out because they failed
    unknown_left_out: int = 0  # those that it left out because their outcome is unknown
    inputs: int = 0  # trajectories taken so far, those that the chat template refused included
    input_digest: str = ""  # SHA-256 over those, in order
    complete: bool = False  # False during a build, and after one that was killed
    left_out: int = 0  # trajectories that the chat template refused
    left_out_examples: list[str] = field(default_factory=list)  # the first few refusals
    unwritten: Unwritten = field(default_factory=Unwritten)  # of the agent's text, by the chat template
    unprompted: int = 0  # turns that are learnt behind other text than a prompt ends with
    first_unprompted: str = ""  # the first of them
    parts: list[Part] = field(default_factory=list)
    split: Split | None = None  # which tasks every stage holds out; None: none
    format_version: int = FORMAT_VERSION

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check `manifest.json`; raises CorpusError with the file and the fault."""
        file = folder / CORPUS_FILE
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise CorpusError(
                f"{folder}: not a corpus (no folder with {CORPUS_FILE}); lar.Corpus.build makes one of logs"
            ) from None
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{file}: not a corpus manifest ({error})") from None
        version = value.get("format_version") if isinstance(value, dict) else None
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise CorpusError(f"{file}: format version {version}, this program reads 1 to {FORMAT_VERSION}")
        if version == 1:
            value = _from_version_1(value, folder)
        try:
            unwritten = Unwritten.from_dict(value.get("unwritten", {}))
            parts = [_part(part, version) for part in value["parts"]]
            split = Split.of_json(value.get("split"))
            manifest = cls(**{**value, "parts": parts, "unwritten": unwritten, "split": split})
        except (TypeError, KeyError) as error:
            raise CorpusError(f"{file}: a field is missing or unknown ({error})") from None
        except ValueError as error:
            raise CorpusError(f"{file}: 'split' is wrong: {error}") from None
        records: list[_Record] = [manifest, *parts, unwritten, *unwritten.losses]
        for record in records:
            _check_kinds(record, file)
        return manifest

    def write(self, folder: Path) -> None:
        """Replace the folder's `manifest.json` in one step, by one of this format version."""
        write_json(folder / CORPUS_FILE, {**asdict(self), "format_version": FORMAT_VERSION})

    def add_unprompted(self, run: str, turns: Sequence[int]) -> None:
        """Count the turns of a run, by their numbers, that are behind other text than a prompt ends with."""
        if turns and not self.unprompted:
            self.first_unprompted = f"trajectory {run}, agent turn {turns[0]}"
        self.unprompted += len(turns)

    def outdated(self, tokenizer: Tokenizer) -> str | None:
        """What an earlier version did otherwise with the runs of this corpus; None if nothing."""
        if self._lacks_prefixes(tokenizer):
            return "left out reasoning"
        if self.format_version < _OF_PROMPTS and not prompts_are_plain(tokenizer):
            return "let turns begin elsewhere than behind their prompts"
        if self.format_version < _OF_MOVED_TEXT and moves_text(tokenizer):
            return "put turns behind another text than that of their prompts"
        return None

    def _lacks_prefixes(self, tokenizer: Tokenizer) -> bool:
        """Whether an earlier version left out reasoning that prefixes of the runs may have now."""
        lost = {loss.kind for loss in self.unwritten.losses}
        if self.format_version >= _OF_ROWS or lost.isdisjoint(REASONING):
            return False
        templates = (tokenizer.template_for(tools=tools) or "" for tools in (False, True))
        return any("reasoning_content" in one or "</think>" in one for one in templates)

    def differences(self, other: "Manifest") -> list[str]:
        """Return the names of the settings in which a build of `other` would differ from this one."""
        settings = {
            *("tokenizer_fingerprint", "chat_template_hash", "base_size", "shard_tokens", "only_succeeded")
        }
        return [
            item.name
            for item in fields(self)
            if item.name in settings and getattr(self, item.name) != getattr(other, item.name)
        ]


_Record = Manifest | Part | Unwritten | Loss


def _part(value: dict[str, Any], version: int) -> Part:
    """A part as a manifest of this format version has it."""
    return Part(**value) if version >= _OF_ROWS else Part(**value, rows=value["trajectories"])


def _from_version_1(value: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content of a manifest whose `base_size` was the number of the model's embedding rows."""
    kept = {name: item for name, item in value.items() if name not in ("base_size_is_known", "teacher")}
    return {**kept, "base_size": Tokenizer.load(folder / TOKENIZER_FOLDER).base_size}


def _check_kinds(record: _Record, file: Path) -> None:
    """Raise CorpusError where a field's value is of another type than the field, or a negative number."""
    for item in fields(record):
        value, kind = getattr(record, item.name), item.type
        if kind in _CHECKED and (type(value) is not kind or (isinstance(value, int) and value < 0)):
            raise CorpusError(f"{file}: {item.name!r} is wrong: {value!r}")
    if isinstance(record, Part) and Path(record.file).name != record.file:
        raise CorpusError(f"{file}: {record.file!r} is not the name of a file in the folder")
