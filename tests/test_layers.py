"""The packages of `lar` stand in the order of the data, and none imports one further down."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lar

PACKAGE = Path(lar.__file__).parent
# What everyone may use, then from logs to a served student; docs/architecture.md draws it.
ORDER = (
    "errors",
    "utils",
    "trajectories",
    "tokenizer",
    "corpus",
    "vocabulary",
    "models",
    "scoring",
    "mining",
    "distillation",
    "generation",
    "evaluation",
    "serving",
    "cluster",
    "demo",
    "cli",
)
# The front of the package names all public functions.
FRONT = {"__init__", "__main__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


def imported(file: Path) -> Iterator[str]:
    """The packages of `lar` that a file imports, wherever in it, for type checkers too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "lar" and len(parts) > 1 and parts[1] in ORDER:
                yield parts[1]


def test_every_package_has_a_place_in_the_order():
    found = {name_of(file).split(".")[0] for file in modules()} - FRONT
    assert found == set(ORDER)


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_nothing_imports_downstream(file):
    package = name_of(file).split(".")[0]
    if package in FRONT:
        return
    place = ORDER.index(package)
    assert [other for other in imported(file) if ORDER.index(other) > place] == []


def test_there_are_few_enough_rooms_to_know():
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__" and path.suffix != ".so"]
    assert len(entries) <= 20
