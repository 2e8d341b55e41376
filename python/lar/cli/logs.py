"""The package's log on standard error: one line a record, above the progress bar where one is shown."""

import logging
from typing import Any

from rich.logging import RichHandler
from rich.text import Text

from lar.cli.common import console
from lar.utils.paths import printable
from lar.utils.processes import is_main

_STYLES = {"WARNING": "yellow", "ERROR": "red"}


class _LineHandler(RichHandler):
    """Writes `lar: warning: ...` for a warning and `lar: ...` for what is merely done."""

    def render(self, *, record: logging.LogRecord, message_renderable: Any, **_: Any) -> Text:  # noqa: ARG002
        """The record as one line, also with a file's name that is no UTF-8: rich would fail from then on."""
        kind = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = printable(" ".join(record.getMessage().split()))
        return Text.assemble((f"lar: {kind}", _STYLES.get(record.levelname, "")), line)


def show_log(level: int) -> None:
    """Show what the package logs at `level` or above; of several processes, what the main one logs."""
    logger = logging.getLogger("lar")
    for handler in list(logger.handlers):
        if isinstance(handler, _LineHandler):
            logger.removeHandler(handler)
    logger.addHandler(_LineHandler(console=console()))
    logger.setLevel(level if is_main() else logging.CRITICAL + 1)
