"""The options --task-key and --success-key: which fields of the logs name the task and the outcome."""

from typing import NamedTuple

import click

task_key_option = click.option(
    "--task-key",
    metavar="FIELD",
    help="The dotted path of the field of the logs that names a record's task, such as metadata.issue.",
)
success_key_option = click.option(
    "--success-key",
    metavar="FIELD",
    help="The dotted path of the field that tells whether a run succeeded, such as metadata.passed: true or "
    "false, or a number, of which 1 or more is success.",
)


class Fields(NamedTuple):
    """What the two options name; None where they are not given."""

    task_key: str | None = None
    success_key: str | None = None

    @property
    def flags(self) -> list[str]:
        """The options of a command line."""
        given = self._asdict().items()
        return [word for name, value in given if value for word in (f"--{name.replace('_', '-')}", value)]


NO_FIELDS = Fields()
