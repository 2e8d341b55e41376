"""The options --task-key and --success-key: which fields of the logs name the task and the outcome."""

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
