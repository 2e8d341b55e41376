"""What all benches share: a parser whose help gives each default, and errors of one line with exit code 2.

This module needs only Python: `benches.gpu.store` runs where `lar` is not installed yet.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of a bench's options; `description` is the module's docstring, shown as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=_Help)


def add_logs(parser: argparse.ArgumentParser, corpora: Sequence[str]) -> None:
    """Add the options that name a tokenizer and logs of a folder; `corpora` are the logs by default."""
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument("--corpora", nargs="+", default=corpora, help="file names without .jsonl.gz")


def positive(text: str) -> int:
    """The type of an option that is a number of things: an integer from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def at_least_zero(text: str) -> int:
    """The type of an option that is a number of things, or 0 for none."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {value}")
    return value


# What argparse says of a text that is no integer: "invalid integer value".
positive.__name__ = at_least_zero.__name__ = "integer"


def as_json(options: argparse.Namespace) -> dict[str, Any]:
    """The options as JSON-ready values; a path becomes its text."""
    values: dict[str, Any] = json.loads(json.dumps(vars(options), default=str))
    return values


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a bench and end the process with the code that it returns (None: 0).

    Bad input ends with one line on standard error and exit code 2: an error of `lar.errors` or of the system,
    a command that failed, and a SystemExit with a text. Ctrl-C ends with 130. Other errors are bugs.
    """
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _end("stopped", 130)
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        _end(f"error: {error.code}")
    except (*_typed_errors(), OSError, subprocess.SubprocessError) as error:
        _end(f"error: {error}")


def _typed_errors() -> tuple[type[BaseException], ...]:
    """`LarError`, and what `testing.engines` raises of pytest's; nothing that was not imported was raised."""
    found: list[Any] = []
    if errors := sys.modules.get("lar.errors"):
        found.append(errors.LarError)
    if pytest := sys.modules.get("pytest"):
        found += [pytest.fail.Exception, pytest.skip.Exception]
    return tuple(found)


def _end(message: str, code: int = 2) -> NoReturn:
    print(f"{Path(sys.argv[0]).stem}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


class _Help(argparse.RawDescriptionHelpFormatter):
    """The description as it is written, and behind the help of each option its default, if it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        has_default = not (default is None or default is False or default == argparse.SUPPRESS)
        if not text or not has_default or action.required or "default" in text:
            return text
        several = isinstance(default, (list, tuple))
        shown = " ".join(map(str, default)) if several else str(default)
        return f"{text} (default: {shown.replace('%', '%%')})"
