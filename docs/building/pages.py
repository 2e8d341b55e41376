"""What the site's builder does to a page before it reads it as Markdown."""

import html
import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from lar.cli import group

# The line of reference/commands.md in whose place the commands come.
COMMANDS = "<!-- commands -->"

_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_FENCE = re.compile(r" *(```+|~~~+)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the commands' help in its place, and with a blank line before each list."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(_commands()))
    return with_parted_lists(markdown)


def with_parted_lists(markdown: str) -> str:
    """The page with a blank line before each list that follows a paragraph.

    GitHub needs none there, so our pages have none. Python-Markdown takes such a list for text.
    """
    written: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        if found := _FENCE.match(line):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        elif not fence and _ITEM.match(line) and written and _ends_paragraph(written[-1]):
            written.append("")
        written.append(line)
    return "\n".join(written)


def _ends_paragraph(line: str) -> bool:
    """Whether a list after this line would be read as a part of its paragraph."""
    return bool(line.strip()) and not _ITEM.match(line) and not line.startswith((" ", "#", "|"))


def _commands() -> Iterator[str]:
    """The lines of each command's help: its text, its examples, its arguments and options."""
    context = click.Context(group, info_name="lar")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from (f"## lar {name}", "")
        yield from _text(command.help or "")
        inner = click.Context(command, info_name=name, parent=context)
        yield from ("```text", command.get_usage(inner).removeprefix("Usage: "), "```", "")
        yield from ("| option | effect |", "|---|---|")
        records = (parameter.get_help_record(inner) for parameter in command.get_params(inner))
        for option, effect in filter(None, records):
            if effect:  # an argument has none
                yield f"| <code>{_cell(option)}</code> | {_cell(effect)} |"
        yield ""


def _text(help_text: str) -> Iterator[str]:
    """Click's help as Markdown: a paragraph after a backspace character is kept as it is."""
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        head, backspace, kept = paragraph.partition("\b\n")
        if backspace:
            yield from ("```text", kept, "```", "")
        else:
            yield from (_escaped(head), "")


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;").replace("_", "&#95;")


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>])", r"\\\1", text)
