"""The commands of the benches in documents and docstrings: each is one that the bench's parser takes."""

import argparse
import ast
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")]
COMMAND = re.compile(r"(?:python3?|^) -m (benches\.[\w.]*\w)(.*)", re.MULTILINE)
MAKE = re.compile(r"\$\(\w+\)"), re.compile(r"\$\(if \w+,([^()]*)\)")  # a variable, and a condition
PLACEHOLDERS = {"PIECE": "throughput-qwen3"}


class Parsed(Exception):  # noqa: N818
    """The bench has parsed its arguments, and does no more."""

    def __init__(self, parser):
        self.parser = parser


def texts() -> Iterator[tuple[Path, str]]:
    """The documents and the docstrings of the benches' modules."""
    for file in [*DOCUMENTS, *(ROOT / "docs").rglob("*.md"), *(ROOT / "benches").rglob("*.md")]:
        yield file, file.read_text(encoding="utf-8")
    for file in (ROOT / "benches").rglob("*.py"):
        yield file, ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def commands() -> Iterator[tuple[Path, str, list[str]]]:
    """The file, the module and the arguments of each command; a mention of a module has no arguments."""
    for file, text in texts():
        whole = re.sub(r"`[^`\n]*\n?[^`\n]*`", lambda code: code[0].replace("\n", " "), text)
        for module, rest in COMMAND.findall(whole.replace("\\\n", " ")):
            yield file, module, words(rest.partition("`")[0])


def words(text: str) -> list[str]:
    """The words of a command's end, up to what the shell reads of it; what is optional is given."""
    made = MAKE[1].sub(r"\1", MAKE[0].sub("made", text))
    reader = shlex.shlex(re.sub(r"[\[\]]", " ", made), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found = []
    for word in reader:
        if set(word) <= set("();<>|&"):
            break
        found.append(PLACEHOLDERS.get(word, word))
    return found


COMMANDS = list(commands())
BENCHES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in sorted((ROOT / "benches").rglob("*.py"))
    if "def main(" in file.read_text(encoding="utf-8")
]


def parse(module, arguments, monkeypatch):
    """Let the bench parse the arguments; returns its parser."""
    try:
        bench = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("benches", "lar", "testing"):
            raise
        pytest.skip(f"{module} needs {error.name}")

    def stop(self, given=None, namespace=None):
        original(self, given, namespace)
        raise Parsed(self)

    original = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(Parsed) as parsed:
        bench.main()
    return parsed.value.parser


@pytest.mark.parametrize(("file", "module", "arguments"), COMMANDS)
def test_the_bench_takes_the_command(file, module, arguments, monkeypatch, capsys):
    assert module in BENCHES, f"{file} names {module}"
    if not arguments or "--help" in arguments:
        return
    try:
        parse(module, arguments, monkeypatch)
    except SystemExit:
        pytest.fail(f"{file}: {capsys.readouterr().err}")


def test_the_commands_of_all_kinds_of_files_are_found():
    assert {file.suffix for file, _, arguments in COMMANDS if arguments} == {".md", ".py", ""}
    assert {module for _, module, arguments in COMMANDS if arguments} >= set(BENCHES) - {
        "benches.resampling.resampler"
    }
    assert words(" a --b [--c] 'd e' > f") == ["a", "--b", "--c", "d e"]
    assert words("$(A) $(if $(B),--b $(B))") == ["made", "--b", "made"]


@pytest.mark.parametrize("module", BENCHES)
def test_each_option_is_explained(module, monkeypatch):
    def stop(self, given=None, namespace=None):  # noqa: ARG001
        raise Parsed(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    bench = pytest.importorskip(module, exc_type=ModuleNotFoundError)
    with pytest.raises(Parsed) as parsed:
        bench.main()
    for action in parsed.value.parser._actions:
        name = f"{module}: {action.option_strings or action.dest}"
        assert action.help, f"{name} has no help"
        # A default that is no value is told in words; all others the parser shows.
        if action.option_strings and not action.required and action.default is None:
            assert "default" in action.help, f"{name} has no default"
    source = Path(bench.__file__).read_text(encoding="utf-8")
    assert source.endswith('if __name__ == "__main__":\n    entry.run(main)\n')
