"""The command line: one module a command, imported only when its command runs."""

import importlib
import sys

import click

from lar.errors import LarError
from lar.utils.processes import first_to_fail

# Name -> (module, one-line help): the help is here so that `lar --help` imports no command.
COMMANDS = {
    "import": ("lar.cli.import_", "Agent logs of any known format -> trajectories (Parquet)."),
    "corpus": ("lar.cli.corpus", "Trajectories -> tokens with the agent's mask (Arrow)."),
    "adapt": ("lar.cli.adapt", "Fine-tune a plain LoRA on the agent's turns and merge it: the teacher."),
    "score": ("lar.cli.score", "Store the teacher's entropy before each of the agent's tokens."),
    "mine": ("lar.cli.mine", "Corpus or trajectories -> latent vocabulary."),
    "encode": ("lar.cli.encode", "Base token ids -> units."),
    "expand": ("lar.cli.expand", "Units -> base token ids, exactly."),
    "distill": ("lar.cli.distill", "Teach a model to use a latent vocabulary."),
    "evaluate": ("lar.cli.evaluate", "What a vocabulary saves on tasks that it has not seen."),
    "export": ("lar.cli.export", "Student -> a checkpoint that stock engines take as it is."),
    "demo": ("lar.cli.demo", "The whole way in a few minutes on a CPU."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that none pays for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lar")
def group() -> None:
    """Make LLM agents cheaper by giving them bigger actions (Latent Action Reparameterization)."""


def main() -> None:
    """Run the command line; bad input ends with one line on standard error and exit code 2.

    Of several processes the first to fail says why: the others fail for its reason, or as it is gone.
    """
    try:
        sys.exit(group.main(standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message())
    except (LarError, OSError) as error:
        _fail(str(error))
    except Exception:
        if first_to_fail():
            raise
        sys.exit(2)


def _fail(message: str) -> None:
    if first_to_fail():
        click.echo(f"lar: error: {' '.join(message.split())}", err=True)
    sys.exit(2)
