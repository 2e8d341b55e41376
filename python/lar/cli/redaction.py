"""The options --redact and --phone-region."""

from collections.abc import Callable
from typing import Any

import click


def redact_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --redact and --phone-region."""
    region = click.option(
        "--phone-region",
        default="US",
        show_default=True,
        metavar="CODE",
        help="The country whose phone numbers --redact finds without a + before them.",
    )
    redact = click.option(
        "--redact",
        is_flag=True,
        help="Replace e-mail addresses, phone numbers, keys and tokens by placeholders before writing.",
    )
    return redact(region(function))


def redactor_of(redact: bool, region: str) -> Any:
    """The redactor of these options; None without --redact.

    Raises:
        MissingExtraError: the extra `redact` is not installed.
    """
    if not redact:
        return None
    from lar.trajectories import Redactor

    return Redactor(region)
