"""The command line: one module a command, imported only when its command runs."""

import difflib
import importlib
import io
import logging
import shutil
import signal
import sys
from textwrap import fill
from typing import Any

import click

from lar.cli.help import HelpContext
from lar.cli.interrupt import watch_interrupts
from lar.errors import LarError
from lar.utils.ending import Stopped
from lar.utils.processes import first_to_fail, is_main

# Name -> (module, one-line help): the help is here so that `lar --help` imports no command.
COMMANDS = {
    "import": ("lar.cli.import_", "Read agent logs of any known format and write trajectories (Parquet)."),
    "corpus": ("lar.cli.corpus", "Tokenize trajectories and mask the agent's tokens (Arrow)."),
    "estimate": ("lar.cli.estimate", "Show what latents would save on your logs, before any training."),
    "adapt": (
        "lar.cli.adapt",
        "Fine-tune a model that did not write the logs, so that it can be the teacher.",
    ),
    "score": ("lar.cli.score", "Store the teacher's entropy before each of the agent's tokens."),
    "mine": ("lar.cli.mine", "Mine a latent vocabulary from a corpus or from trajectories."),
    "encode": ("lar.cli.encode", "Encode base token ids as units."),
    "expand": ("lar.cli.expand", "Expand units into base token ids, exactly."),
    "distill": ("lar.cli.distill", "Teach a model to use a latent vocabulary."),
    "sweep": ("lar.cli.sweep", "Find how many latents, at which gate, a student can use without a loss."),
    "evaluate": ("lar.cli.evaluate", "Measure what a vocabulary saves on tasks that it was not mined on."),
    "report": ("lar.cli.report", "Write one HTML file of what is known: latents, savings, money."),
    "export": ("lar.cli.export", "Write a student as a checkpoint that unmodified engines serve."),
    "run": ("lar.cli.run", "Do all of it with defaults, from logs to an export."),
    "status": ("lar.cli.status", "Show what lies in a folder, what belongs together, and what to do next."),
    "demo": ("lar.cli.demo", "Run every step on a toy task, in a few minutes on a CPU."),
}

# Command -> how to go on after Ctrl-C; all others write in one step, at their end.
_GOES_ON = "run the same command again to continue"
_AFTER_STOP = dict.fromkeys(("corpus", "score", "adapt", "distill", "sweep", "run"), _GOES_ON) | {
    "demo": "remove its folder, or choose another, before you run it again"
}

# The lines fit a terminal of 40 columns, but for those to copy.
EPILOG = """\b
From logs to an engine:
  estimate, before all: worth it?
  import -> corpus -> mine
  -> distill, and with --control
  -> evaluate -> export -> vllm serve
For an entropy gate: score, then mine
Each command names the next;
lar status: where you are.

\b
Completion, in your shell's file:
  bash  eval "$(_LAR_COMPLETE=bash_source lar)"
  zsh   eval "$(_LAR_COMPLETE=zsh_source lar)"
  fish  _LAR_COMPLETE=fish_source lar | source"""

# Option -> what of the package's log is shown.
_LEVELS = {"verbose": logging.INFO, "quiet": logging.CRITICAL + 1}
_VERBOSITY = (
    (["-v", "--verbose"], "Print to standard error what is done, not only warnings."),
    (["-q", "--quiet"], "Print only errors to standard error: no warnings, no progress."),
)


def with_verbosity(command: click.Command) -> click.Command:
    """Give a command, or the group of all, the options -v and -q; the last one that is given holds.

    Its help fits the terminal (see `lar.cli.help`).
    """
    command.context_class = HelpContext
    if not any(parameter.name in _LEVELS for parameter in command.params):
        command.params += [
            click.Option(names, is_flag=True, expose_value=False, callback=_set_verbosity, help=text)
            for names, text in _VERBOSITY
        ]
    return command


def _set_verbosity(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        _show_log(context, _LEVELS[str(parameter.name)])


def _show_log(context: click.Context, level: int) -> None:
    from lar.cli.logs import show_log

    context.meta["lar.verbosity"] = level
    show_log(level)


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that none pays for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return with_verbosity(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, or fail with the nearest name."""
        near = [] if args[0] in COMMANDS else difflib.get_close_matches(args[0], COMMANDS, n=1)
        if near:
            ctx.fail(f"no command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lar")
@click.pass_context
def group(context: click.Context) -> None:
    """Make LLM agents cheaper by giving them bigger actions (Latent Action Reparameterization)."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif "lar.verbosity" not in context.meta:
        _show_log(context, logging.WARNING)


with_verbosity(group)


def main() -> None:
    """Run the command line; bad input ends with one line on standard error and exit code 2.

    Of several processes the first that fails prints the reason. The others fail for the same reason, or
    because it is gone.
    """
    watch_interrupts()
    _print_any_name()
    try:
        sys.exit(group.main(prog_name="lar", standalone_mode=False))
    except (click.exceptions.Abort, KeyboardInterrupt):
        _stopped(signal.SIGINT)
    except Stopped as end:
        _stopped(end.number, end.kept)
    except click.MissingParameter as error:
        _fail(f"{error.format_message()} {error.ctx.get_usage() if error.ctx else ''}")
    except click.ClickException as error:
        _fail(error.format_message())
    except (LarError, OSError) as error:
        _fail(str(error))
    except Exception:
        if first_to_fail():
            raise
        sys.exit(2)


def _print_any_name() -> None:
    """Let standard output take bytes of a file's name that are no UTF-8, as escapes; standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _stopped(by: int, kept: str = "") -> None:
    """End after a signal with how to go on; a second one ends the process at once, without a traceback.

    `kept` are words about what is kept of the work.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    command = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    after = _AFTER_STOP.get(command, "nothing was written")
    if is_main():
        click.echo(f"lar: stopped{kept if after == _GOES_ON else ''}; {after}", err=True)
    sys.exit(128 + by)


def _fail(message: str) -> None:
    if first_to_fail():
        line = f"lar: error: {' '.join(message.split())}"
        if sys.stderr.isatty():  # a program gets one line
            width = shutil.get_terminal_size().columns
            line = fill(line, width, break_long_words=False, break_on_hyphens=False)
        click.echo(line, err=True)
    sys.exit(2)
