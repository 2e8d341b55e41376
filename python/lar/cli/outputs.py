"""One rule for the outputs of all commands: a result that is there stays, unless --overwrite is given."""

from pathlib import Path

import click

from lar.errors import OptionError
from lar.utils.files import check_replaceable

overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace an older result at --output, once the new one is complete."
)


def check_output(output: Path, holds: str | None, *, overwrite: bool) -> None:
    """Raise OptionError if the command may not write to `output`; call it before any work.

    A result of the same kind is replaced only with `overwrite`, anything else never. `holds` is the file by
    which a folder is a result of the command; None where the command writes a file.
    """
    if holds is not None:
        check_replaceable(output, holds)
    elif output.is_dir():
        raise OptionError(f"{output}: a folder; name a file to write")
    elif output.exists() and not output.is_file():
        raise OptionError(f"{output}: a pipe or a device, which no file may replace; name another file")
    if not overwrite and output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise OptionError(f"{output}: is there already; choose another -o, or replace it with --overwrite")
