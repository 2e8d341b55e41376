"""Batches of model calls: the files of requests and of results become one, joined by `custom_id`.

A service gives the results in any order, and errors perhaps in another file. Each file of requests is
replaced by a temporary one with the same lines, where a request has its result beside it, or the reason why
it has none. So the places in messages are those in the file of requests. Lines of results wait in a temporary
file; in memory are about 100 bytes a line.
"""

import codecs
import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from lar.trajectories.formats.interfaces.batch import failure_of, is_request, is_result
from lar.trajectories.inputs.compression import BrokenDataError
from lar.trajectories.inputs.files import Source, open_source
from lar.trajectories.layouts.json_stream import decode_line, has_lines_name
from lar.trajectories.problems import Problem, broken_data
from lar.trajectories.raw import identifier

_JOINED, _SPARE = 1, 2  # what became of a result; 0: no request has asked for it

_Note = Callable[[Problem], object]


def with_joined_batches(sources: list[Source], note: _Note, folder: Path) -> list[Source]:
    """The sources, with one file for the requests of batches and their results, if both are among them.

    Files of this disk are looked at, by their first line. Those of a folder that has both kinds belong
    together, for the same names are often given in each batch; so do all others. `note` gets what is wrong
    with files of results. The joined files are in `folder`.

    Raises:
        What `note` raises.
    """
    lined = [one for one in sources if one.on_disk and has_lines_name(one.full_name)]
    if len(lined) < 2:
        return sources
    kinds = {one.full_name: kind for one in lined if (kind := _kind_of(one)) is not None}
    batches = [one for one in lined if one.full_name in kinds]
    joined: dict[str, Source | None] = {}
    for number, pool in enumerate(_pools(batches, kinds)):
        requests = [one for one in pool if kinds[one.full_name] is is_request]
        results = [one for one in pool if kinds[one.full_name] is is_result]
        if requests and results:
            files = _join(requests, results, note, folder / f"batch-{number}")
            joined |= {one.full_name: None for one in results}
            joined |= {one.full_name: file for one, file in zip(requests, files, strict=True)}
    found = (joined.get(one.full_name, one) for one in sources)
    return [one for one in found if one is not None]


_Kind = Callable[[Any], bool]


def _kind_of(source: Source) -> _Kind | None:
    """What the first line of a file is."""
    for line, _, _ in _lines(source, lambda _: None):
        value = _value_of(line)
        return next((kind for kind in (is_request, is_result) if kind(value)), None)
    return None


def _pools(batches: list[Source], kinds: dict[str, _Kind]) -> list[list[Source]]:
    """The files that belong together: those of a folder that has both kinds, and all others."""
    folders: dict[Path, list[Source]] = {}
    for one in batches:
        folders.setdefault(Path(one.path).parent, []).append(one)
    whole = [pool for pool in folders.values() if len({kinds[one.full_name] for one in pool}) == 2]
    rest = [one for pool in folders.values() if pool not in whole for one in pool]
    return [*whole, rest]


def _join(requests: list[Source], results: list[Source], note: _Note, stem: Path) -> list[Source]:
    """A file for each file of requests, with the results."""
    joined: list[Source] = []
    with Path(f"{stem}-results").open("w+b") as file:
        held = _Results(file, results, note)
        repeated = _repeated(requests)
        seen: set[int] = set()
        for number, source in enumerate(requests):
            path = Path(f"{stem}-{number}.jsonl")
            with path.open("wb") as output:
                for line, _, _ in _lines(source, note):
                    output.write(_joined(line, held, repeated, seen))
                size = output.tell()
            joined.append(replace(source, path=path, size=size, shown=source.full_name))
        held.note_others(note)
    return joined


def _joined(line: bytes, held: "_Results", repeated: dict[int, int], seen: set[int]) -> bytes:
    """A line with the result of its request; as it is where it is none."""
    value = _value_of(line)
    if not is_request(value):
        return line
    name, digest = value["custom_id"], _digest(value["custom_id"])
    if repeated.get(digest, 1) > 1:
        held.spare(digest)
        reason = f"{repeated[digest]} requests with the custom_id {name!r}: import each batch by itself"
        return _record(line, b"batch_problem", json.dumps(reason).encode())
    if digest in seen:
        return _record(line, b"batch_problem", json.dumps(f"the request {name!r} once more").encode())
    if digest in repeated:
        seen.add(digest)
    result = held.take(digest)
    if isinstance(result, str):
        return _record(line, b"batch_problem", json.dumps(f"the request {name!r}: {result}").encode())
    return _record(line, b"batch_result", result)


def _record(request: bytes, key: bytes, value: bytes) -> bytes:
    return b'{"batch_request": %b, "%b": %b}\n' % (_bare(request), key, _bare(value))


@dataclass(slots=True)
class _Columns:
    """Of each result: a digest of its custom_id and one of its line, where it lies and where it came from."""

    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    texts: "array[int]" = field(default_factory=lambda: array("Q"))
    ends: "array[int]" = field(default_factory=lambda: array("Q", [0]))
    files: "array[int]" = field(default_factory=lambda: array("L"))
    lines: "array[int]" = field(default_factory=lambda: array("Q"))
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))


class _Results:
    """The results of batches, in a temporary file."""

    def __init__(self, file: IO[bytes], sources: list[Source], note: _Note) -> None:
        self._file = file
        self._sources = sources
        self._columns = _Columns()
        self._answers = bytearray()  # whether each holds an answer
        for number, source in enumerate(sources):
            for line, at, record in _lines(source, note):
                if not line.isspace():
                    self._add(line, number, at, record, note)
        self._states = bytearray(len(self._answers))
        ids = np.array(self._columns.ids, np.uint64)
        self._order = np.argsort(ids, kind="stable")
        self._ordered = ids[self._order]

    def _add(self, line: bytes, file: int, at: int, record: int, note: _Note) -> None:
        value = _value_of(line)
        if not is_result(value):
            reason = "no result of a batch" if _is_json(line) else "not JSON: the file may be cut off here"
            note(Problem(self._sources[file].place, reason, at, record))
            return
        bare, columns = _bare(line), self._columns
        self._file.write(bare)
        columns.ids.append(_digest(value["custom_id"]))
        columns.texts.append(_digest(bare))
        columns.ends.append(columns.ends[-1] + len(bare))
        columns.files.append(file)
        columns.lines.append(at)
        columns.numbers.append(record)
        self._answers.append(failure_of(value) is None)

    def take(self, digest: int) -> bytes | str:
        """The line of the result with this custom_id; where there is no answer, or no single one, why."""
        found = self.spare(digest)
        answers = [number for number in found if self._answers[number]]
        if len({self._columns.texts[number] for number in answers}) > 1:
            return f"{len(answers)} results with the same custom_id; import each batch by itself"
        if not found:
            return "no result"
        chosen = (answers or found)[0]
        self._states[chosen] = _JOINED
        line = self._read(chosen)
        return line if answers else f"no answer ({failure_of(decode_line(line))})"

    def spare(self, digest: int) -> list[int]:
        """The numbers of the results with this custom_id, none of which belongs to one request as yet."""
        wanted = np.uint64(digest)
        start, end = (int(np.searchsorted(self._ordered, wanted, side)) for side in ("left", "right"))
        found: list[int] = self._order[start:end].tolist()
        for number in found:
            self._states[number] = _SPARE
        return found

    def note_others(self, note: _Note) -> None:
        """Note each result that was joined to no request."""
        for number, state in enumerate(self._states):
            if state != _JOINED:
                name = decode_line(self._read(number))["custom_id"]
                why = (
                    f"not the only result of {name!r}" if state else f"a result without its request, {name!r}"
                )
                place = self._sources[self._columns.files[number]].place
                note(Problem(place, why, self._columns.lines[number], self._columns.numbers[number]))

    def _read(self, number: int) -> bytes:
        start, end = self._columns.ends[number : number + 2]
        self._file.seek(start)
        return self._file.read(end - start)


def _repeated(sources: list[Source]) -> dict[int, int]:
    """Of each custom_id that several requests have, by its digest: how many of them differ."""
    ids, texts = array("Q"), array("Q")
    for source in sources:
        for line, _, _ in _lines(source, lambda _: None):
            value = _value_of(line)
            if is_request(value):
                ids.append(_digest(value["custom_id"]))
                texts.append(_digest(_bare(line)))
    names, counts = np.unique(np.array(ids, np.uint64), return_counts=True)
    several = {name: set[int]() for name in names[counts > 1].tolist()}
    for name, text in zip(ids, texts, strict=True) if several else ():
        if name in several:
            several[name].add(text)
    return {name: len(found) for name, found in several.items()}


def _lines(source: Source, note: _Note) -> Iterator[tuple[bytes, int, int]]:
    """Yield the lines of a file, each with its number and that of its record, up to where the file breaks."""
    number = 0
    try:
        with open_source(source) as opened:
            for at, line in enumerate(opened.stream, start=1):
                number += not line.isspace()
                yield line, at, number
    except BrokenDataError as error:
        note(broken_data(source.place, error, number + 1))


def _value_of(line: bytes) -> Any:
    """The value of a line that may be one of a batch; None for another, or a broken one."""
    if b'"custom_id"' not in line:
        return None
    try:
        value = decode_line(_bare(line))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and identifier(value.get("custom_id")) else None


def _is_json(line: bytes) -> bool:
    try:
        decode_line(_bare(line))
    except (ValueError, RecursionError):
        return False
    return True


def _bare(line: bytes) -> bytes:
    return line.strip().removeprefix(codecs.BOM_UTF8)


def _digest(value: Any) -> int:
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
