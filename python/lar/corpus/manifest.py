"""What a corpus folder says about itself: one JSON file beside the shards."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from lar.errors import CorpusError
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import atomic_file

# What lies in a corpus folder beside the shards.
MANIFEST_FILE = "manifest.json"
TOKENIZER_FOLDER = "tokenizer"
TEACHER_FOLDER = "teacher"  # of lar.scoring.teacher_cache
FORMAT_VERSION = 2
# Fields of other types are what they are for: examples to show, a teacher to compare.
_CHECKED = (str, int, bool)


@dataclass(slots=True)
class Part:
    """One shard file and how much is in it."""

    file: str
    trajectories: int
    tokens: int
    action_tokens: int
    without_action: int  # trajectories in which the agent generated nothing


@dataclass(slots=True)
class Manifest:
    """The counts of a corpus, what made it, and how far a build has come."""

    tokenizer_fingerprint: str
    chat_template_hash: str
    base_size: int  # number of the tokenizer's ids
    shard_tokens: int  # a shard is closed when it holds at least so many
    inputs: int = 0  # trajectories read so far, left-out ones included
    input_digest: str = ""  # SHA-256 over those, in order
    complete: bool = False  # False while a build goes on, and after one that was killed
    left_out: int = 0  # trajectories that the chat template refused
    left_out_examples: list[str] = field(default_factory=list)  # the first few refusals
    parts: list[Part] = field(default_factory=list)
    teacher: dict[str, Any] | None = None  # the model whose scores the shards hold
    format_version: int = FORMAT_VERSION

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check `manifest.json`; raises CorpusError that names the file and what is wrong."""
        file = folder / MANIFEST_FILE
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CorpusError(f"{folder}: not a corpus (no {MANIFEST_FILE})") from None
        except (ValueError, NotADirectoryError) as error:
            raise CorpusError(f"{file}: not a corpus manifest ({error})") from None
        version = value.get("format_version") if isinstance(value, dict) else None
        if version == 1:
            value, version = _from_version_1(value, folder), FORMAT_VERSION
        if version != FORMAT_VERSION:
            raise CorpusError(f"{file}: format version {version}, this program reads {FORMAT_VERSION}")
        try:
            manifest = cls(**{**value, "parts": [Part(**part) for part in value["parts"]]})
        except (TypeError, KeyError) as error:
            raise CorpusError(f"{file}: a field is missing or unknown ({error})") from None
        _check_kinds(manifest, file)
        for part in manifest.parts:
            _check_kinds(part, file)
        return manifest

    def write(self, folder: Path) -> None:
        """Replace the folder's `manifest.json` in one step."""
        with atomic_file(folder / MANIFEST_FILE) as file:
            file.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def differences(self, other: "Manifest") -> list[str]:
        """Return the names of the settings in which a build of `other` would differ from this one."""
        settings = {"tokenizer_fingerprint", "chat_template_hash", "base_size", "shard_tokens"}
        return [
            item.name
            for item in fields(self)
            if item.name in settings and getattr(self, item.name) != getattr(other, item.name)
        ]


def _from_version_1(value: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content of a manifest whose `base_size` was the number of the model's embedding rows."""
    kept = {name: item for name, item in value.items() if name != "base_size_is_known"}
    base_size = Tokenizer.load(folder / TOKENIZER_FOLDER).base_size
    return {**kept, "base_size": base_size, "format_version": FORMAT_VERSION}


def _check_kinds(record: Manifest | Part, file: Path) -> None:
    """Raise CorpusError where a field holds another kind of value than it should, or a negative number."""
    for item in fields(record):
        value, kind = getattr(record, item.name), item.type
        if kind in _CHECKED and (type(value) is not kind or (isinstance(value, int) and value < 0)):
            raise CorpusError(f"{file}: {item.name!r} is wrong: {value!r}")
    if isinstance(record, Part) and Path(record.file).name != record.file:
        raise CorpusError(f"{file}: {record.file!r} is no name of a file in the folder")
