"""The raw records of a file of any layout: JSON lines or documents, Parquet, YAML, text logs, sessions."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar

from lar.trajectories.dialects.messages import is_conversation, is_message
from lar.trajectories.formats import (
    HEAD_ENTRIES,
    TEXT_FORMATS,
    WHERE_LISTED,
    recognise,
    recognise_entries,
    recognise_record,
)
from lar.trajectories.formats.base import Format
from lar.trajectories.inputs.archives import is_tar
from lar.trajectories.inputs.beside import context_by, context_of
from lar.trajectories.inputs.compression import HEAD, BrokenDataError
from lar.trajectories.inputs.files import PARQUET, Opened, Source, open_source, seekable
from lar.trajectories.layouts import (
    arrow,
    csv_rows,
    database_tables,
    json_stream,
    parquet,
    session_databases,
)
from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.raw import from_json_text

_YAML = re.compile(rb"^(history|messages|conversations|trajectory):|^- role:", re.MULTILINE)
# From here on the file cannot be read: its compression is broken, or the table in it.
_BREAKS = (BrokenDataError, BrokenRecordError)

Records = Iterator[Record | BrokenRecordError]
_Part = TypeVar("_Part")


def raw_records(source: Source, opened: Opened, forced: Format | None) -> Records:
    """Yield the records of an open file, and an error for each that is broken.

    `forced` is the format of all records, None to recognise each by its content.

    Raises:
        BrokenRecordError: the file is of no known layout, or cannot be read on.
    """
    head, stream = opened.head, opened.stream
    hint = json_stream.has_lines_name(source.full_name)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(PARQUET):
        return _table(_parquet_rows(source, opened), forced)
    if arrow.is_arrow(head):
        return _table(arrow.read_rows(stream), forced)
    if session_databases.is_database(head):
        return _database_rows(source, opened, forced.field if forced else None)
    if csv_rows.is_csv(source.full_name) and b"\x00" not in head:
        return _table(csv_rows.read_rows(stream, source.full_name), forced)
    if not start:
        raise BrokenRecordError("the file is empty", None)
    if not start.strip(json_stream.NUL):
        raise BrokenRecordError(
            "NUL bytes alone, as a crash leaves them: what was written here is lost", None
        )
    if is_tar(head):
        raise BrokenRecordError("a tar archive: unpack it (tar -xf) and give its folder", None)
    if _is_binary(start):
        raise BrokenRecordError(f"binary data, of no known format ({WHERE_LISTED})", None)
    text = head.decode("utf-8", "replace")
    for log in TEXT_FORMATS:
        if log.looks_like(text):
            return _with_break((line.decode("utf-8", "surrogateescape") for line in stream), log.read_runs)
    if start[:1] in (b"{", b"[") or hint:
        records = _json_records(stream, forced, lines=json_stream.looks_like_lines(start, hint))
        context = _context(source)
        return _with_context(records, context) if context else records
    if _YAML.search(head):
        return _yaml_records(stream)
    raise BrokenRecordError(f"not a log of a known format ({WHERE_LISTED})", 1)


def _is_binary(start: bytes) -> bool:
    """Whether the start of a file has NUL bytes, but not those that a crash leaves behind records of JSON."""
    whole = start.rstrip(json_stream.NUL)
    is_json = whole[:1] in (b"{", b"[") and json_stream.NUL not in whole.split(b"\n", 1)[0]
    return json_stream.NUL in start and not is_json


def _context(source: Source) -> dict[str, Any]:
    """The context of the file's records that files beside it give, in the folder or in the archive."""
    if source.member is None:
        return context_of(source.path)
    return context_by(_content, [replace(source, member=member) for member in source.results])


def _content(source: Source) -> bytes:
    try:
        with open_source(source) as opened:
            return opened.stream.read()
    except BrokenDataError:
        return b""


def _with_context(records: Records, context: dict[str, Any]) -> Records:
    for record in records:
        if isinstance(record, Record):
            yield replace(record, context={**record.context, **context})
        else:
            yield record


def are_separate_lines(source: Source, opened: Opened, forced: Format | None) -> bool:
    """Whether the file is JSON lines, each of which can be read without the others."""
    start = opened.head.removeprefix(codecs.BOM_UTF8).lstrip()
    hint = json_stream.has_lines_name(source.full_name)
    if not start or opened.head.startswith(PARQUET) or b"\x00" in opened.head:
        return False
    if start[:1] not in (b"{", b"[") and not hint:
        return False
    if csv_rows.is_csv(source.full_name) or _context(source):
        return False
    text = opened.head.decode("utf-8", "replace")
    if any(log.looks_like(text) for log in TEXT_FORMATS) or not json_stream.looks_like_lines(start, hint):
        return False
    first = json_stream.read_lines(_head_lines(opened))
    return not _is_one_record([record.value for record in first if isinstance(record, Record)], forced)


def are_separate_rows(file: Path | IO[bytes], forced: Format | None) -> bool:
    """Whether each row of a Parquet file can be read without the others, or none can."""
    return not _are_messages(_head(parquet.read_rows(file))[0], forced)


def _head_lines(opened: Opened) -> list[bytes]:
    """The first lines of a file; of a stream that cannot go back, the whole ones in its head."""
    if opened.stream.seekable():
        lines = list(islice(opened.stream, HEAD_ENTRIES))
        opened.stream.seek(0)
        return lines
    lines = opened.head.split(b"\n")
    return (lines[:-1] if len(opened.head) == HEAD else lines)[:HEAD_ENTRIES]


def _parquet_rows(source: Source, opened: Opened) -> Records:
    with seekable(source, opened) as file:
        yield from parquet.read_rows(opened.stream if file.system is not None else file.path)


def _database_rows(source: Source, opened: Opened, field: str | None) -> Records:
    with seekable(source, opened) as file:
        if field is None:
            yield from session_databases.read_rows(Path(file.path))
        else:
            yield from database_tables.read_rows(Path(file.path), field)


def _table(rows: Records, forced: Format | None) -> Records:
    """Yield the rows of a table; where each is one message, they are one record, as lines of messages are."""
    first, rows = _head(rows)
    return _with_break(map(_message_row, rows), _as_one) if _are_messages(first, forced) else rows


def _are_messages(rows: list[Record | BrokenRecordError], forced: Format | None) -> bool:
    """Whether a table has one message a row, from the first rows."""
    values = [row.value for row in rows if isinstance(row, Record)]
    is_row = forced is None and any(recognise(value) is not None for value in values)
    return not is_row and all(map(is_message, values)) and _is_one_record(values, forced)


def _message_row(row: Record | BrokenRecordError) -> Record | BrokenRecordError:
    """A row of a table of messages; broken where it is none."""
    if isinstance(row, BrokenRecordError) or is_message(row.value):
        return row
    return BrokenRecordError("no message, as the rows before it are", row.line, row.number)


def _json_records(stream: IO[bytes], forced: Format | None, *, lines: bool) -> Records:
    is_record = _is_record(forced)
    records = json_stream.read_lines(stream) if lines else _to_the_break(stream, is_record)
    first, records = _head(records)
    if _is_one_record([record.value for record in first if isinstance(record, Record)], forced):
        return _with_break(records, _as_one)
    return each_record(records, forced) if lines else records


def _head(records: Records) -> tuple[list[Record | BrokenRecordError], Records]:
    """The first records, and all; where the file breaks among the first, it does so behind them."""
    first: list[Record | BrokenRecordError] = []
    try:
        first.extend(islice(records, HEAD_ENTRIES))
    except _BREAKS as error:
        return first, chain(first, _raised(error))
    return first, chain(first, records)


def _raised(error: Exception) -> Records:
    yield from ()
    raise error


def _with_break(parts: Iterable[_Part], read: Callable[[Iterable[_Part]], Records]) -> Records:
    """Yield what `read` makes of the parts of a file before it breaks, and raise the error of the break then.

    For records of many parts: the break would else cost the parts that were read.
    """
    errors: list[Exception] = []

    def before_the_break() -> Iterator[_Part]:
        try:
            yield from parts
        except _BREAKS as error:
            errors.append(error)

    yield from read(before_the_break())
    if errors:
        raise errors[0]


def _to_the_break(stream: IO[bytes], is_record: Callable[[Any], bool]) -> Records:
    """Yield the records of a document and, where it cannot be read on, what is wrong."""
    try:
        yield from json_stream.read_document(stream, is_record, is_message)
    except BrokenRecordError as error:
        yield error


def _is_record(forced: Format | None) -> Callable[[Any], bool]:
    return forced.recognises if forced else lambda value: recognise(value) is not None


def _is_one_record(entries: list[Any], forced: Format | None) -> bool:
    """Whether the entries of a file make one record, from the first ones."""
    if forced is not None:
        return forced.whole_file
    return recognise_entries(entries) is not None


def _as_one(records: Iterable[Record | BrokenRecordError]) -> Records:
    """Yield the broken records, then the others as one. Its entries are objects; a null is nothing."""
    entries: list[Any] = []
    places: list[tuple[int, int | None]] = []
    for record in chain.from_iterable(map(_messages_apart, records)):
        if isinstance(record, BrokenRecordError):
            yield record
        elif isinstance(record.value, dict):
            entries.append(record.value)
            places.append((record.number, record.line))
        elif isinstance(record.value, str | list):
            kind = type(record.value).__name__
            yield BrokenRecordError(f"expected an object, found {kind}", record.line, record.number)
    yield Record(entries, 1, 1, whole_file=True, places=tuple(places))


def _messages_apart(record: Record | BrokenRecordError) -> list[Record | BrokenRecordError]:
    """A record, or the elements of one that is an array of messages."""
    if isinstance(record, BrokenRecordError) or not is_conversation(record.value):
        return [record]
    return [replace(record, value=element) for element in record.value]


def each_record(records: Records, forced: Format | None) -> Records:
    """Yield the records of lines of which each holds one record or several."""
    is_record = _is_record(forced)
    for record in records:
        if isinstance(record, BrokenRecordError):
            yield record
            continue
        if isinstance(record.value, str):
            record = replace(record, value=from_json_text(record.value))
        known = recognise_record(record, forced)
        if known.format is not None:
            yield known
        else:
            yield from _unpacked(record, is_record)


def _unpacked(record: Record, is_record: Callable[[Any], bool]) -> Iterator[Record]:
    """Yield the records in a value that holds several (a result file on one line), or the value itself.

    The key of each is the record's number with the name of the part, or else with its position from 1.
    """
    parts, context = _parts(record.value, is_record)
    if not any(map(is_record, parts.values())):
        yield record
        return
    for name, part in parts.items():
        yield Record(part, record.number, record.line, f"{record.number}/{name}", context)


def _parts(value: Any, is_record: Callable[[Any], bool]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The parts of a value that may be records, by position or name, and the fields around them."""
    if isinstance(value, list):
        return dict(enumerate(value, start=1)), {}
    if not isinstance(value, dict):
        return {}, {}
    # The lines of Docker and other collectors hold those of the program as JSON text.
    value = {key: from_json_text(item) for key, item in value.items()}
    for key, item in value.items():
        if isinstance(item, list) and item and is_record(item[0]):
            return _parts(item, is_record)[0], {name: other for name, other in value.items() if name != key}
    named = {key: item for key, item in value.items() if is_record(item)}
    return named, {key: item for key, item in value.items() if key not in named}


def _yaml_records(stream: IO[bytes]) -> Records:
    """Yield the documents of a YAML file, which is read whole (such files are small)."""
    import yaml  # type: ignore[import-untyped]

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for number, value in enumerate(yaml.load_all(stream, Loader=loader), start=1):
            yield Record(value, number)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BrokenRecordError(f"not YAML: {error}", mark.line + 1 if mark else None) from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise BrokenRecordError(f"not YAML: {error}", None) from None
