"""Files of ids for `encode` and `expand`: a numpy array, or one JSON array on each line."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lar.errors import OptionError
from lar.utils.files import atomic_file
from lar.vocabulary.vocabulary import as_ids


def read_ids(path: Path) -> Iterator[NDArray[np.uint32]]:
    """Yield the lists of ids in a file: one list of a .npy file, else one JSON array on each line.

    Raises:
        OptionError: the array or a line is not a list of ids; the message names it.
    """
    if path.suffix == ".npy":
        try:
            yield as_ids(np.load(path))
        except (ValueError, OSError) as error:
            raise OptionError(f"{path}: {error}") from error
        return
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield as_ids(json.loads(line))
        except (ValueError, TypeError) as error:
            raise OptionError(f"{path}: line {number} is not a JSON list of ids: {error}") from error


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file without the newline that ends each; all else is text.

    Raises:
        OptionError: the file is not UTF-8.
    """
    with path.open(encoding="utf-8", newline="\n") as lines:
        try:
            yield from (line.removesuffix("\n") for line in lines)
        except UnicodeDecodeError as error:
            raise OptionError(f"{path}: not UTF-8 text: {error}") from error


def write_results(results: Iterator[NDArray[np.uint32] | str], output: Path) -> int:
    """Write lists of ids or texts to `output`, whole or not at all; returns how many there were.

    A .npy file takes one list of ids; any other name takes one JSON value a line.

    Raises:
        OptionError: more than one list, or a text, is to go into a .npy file.
    """
    with atomic_file(output) as temporary:
        if output.suffix == ".npy":
            arrays = list(results)
            if len(arrays) != 1 or isinstance(arrays[0], str):
                raise OptionError(f"{output}: a .npy file holds one list of ids; use .jsonl")
            with temporary.open("wb") as file:
                np.save(file, arrays[0])
            return 1
        lists = 0
        with temporary.open("w", encoding="utf-8") as file:
            for result in results:
                value = result if isinstance(result, str) else result.tolist()
                file.write(json.dumps(value, ensure_ascii=False) + "\n")
                lists += 1
        return lists
