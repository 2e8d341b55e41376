"""The options that name fields of logs: --task-key, --success-key, --messages-key and --reply-key."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import click

_OPTIONS = {
    "task_key": "The dotted path of the field of the logs that names a record's task, such as "
    "metadata.issue.",
    "success_key": "The dotted path of the field that tells whether a run succeeded, such as "
    "metadata.passed: true or false, yes or no, passed or failed, success or failure, or a number, of which "
    "1 or more is success.",
    "messages_key": "For logs of no known format: the dotted path of the field that holds the conversation, "
    "such as request.history: a list of messages, or a text, which is one message of the user.",
    "reply_key": "With --messages-key: the dotted path of the field that holds the model's reply, such as "
    "llm_output: a text, or a message or response of any interface.",
}


class Fields(NamedTuple):
    """What the options name; None where they are not given."""

    task_key: str | None = None
    success_key: str | None = None
    messages_key: str | None = None
    reply_key: str | None = None

    @property
    def flags(self) -> list[str]:
        """The options of a command line."""
        given = self._asdict().items()
        return [word for name, value in given if value for word in (_flag(name), value)]


NO_FIELDS = Fields()


def fields_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options called `names`, all without any; the command gets them as one argument `fields`."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**options: Any) -> None:
            function(fields=Fields(**{name: options.pop(name) for name in chosen}), **options)

        chosen = names or Fields._fields
        for name in reversed(chosen):
            command = click.option(_flag(name), metavar="FIELD", help=_OPTIONS[name])(command)
        return command

    return add


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
