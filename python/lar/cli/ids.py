"""Ids and texts in and out of `encode` and `expand`: an array, JSON lines or plain lines, "-" for pipes."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from lar.cli.common import logger, note
from lar.cli.outputs import check_output
from lar.cli.prose import print_prose
from lar.errors import OptionError, VocabularyError
from lar.utils.files import atomic_file
from lar.vocabulary.arrays import as_ids
from lar.vocabulary.vocabulary import LatentVocabulary

Result = TypeVar("Result")

PIPE = Path("-")  # standard input or output
IDS = (".npy", ".jsonl")
TEXTS = (".txt", ".jsonl")


def read_ids(path: Path, hint: str = "") -> Iterator[NDArray[np.uint32]]:
    """Yield the lists of ids in a file: one list of a .npy file, else one JSON array on each line.

    A blank line is an empty list, so that list n is always that of line n.

    Raises:
        OptionError: the array or a line is not a list of ids; the message names it, and ends in `hint`.
    """
    if path.suffix == ".npy":
        try:
            with path.open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            yield as_ids(array)
        # A header can end early, ask for more memory than there is or numbers have, or be no Python.
        except (ValueError, OSError, EOFError, MemoryError, OverflowError, TypeError, TokenError) as error:
            raise OptionError(f"{path}: {error}") from error
        return
    not_text = "; an array is read from a file that ends in .npy"
    for number, line in enumerate(read_lines(path, not_text), start=1):
        try:
            yield as_ids(json.loads(line) if line.strip() else [])
        except (ValueError, TypeError, RecursionError) as error:
            place = f"{_name(path)}: line {number}"
            raise OptionError(f"{place} is not a JSON list of ids: {error}{hint}") from error


def each_list(
    function: Callable[[NDArray[np.uint32]], Result], path: Path, hint: str = ""
) -> Iterator[Result]:
    """Yield what `function` gives for each list of ids in a file; an error names the line."""
    for number, ids in enumerate(read_ids(path, hint), start=1):
        try:
            yield function(ids)
        except VocabularyError as error:
            place = "" if path.suffix == ".npy" else f": line {number}"
            raise VocabularyError(f"{_name(path)}{place}: {error}") from error


def read_lines(path: Path, hint: str = "") -> Iterator[str]:
    r"""Yield the lines of UTF-8 text without the "\n" that ends each; all else, "\r" too, is text.

    Raises:
        OptionError: a line is not UTF-8; the message names it, and ends in `hint`.
    """
    with nullcontext(sys.stdin.buffer) if path == PIPE else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.removesuffix(b"\n").decode()
            except UnicodeDecodeError as error:
                place = f"{_name(path)}: line {number}"
                raise OptionError(f"{place} is not UTF-8 text: {error}{hint}") from error
            yield text


def text_of(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> bytes:
    """The text of units as bytes, with special tokens, without the space that a tokenizer puts before it."""
    tokenizer = vocabulary.tokenizer
    text = tokenizer.bytes_of(vocabulary.expand(units))
    return text.removeprefix(b" ") if tokenizer.puts_space_before else text


def check_results(
    given: Path, output: Path, endings: tuple[str, ...], *, overwrite: bool, as_json: bool
) -> None:
    """Raise OptionError unless what is read from `given` can be written to `output`.

    That is "-", which does not go with --json, or a file with one of the endings (see `check_output`).
    """
    if output != PIPE and output.suffix not in endings:
        raise OptionError(f"{output}: the output must end in {' or '.join(endings)}, or be - for a pipe")
    if output == PIPE and as_json:
        raise OptionError("--json and -o - both write to standard output; choose one of them")
    if output == PIPE:
        return
    if output.exists() and given.exists() and output.samefile(given):
        raise OptionError(f"{output}: is both the input and the output")
    check_output(output, None, overwrite=overwrite)


def print_summary(line: str, output: Path) -> None:
    """Print what was done on standard output, or on standard error if the results are on that."""
    if output == PIPE:
        note(f"{line} on standard output")
    else:
        print_prose(f"{line} in {output}")


def write_results(results: Iterable[NDArray[np.uint32] | str], output: Path) -> int:
    """Write lists of ids or texts to `output`; returns how many there were.

    A .npy file takes one list of ids. A .txt file takes texts as plain lines, and so does standard output.
    All else is one JSON value a line. A file is written whole or not at all, standard output as it comes.

    Raises:
        OptionError: more than one list is to go into a .npy file, or a text with a line break into a line.
    """
    with _opened(output) as file:
        if output.suffix == ".npy":
            # The second list is refused before the others are made.
            arrays = list(islice(results, 2))
            if len(arrays) != 1:
                found = "several" if arrays else "none"
                raise OptionError(f"{output}: a .npy file holds one list of ids, not {found}; use .jsonl")
            np.save(file, arrays[0])
            return 1
        lists = 0
        to_line = _json_line if output.suffix == ".jsonl" else _plain_line
        for lists, result in enumerate(results, start=1):
            file.write(to_line(result, lists).encode() + b"\n")
        return lists


@contextmanager
def _opened(output: Path) -> Iterator[IO[bytes]]:
    if output == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic_file(output) as temporary, temporary.open("wb") as file:
        yield file


def _json_line(result: NDArray[np.uint32] | str, number: int) -> str:  # noqa: ARG001 (as `_plain_line`)
    return json.dumps(result if isinstance(result, str) else result.tolist(), ensure_ascii=False)


def _plain_line(result: NDArray[np.uint32] | str, number: int) -> str:
    if not isinstance(result, str):
        return _json_line(result, number)
    if "\n" in result:
        raise OptionError(f"the text of list {number} has a line break, so it is no plain line; write .jsonl")
    return result


def _name(path: Path) -> str:
    return "standard input" if path == PIPE else str(path)


class Counted:
    """Counts the results of which something is to be reported, and keeps the number of the first."""

    def __init__(self) -> None:
        self.all = self.found = self.first = 0

    def __call__(self, is_one: bool) -> None:
        """Count one more result."""
        self.all += 1
        if is_one:
            self.found += 1
            self.first = self.first or self.all

    def warn(self, what: str) -> None:
        """Log how many were found, if any, then `what` they are, and the number of the first."""
        if self.found:
            logger.warning("%d of %d %s; the first is number %d", self.found, self.all, what, self.first)
