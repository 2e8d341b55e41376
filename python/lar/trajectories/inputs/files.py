"""Finding trajectory files and opening them: of the disk, behind URLs, in archives, compressed, piped."""

import glob
import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lar.trajectories.inputs import opencode_storage, openhands_storage, remote
from lar.trajectories.inputs.archives import ZIP, ZIP_NAMES, Member, list_members, open_member
from lar.trajectories.inputs.beside import NOTES, Trials, results_beside
from lar.trajectories.inputs.compression import (
    HEAD,
    MAGIC_BYTES,
    BrokenDataError,
    Pieces,
    Replayed,
    compression_of,
    unpacked,
)
from lar.trajectories.inputs.encodings import decoded
from lar.trajectories.inputs.folders import HIDDEN_LOGS, logs_among
from lar.trajectories.inputs.own_results import kind_of_result
from lar.utils.files import temporary_files, temporary_folder
from lar.utils.paths import StrPath

PARQUET = b"PAR1"
STDIN = ("-", "/dev/stdin")
STDIN_NAME = "standard input"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, its size in bytes (0: unknown), and the short name that its trajectories get.

    `path` is a URL where fsspec reads the file, by the file system `system`, and "-" for standard input. A
    `member` is a file in the archive at `path`; `results` are those that may hold the result of its trial,
    and `note` is what it is if it is no log. `shown` is the name in messages, where it is not the path.
    """

    path: Path | str
    label: str
    size: int
    system: Any = None
    member: Member | None = None
    shown: str | None = None
    results: tuple[Member, ...] = ()
    note: str | None = None

    @property
    def full_name(self) -> str:
        """The whole path or URL; for a file in an archive, `archive.zip/inner/name`."""
        return self.shown or (self.path if isinstance(self.path, str) else self.path.as_posix())

    @property
    def place(self) -> Path | str:
        """Where a problem of this file is: its path, or the full name of what has no path."""
        return self.shown or self.path

    @property
    def identity(self) -> object:
        """What is equal for two names of one file."""
        return (self.system, self.path) if isinstance(self.path, str) else self.path.resolve()

    @property
    def on_disk(self) -> bool:
        """Whether the file is a regular one of the local disk, so that it can be opened again anywhere."""
        return isinstance(self.path, Path) and self.member is None and self.path.is_file()

    @property
    def reopens(self) -> bool:
        """Whether any process can open the file again."""
        remote_ = self.system is not None and "memory" not in self.system.protocol
        return self.on_disk or remote_ or (self.member is not None and replace(self, member=None).reopens)

    def open(self) -> io.BufferedReader:
        """The file's bytes as they are stored, buffered."""
        if self.member is not None:
            archive = replace(self, member=None).open()
            try:
                return open_member(archive, self.member)
            except BaseException:
                archive.close()
                raise
        if self.path == STDIN[0]:
            return io.BufferedReader(Pieces(_standard_input().read1), HEAD)  # closing it leaves stdin open
        if isinstance(self.path, str):
            return remote.open_file(self.path, self.system)
        if self.path.is_dir():
            if openhands_storage.is_events(self.path):
                return openhands_storage.open_events(self.path)
            return opencode_storage.open_session(self.path)
        return io.BufferedReader(self.path.open("rb", 0), HEAD)


def _standard_input() -> io.BufferedReader:
    return sys.stdin.buffer  # type: ignore[return-value]


def find_sources(
    paths: Iterable[StrPath], pass_over: Callable[[str, Path], object] | None = None
) -> list[Source]:
    """List the files of `paths`: files, folders, glob patterns, URLs of these, and "-" for standard input.

    A folder gives all its files, sorted, but hidden ones. A file that several of `paths` give is listed once,
    at its first place. Labels are short, and no two files have the same. `pass_over` is called with each file
    of a folder that is no log (`logs_among`) or lies in a result of this package (`kind_of_result`), unless
    `paths` names it or the result's folder, after what it is.

    Raises:
        FileNotFoundError: a path is not there, or a pattern fits no file.
        TrajectoryError: a URL cannot be listed.
        MissingExtraError: the protocol of a URL needs a package.
        OSError: a folder cannot be listed.
    """
    found: dict[object, Source] = {}
    notes: dict[Path, str] = {}
    for source in (source for path in paths for source in _sources_of(path, notes)):
        found.setdefault(source.identity, source)
    if pass_over is not None:
        for note, what in notes.items():
            if note.resolve() not in found:
                pass_over(what, note)
    sources = list(found.values())
    times = Counter(source.label for source in sources)
    return [
        source if times[source.label] == 1 else replace(source, label=source.full_name) for source in sources
    ]


def _sources_of(given: StrPath, notes: dict[Path, str]) -> Iterator[Source]:
    if remote.is_url(given):
        for url, label, size, system in remote.list_files(given):
            yield Source(url, label, size, system)
        return
    path = Path(given)
    if str(path) in STDIN:
        yield Source(STDIN[0], "stdin", 0, shown=STDIN_NAME)
    elif path.exists():
        yield from _files_at(path, notes)
    elif glob.has_magic(str(path)):
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 (absolute patterns)
        # `**` gives folders and the files in them: each file is listed once.
        logs = _not_in_results(path, found, notes)
        files = {source.path: source for at in logs for source in _files_at(at, notes)}
        if not files:
            raise FileNotFoundError(f"{path}: no file fits this pattern")
        yield from files.values()
    else:
        raise FileNotFoundError(f"{path}: no such file or folder")


def _files_at(path: Path, notes: dict[Path, str]) -> Iterator[Source]:
    """The file, or the logs in the folder; what is no log there is added to `notes`."""
    if not path.is_dir():  # pipes have no size
        yield Source(path, path.name, path.stat().st_size if path.is_file() else 0)
        return
    files, results = _files_below(path)
    logs, beside = logs_among(files)
    notes.update(beside)
    notes.update(results)
    for file in logs:
        inner = file.relative_to(path).as_posix()
        yield Source(file, path.name if file == path else f"{path.name}/{inner}", file.stat().st_size)


def _not_in_results(pattern: Path, found: list[Path], notes: dict[Path, str]) -> list[Path]:
    """What a pattern with `**` found, but the results of this package, whose files are added to `notes`.

    Any other pattern names what it finds, as a path does.
    """
    if "**" not in pattern.parts:
        return found
    fixed = len(list(takewhile(lambda part: not glob.has_magic(part), pattern.parts)))
    kinds: dict[Path, str | None] = {}
    kept = []
    for at in found:
        above = [folder for folder in (at, *at.parents) if len(folder.parts) > fixed and folder.is_dir()]
        for folder in above:
            if folder not in kinds:
                kinds[folder] = kind_of_result(folder, os.listdir(folder))  # noqa: PTH208 (names alone)
        kind = next(filter(None, map(kinds.get, above)), None)
        if kind is None:
            kept.append(at)
        else:
            below = [*chain(*_files_below(at))] if at.is_dir() else [at]
            notes.update(dict.fromkeys(below, kind))
    return kept


def _files_below(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The regular files in `folder` and its folders, sorted, without hidden ones that are no logs.

    The second value has the files in results of this package, each with what it is in.

    A link to a folder is followed; a folder to which several lead, or a circle of links, is read once. A link
    to nothing is among them, so that it raises an error and no log is missed.
    """
    found: list[Path] = []
    results: dict[Path, str] = {}
    results_at: dict[Path, str] = {}  # the folders of results, each with what it is
    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        inner = {name: os.path.realpath(Path(parent, name)) for name in sorted(folders) if name[0] != "."}
        first = {place: name for name, place in reversed(inner.items()) if place not in seen}
        folders[:] = sorted(first.values())
        seen.update(first)
        files = [Path(parent, name) for name in names if not name.startswith(".") or name in HIDDEN_LOGS]
        at = Path(parent)
        kind = next((results_at[above] for above in (at, *at.parents) if above in results_at), None)
        if kind is None and at != folder and (kind := kind_of_result(at, names)):
            results_at[at] = kind
        if kind is None:
            found += files
        else:
            results.update(dict.fromkeys(files, kind))
    return sorted(file for file in found if file.is_file() or not file.exists()), results


def _raise(error: OSError) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file: its bytes, unpacked; the first `HEAD` of them, which `stream` gives once more.

    `position` returns how many of the file's stored bytes have been read. `packed` is whether the stored
    bytes are others than those of `stream`. `broken` is why the head ends early, None where it does not.
    """

    stream: IO[bytes]
    head: bytes
    position: Callable[[], int]
    packed: bool
    broken: BrokenDataError | None

    @property
    def is_archive(self) -> bool:
        """Whether the file is a zip archive."""
        return self.head.startswith(ZIP)


@contextmanager
def open_source(source: Source) -> Iterator[Opened]:
    """Open a file; what is compressed is unpacked, and UTF-16 becomes UTF-8.

    Raises:
        MissingExtraError: the compression needs a package.
        BrokenDataError: at once, or while reading, where the compressed data or the archive breaks.
    """
    with source.open() as raw:
        magic, stream, _ = _peeked(raw, MAGIC_BYTES)
        compression = compression_of(magic)
        if compression is not None:
            stream = unpacked(stream, compression, source.full_name)
        encoding, stream = decoded(stream)
        head, stream, broken = _peeked(stream, HEAD)
        yield Opened(stream, head, _position(raw), bool(compression or encoding), broken)


def _peeked(stream: io.BufferedReader, size: int) -> tuple[bytes, io.BufferedReader, BrokenDataError | None]:
    """The first bytes of a stream, the stream with them once more, and why it breaks before their end."""
    if stream.seekable():
        head = stream.read(size)
        stream.seek(0)
        return head, stream, None
    replayed = Replayed(stream, size)
    return replayed.head, io.BufferedReader(Pieces(replayed.read), HEAD), replayed.broken


def _position(raw: IO[bytes]) -> Callable[[], int]:
    """How far `raw` is read; 0 for a pipe, whose size nobody has either."""
    try:
        raw.tell()
    except OSError:
        return lambda: 0
    return raw.tell


@contextmanager
def seekable(source: Source, opened: Opened) -> Iterator[Source]:
    """Yield `source` where it is a plain file; else a temporary copy of what is in it, for random access."""
    plain = not opened.packed and source.member is None and source.path != STDIN[0]
    if plain and (source.system is not None or source.on_disk):
        yield source
        return
    with temporary_folder() as folder:
        path = folder / "copy"
        with temporary_files(), path.open("wb") as copy:
            shutil.copyfileobj(opened.stream, copy, HEAD)
            size = copy.tell()
        yield replace(source, path=path, system=None, member=None, shown=source.full_name, size=size)


def zip_members(source: Source) -> tuple[list[Source], str | None]:
    """The files in a zip archive (`.zip`, `.eval`) as sources, sorted, and what is wrong with the archive.

    `source` must be seekable: see `seekable`. The second value is None for a whole archive that holds
    files. For one that is cut off, the list holds the members before that place.
    """
    with source.open() as archive:
        members, broken = list_members(archive)
    named = {_inner(member): member for member in members}
    trials = Trials(named, named.__contains__)
    return [
        replace(
            source,
            label=f"{source.label}/{_inner(member)}",
            shown=f"{source.full_name}/{_inner(member)}",
            size=member.packed or 0,
            member=member,
            results=tuple(named[file] for file in results_beside(_inner(member)) if file in named),
            note=NOTES if trials.have_note(_inner(member)) else None,
        )
        for member in members
    ], broken if broken or members else "the archive holds no file"


def _inner(member: Member) -> PurePosixPath:
    return PurePosixPath(member.name.replace("\\", "/"))


def has_archive_name(source: Source) -> bool:
    """Whether a zip archive is one of logs by its name: other programs' files are zip archives as well."""
    return source.full_name == STDIN_NAME or source.full_name.lower().endswith(ZIP_NAMES)


__all__ = [
    "PARQUET",
    "BrokenDataError",
    "Opened",
    "Source",
    "find_sources",
    "has_archive_name",
    "open_source",
    "seekable",
    "zip_members",
]
