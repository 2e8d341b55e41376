"""Reads the data of the worlds, which is not part of the project."""

import gzip
import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any


def records(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a gzipped JSON Lines file; SystemExit with one line if it is absent."""
    if not file.is_file():
        raise SystemExit(f"{file} is absent; --shared names the folder with tasks/ and environments/")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def shuffled(names: Iterable[str], seed: str) -> list[str]:
    """Distinct names in an order that depends on nothing but `seed` and the names."""
    return sorted(set(names), key=lambda name: blake2b(f"{seed}:{name}".encode()).digest())
