"""The files of a pack, with the load and the pieces of each. This module needs only Python."""

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

FILE = "manifest.json"
LOGS = ("tau_bench", "mini_swe_gemini3")
THROUGHPUT = {"throughput-qwen3": "qwen3-8b", "throughput-llama": "llama-3.1-8b"}
PRETRAINED = {f"pretrained-{name}": name for name in LOGS}
AGENTS = {"agents-search_qa": "search_qa"}
PIECES = (*THROUGHPUT, *PRETRAINED, *AGENTS)  # in the order in which they matter


@dataclass(frozen=True)
class Packed:
    """One file of a load.

    kind: "wheel", "archive" (a tar that is unpacked into the store) or "part" (of `Joined.name`). pieces: the
    pieces that need the file. module: a wheel is needed only where this module cannot be imported.
    """

    name: str
    kind: str
    load: str
    size: int
    sha256: str
    pieces: list[str]
    module: str | None = None


@dataclass(frozen=True)
class Joined:
    """The file that all parts make when they are concatenated."""

    name: str
    size: int
    sha256: str


@dataclass
class Manifest:
    """The list of a pack's files; every load contains a copy."""

    commit: str
    files: list[Packed] = field(default_factory=list)
    joined: Joined | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a pack, a load or a store; SystemExit where there is none."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            joined = content["joined"]
            files = [Packed(**one) for one in content["files"]]
            return cls(content["commit"], files, None if joined is None else Joined(**joined))
        except FileNotFoundError:
            raise SystemExit(f"{folder}: no {FILE} (a folder that `make gpu-pack` has written)") from None
        except (ValueError, TypeError, KeyError):
            raise SystemExit(f"{folder / FILE}: not the manifest of a pack") from None

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder, in one step (`lar.utils.files` may not be installed yet)."""
        temporary = folder / f".{FILE}.partial"
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(folder / FILE)

    def parts(self) -> list[Packed]:
        """The parts in the order in which they are joined, which is independent of their loads."""
        return sorted((one for one in self.files if one.kind == "part"), key=lambda one: one.name)


def sha256(file: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def archive_folder(name: str) -> str:
    """The name of the archive's folder in the store."""
    return name.removesuffix(".tar.xz")


def commit_of(folder: Path) -> str | None:
    """The commit of the benches' working tree, with `+` if it has changes; None outside git."""
    commit = output_of("git", "-C", str(folder), "rev-parse", "HEAD")
    changed = commit and output_of("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if changed else commit


def output_of(*command: str) -> str | None:
    """The output of a command; None where it is missing or fails."""
    try:
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()
