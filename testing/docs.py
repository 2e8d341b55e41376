"""The code of the documentation, run: `python -m testing.docs docs/tutorial.md` writes the outputs anew.

Blocks are fenced. Of a `console` block, each line that begins with `$ ` is a command, and the lines below
it are what the command prints, standard error included. A `python` block is executed, and the next `text`
block is what it prints. The blocks of a page share a folder and their Python names. Other blocks (`sh`,
`yaml`) only show. A page other than the tutorial finds the files that the tutorial makes.
"""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = re.compile(r"\d+\.\d(?= s\b)|(?<=^seconds)( +)\d+\.\d", re.MULTILINE)
_SUBSTITUTES = {"lar": [sys.executable, "-m", "lar"], "python": [sys.executable]}


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands after its fence, its text, and where the text is in the page."""

    kind: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(found[1], found[2], *found.span(2)) for found in _BLOCK.finditer(page)]


def runs(page: str) -> bool:
    """Whether the page has code to run."""
    return any(block.kind in ("console", "python") for block in blocks(page))


def with_outputs(page: str, folder: Path) -> str:
    """The page with the outputs that its code has in `folder`; figures of seconds stay as they are."""
    names: dict[str, Any] = {"__name__": "page"}
    written, done, printed = [], 0, ""
    for block in blocks(page):
        if block.kind == "console":
            text = "".join(_answered(block.text, folder))
        elif block.kind == "python":
            text, printed = block.text, _printed(block.text, names, folder)
        elif block.kind == "text" and printed:
            text, printed = _tidy(printed), ""
        else:
            continue
        written += [page[done : block.start], _with_old_seconds(text, block.text)]
        done = block.end
    return "".join([*written, page[done:]])


def notebook_with_outputs(text: str, folder: Path) -> str:
    """A notebook's text with what its cells print in `folder`."""
    notebook = json.loads(text)
    names: dict[str, Any] = {"__name__": "notebook"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        lines = _tidy(_printed("".join(cell["source"]), names, folder)).splitlines(keepends=True)
        stream = {"name": "stdout", "output_type": "stream", "text": lines}
        cell.update(execution_count=number, outputs=[stream] if lines else [])
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _answered(session: str, folder: Path) -> Iterator[str]:
    """Each command of the session, and what it prints."""
    for found in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n", session, re.MULTILINE):
        yield found[0]
        yield _tidy(_output(found[1].replace("\\\n", " "), folder))


def _output(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    environment = {**os.environ, "COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), environment.get("PYTHONPATH", "")])
    found = subprocess.run(
        [*_SUBSTITUTES.get(program, [program]), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return found.stdout


def _printed(program: str, names: dict[str, Any], folder: Path) -> str:
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        exec(compile(program, "the page's block", "exec"), names)
    return output.getvalue()


def _tidy(output: str) -> str:
    return "".join(line.rstrip() + "\n" for line in output.splitlines())


def _with_old_seconds(new: str, old: str) -> str:
    """The new text with the old one's seconds, if they are all that differs."""
    return old if _SECONDS.sub("", new) == _SECONDS.sub("", old) else new


def main() -> None:
    """Write the pages that are named on the command line with the outputs of today."""
    for page in map(Path, sys.argv[1:]):
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            if page.suffix == ".ipynb":
                new = notebook_with_outputs(text, Path(folder))
            else:
                if page.resolve() != TUTORIAL:
                    with_outputs(TUTORIAL.read_text(encoding="utf-8"), Path(folder))
                new = with_outputs(text, Path(folder))
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
