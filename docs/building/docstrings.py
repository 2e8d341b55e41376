"""What the site's builder does to a docstring before it reads it as Google's style."""

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Doctests become blocks of code, and each error of `Raises:` becomes one item."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _fenced(_indented(obj.docstring.value))


def _fenced(text: str) -> str:
    """The text with a fence around each doctest: from `>>>` to the next blank line."""
    return re.sub(r"(?m)^>>> (?:.+\n?)+", lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)


def _indented(text: str) -> str:
    """The text with the further lines of each item of `Raises:` indented below the item's first line."""

    def items(section: re.Match[str]) -> str:
        return re.sub(r"(?m)^    (?!\w+: )", "        ", section[0])

    return re.sub(r"(?m)^Raises:\n(?:    .+\n?)+", items, text)
