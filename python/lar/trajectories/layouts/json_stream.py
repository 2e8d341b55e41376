"""Records out of JSON of any size and layout, with memory for one record at a time.

JSON lines are read line by line, so that a broken line costs that line alone; msgspec decodes them.
Everything else (an array of records, an object of records by name, one record, or several documents in a row)
goes through a scanner that keeps a window of text and decodes one value at a time with the standard library's
C decoder. `ijson` does the same with events; building values out of its events costs more than decoding again
the one value that lies across the window's edge, and it would be one dependency more.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import IO, Any

import msgspec

from lar.trajectories.inputs.compression import Breakable, BrokenDataError
from lar.trajectories.layouts.record import BrokenRecordError, Record

WINDOW = 1 << 20  # characters; grows for a value that is longer
_COUNTED = 1 << 30  # bytes behind a malformed value
MAX_MEMBERS = 10_000  # members of a top-level object without a record among them before we give up
SPACE = " \t\n\r"
NUL = b"\0"
_LINE_NAMES = re.compile(r"\.(jsonl|ndjson|jsonlines)(\.\w+)?$", re.IGNORECASE)
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

# Objects in which one record is wrapped; elsewhere an object that holds a record holds several, by name.
WRAPPERS = (
    *("request", "response", "body", "input", "output", "prompt", "data", "kwargs"),
    *("inputs", "outputs", "values", "trace"),
    *("full_request", "full_response", "request_payload", "response_payload"),
    *("requestBody", "responseBody", "request_body", "response_body"),
)
# Arrays that belong to one record, a trace, although each of their elements could be one.
OWN_LISTS = ("observations", "child_runs", "post", "patch")


def has_lines_name(name: str) -> bool:
    """Whether a file's name is one of JSON lines, perhaps compressed."""
    return _LINE_NAMES.search(name) is not None


def looks_like_lines(head: bytes, hint: bool) -> bool:
    """Whether `head` (the start of the file) is JSON lines; `hint`: whether the file's name ends so."""
    lines = head.split(b"\n")
    complete = [line for line in lines[:-1] if line.strip()][:5]
    good = [line.startswith((b"{", b"[")) and _is_json(line) for line in complete]
    if not good:
        return hint
    if good[0]:
        return hint or len(complete) > 1 or bool(lines[-1].strip())
    # Broken at once, or one document over many lines: those are indented, or open with a bracket alone.
    spread = complete[0].strip() in (b"{", b"[") or any(line[:1].isspace() for line in complete)
    return (hint and not spread) or sum(good) >= 2


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def decode_line(line: bytes) -> Any:
    """The JSON value of a line, as the standard library's decoder gives it.

    msgspec takes half of its time. It refuses NaN, infinities, halves of surrogate pairs and a byte order
    mark, which the standard library takes; what it takes it decodes to the same values, large integers too
    (orjson makes floats of these). Invalid bytes become lone surrogates, as `Scanner` has them.

    Raises:
        ValueError, RecursionError: as `json.loads` does.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return json.loads(line.strip().decode("utf-8-sig", "surrogateescape"))


def read_lines(
    stream: Iterable[bytes], first_line: int = 1, first_number: int = 1
) -> Iterator[Record | BrokenRecordError]:
    """Yield a record for each line that is not blank; a broken line gives an error and reading goes on.

    `first_line` and `first_number` are those of the first line of `stream`, where that is a part of a file.
    """
    number = first_number - 1
    for line_number, line in enumerate(stream, start=first_line):
        if line.isspace():
            continue
        number += 1
        yield from read_line(line, line_number, number)


def read_line(line: bytes, line_number: int, number: int) -> Iterator[Record | BrokenRecordError]:
    """Yield the record of a line, with these numbers, or what is wrong with it.

    A crash may leave NUL bytes in a file, in place of what was not on the disk yet. They are an error of
    their own, so that they do not cost the record beside them.
    """
    if NUL in line:
        lost = f"{line.count(NUL)} NUL bytes, as a crash leaves them: what was written there is lost"
        yield BrokenRecordError(lost, line_number, number)
        line = line.strip(NUL + b" \t\r\n")
    if line:
        yield _record(line, line_number, number)


def _record(line: bytes, line_number: int, number: int) -> Record | BrokenRecordError:
    try:
        return Record(decode_line(line), number, line_number)
    except RecursionError:
        return BrokenRecordError("JSON nested too deeply", line_number, number)
    except ValueError as error:
        return BrokenRecordError(f"not JSON: {error}", line_number, number)


class Scanner:
    """Decodes one JSON value at a time out of a stream of UTF-8.

    Invalid bytes become lone surrogates: they are repaired or refused with the text that holds them.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = Breakable(stream)
        self._bytes = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._position = 0
        self._ended = False
        self.line = 1
        self._fill()
        self._text = self._text.removeprefix("\ufeff")

    def peek(self) -> str:
        """Skip white space and return the next character, or "" at the end."""
        while True:
            end = self._position
            while end < len(self._text) and self._text[end] in SPACE:
                end += 1
            self._advance(end)
            if end < len(self._text):
                return self._text[end]
            if self._ended:
                return ""
            self._fill()

    def take(self, expected: str) -> None:
        """Step over the character `expected`."""
        found = self.peek()
        if found != expected:
            raise self._error(f"expected {expected!r}, found {found!r}" if found else "the file is cut off")
        self._advance(self._position + 1)

    def value(self) -> Any:
        """Decode the next value; the window grows until it is whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if not self._may_be_cut(error):
                    raise self._error(f"not JSON: {error.msg}", error.pos) from None
                if self._ended:
                    raise self._error("the file is cut off inside this record") from None
            except RecursionError:
                raise self._error("JSON nested too deeply") from None
            except ValueError as error:  # an integer of thousands of digits
                raise self._error(f"not JSON: {error}") from None
            else:
                # A number at the window's edge may go on behind it; brackets and quotes are whole.
                if end < len(self._text) or self._ended or self._text[end - 1] in '}]"':
                    self._advance(end)
                    return value
            self._fill()

    def unread(self) -> str:
        """How many bytes are left, as the end of an error. They are counted in files, up to `_COUNTED`."""
        behind = self._text[self._position :].encode("utf-8", "surrogateescape")
        count = len(behind) + len(self._bytes.getstate()[0])
        least = "at least "
        try:
            while self._stream.seekable() and count < _COUNTED:  # who writes into a pipe may do so for hours
                data = self._stream.read(WINDOW)
                if not data:
                    least = ""
                    break
                count += len(data)
        except (BrokenDataError, OSError):
            pass  # more is left
        return f"; from here on, {least}{count:,} bytes of the file are not read" if count else ""

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        # Literals, numbers and escapes that are cut fail a few characters before the end.
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 12

    def _fill(self) -> None:
        """Drop what was consumed and read as much again as is left (so a long value costs linear time)."""
        rest = self._text[self._position :]
        data = self._stream.read(max(WINDOW, len(rest)))
        self._ended = not data
        self._text = rest + self._bytes.decode(data, final=self._ended)
        self._position = 0

    def _advance(self, end: int) -> None:
        self.line += self._text.count("\n", self._position, end)
        self._position = end

    def _error(self, message: str, position: int | None = None) -> BrokenRecordError:
        behind = 0 if position is None else self._text.count("\n", self._position, position)
        return BrokenRecordError(message, self.line + behind)


def read_document(
    stream: IO[bytes], is_record: Callable[[Any], bool], is_message: Callable[[Any], bool]
) -> Iterator[Record]:
    """Yield the records of a file that is not JSON lines; raises BrokenRecordError where it cannot go on.

    A value for which `is_record` is true is a record; another value holds records. An array whose first
    element is a message (`is_message`) is one conversation.

    Behind a malformed value nothing is read: where it ends cannot be told, and its texts may look like
    records. The error says how many bytes that are.
    """
    scanner = Scanner(stream)
    number = 0
    try:
        for value, line, key, context in _values(scanner, is_record, is_message):
            number += 1
            yield Record(value, number, line, key, context)
    except BrokenRecordError as error:
        raise BrokenRecordError(f"{error}{scanner.unread()}", error.line, number + 1) from None


_Found = tuple[Any, int, str | None, dict[str, Any]]  # value, line, key, context


def _values(
    scanner: Scanner, is_record: Callable[[Any], bool], is_message: Callable[[Any], bool]
) -> Iterator[_Found]:
    while start := scanner.peek():
        if start not in "[{":
            raise BrokenRecordError("expected a JSON object or array", scanner.line)
        yield from _array(scanner, is_message) if start == "[" else _object(scanner, is_record)


def _array(scanner: Scanner, is_message: Callable[[Any], bool]) -> Iterator[_Found]:
    line = scanner.line
    elements = _elements(scanner)
    first = next(elements, None)
    if first is None:
        return
    if is_message(first[0]):
        yield [value for value, _ in chain([first], elements)], line, None, {}
        return
    for value, at in chain([first], elements):
        yield value, at, None, {}


def _elements(scanner: Scanner) -> Iterator[tuple[Any, int]]:
    """Yield the elements of the next array, each with its line."""
    for line in _members(scanner, "[", "]"):
        yield scanner.value(), line


def _members(scanner: Scanner, opening: str, closing: str) -> Iterator[int]:
    """Yield the line of each member of the next array or object; the caller takes the member."""
    scanner.take(opening)
    if scanner.peek() != closing:
        yield scanner.line
    while scanner.peek() != closing:
        scanner.take(",")
        scanner.peek()
        yield scanner.line
    scanner.take(closing)


def _object(scanner: Scanner, is_record: Callable[[Any], bool]) -> Iterator[_Found]:
    """Yield an object that is one record, or the records that it holds in an array or by name."""
    members: dict[str, Any] = {}
    start, found, by_name = scanner.line, False, False
    for key, line in _keys(scanner):
        if scanner.peek() == "[":
            elements = _elements(scanner)
            first = next(elements, None)
            # A record may hold others: an ATIF trajectory has those of the agents that it started.
            is_list = first is not None and key not in OWN_LISTS and is_record(first[0])
            if first is not None and is_list and not is_record(members):
                found = True
                yield from ((value, at, None, members) for value, at in chain([first], elements))
                continue
            members[key] = [value for value, _ in chain([first] if first else [], elements)]
            continue
        value = scanner.value()
        if not by_name and key not in WRAPPERS and isinstance(value, dict) and is_record(value):
            by_name = found = True
            yield from ((other, start, name, {}) for name, other in members.items())
        if by_name:
            yield value, line, key, {}
        else:
            members[key] = value
        if len(members) > MAX_MEMBERS:
            raise BrokenRecordError(f"no record among the first {MAX_MEMBERS} members", start)
    if not found or (not by_name and is_record(members)):
        yield members, start, None, {}


def _keys(scanner: Scanner) -> Iterator[tuple[str, int]]:
    """Yield the keys of the next object; the caller decodes the value after each."""
    for line in _members(scanner, "{", "}"):
        if scanner.peek() != '"':
            raise BrokenRecordError(
                "expected a member's name" if scanner.peek() else "the file is cut off", line
            )
        key = scanner.value()
        scanner.take(":")
        yield key, line
