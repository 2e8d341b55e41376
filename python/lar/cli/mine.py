"""`lar mine`: mine a latent vocabulary from a corpus or from trajectories."""

import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.table import Table

from lar.cli.cluster import cluster_at, ray_option
from lar.cli.common import (
    EXISTING_FILE,
    EXISTING_LOGS,
    EXISTING_PATH,
    PATH,
    TOKENIZER,
    json_option,
    logger,
    print_json,
    progress_bar,
)
from lar.cli.fields import Fields, fields_options
from lar.cli.inputs import (
    check_fields,
    check_for_cluster,
    check_tokenizer,
    hold_out_options,
    open_corpus,
    with_split,
)
from lar.cli.log_report import losses_summary, print_losses
from lar.cli.next_step import after_mine, print_next
from lar.cli.outputs import check_output, overwrite_option
from lar.cli.prose import print_prose
from lar.cli.size import parse_size
from lar.cli.tables import print_table
from lar.errors import OptionError
from lar.mining.engine_gates.static import SERVED, parse_gates
from lar.mining.no_latents import check_enough_tasks, check_latents
from lar.mining.options import SIZES, MiningOptions
from lar.trajectories import Report
from lar.utils.result_files import VOCABULARY_FILE
from lar.utils.words import counted
from lar.vocabulary.learnable import LEARNABLE, are_learnable, learnable_share
from lar.vocabulary.turn_lengths import FEW_UNITS, TurnLength

_DEFAULTS = MiningOptions()


@click.command("mine")
@click.argument("inputs", nargs=-1, required=True, type=EXISTING_LOGS)
@click.option("--tokenizer", type=TOKENIZER, help="The model's folder; needed if INPUTS are trajectories.")
@click.option("-o", "--output", required=True, type=PATH, help="The vocabulary folder to write.")
@overwrite_option
@click.option(
    "--size",
    type=int,
    help=f"The largest number of latents.  [default: the largest of {SIZES[-1]}, {SIZES[-2]}, ... {SIZES[0]} "
    f"of which half or more have {LEARNABLE} uses or more, and which leave a turn {FEW_UNITS:g} units, "
    f"{SIZES[0]} if none does; {_DEFAULTS.size} with --prompt-weight; or that of --update]",
)
@click.option(
    "--min-support",
    default=_DEFAULTS.min_support,
    show_default=True,
    help="The smallest number of distinct tasks in which a segment must occur.",
)
@click.option(
    "--min-count",
    default=_DEFAULTS.min_count,
    show_default=True,
    help="The smallest number of times that a segment must occur.",
)
@click.option(
    "--max-length",
    default=_DEFAULTS.max_length,
    show_default=True,
    help="The largest number of base tokens in a segment, at most 1024.",
)
@click.option(
    "--max-entropy",
    metavar="NATS|pN|none",
    help="The entropy gate: a token may continue a segment only if the teacher's next-token entropy is at "
    "most this, in nats (0.25) or as a quantile of the corpus's own entropies (p90); none: no gate.  "
    "[default: none]",
)
@click.option(
    "--max-crossing",
    default=_DEFAULTS.max_crossing,
    show_default=True,
    help="For the entropy gate: the largest share of a segment's occurrences that may cross it, that is, "
    "continue at a token of a higher entropy.",
)
@click.option(
    "--gates",
    metavar="engines|none|NAMES",
    default=_DEFAULTS.gates,
    show_default=True,
    help="The engine gates that every segment must pass: all, none, or a list of names with commas.",
)
@click.option(
    "--min-kept",
    default=_DEFAULTS.min_kept,
    show_default=True,
    help="For the engine gate served: the least share of a latent's saving in tokens that must be left in "
    "the text that engines read.",
)
@click.option(
    "--prompt-weight",
    default=_DEFAULTS.prompt_weight,
    show_default=True,
    help="What a token that the agent reads (system prompt, tools, observations) costs beside one that it "
    "writes, for example 0.1. With 0, only the agent's text is mined.",
)
@click.option(
    "--tools",
    type=EXISTING_FILE,
    metavar="FILE",
    help="A JSON file with the agent's tools, as an interface takes them: what is fixed in a call becomes a "
    "candidate for tools without a call in the logs, too.",
)
@click.option(
    "--update",
    type=EXISTING_PATH,
    metavar="VOCABULARY",
    help="An earlier vocabulary, to be updated for these logs: latents that still pay keep their ids "
    "(unless fewer are left than before), the others are replaced. Options that are not given are those that "
    "it was mined with, and not the defaults (but --tools, whose file it does not record).",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="About how much memory the corpus's runs may take, such as 2GiB, beside some hundred MB for the "
    "search (more where runs recur in very many tasks); the rest is spilled to files in TMPDIR. The result "
    "is the same, but for --max-entropy on a corpus that is not scored.  [default: no limit]",
)
@fields_options()
@ray_option
@hold_out_options
@json_option
def command(
    inputs: tuple[Path | str, ...],
    fields: Fields,
    tokenizer: Path | None,
    output: Path,
    overwrite: bool,
    size: int | None,
    update: Path | None,
    memory: str | None,
    ray_address: str | None,
    hold_out: float | None,
    split_seed: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Mine a latent vocabulary from a corpus folder or from logs.

    INPUTS are one corpus folder, or logs as lar import takes them: files, folders, patterns, URLs, or - for
    standard input.

    The tasks that the corpus holds out (lar corpus --hold-out) are left out.

    In the table of latents, uses are counted where the parse takes a latent. Its segment also occurs inside
    longer latents, so it can occur in more tasks than it has uses.

    \b
    Examples:
      lar mine corpus/ -o vocabulary/
      lar mine corpus/ --max-entropy p90 -o gated/
      lar mine logs/*.jsonl.gz --tokenizer Qwen3-8B/ --size 256 -o vocabulary/
      lar mine corpus/ --size 4096 -o vocabulary/ --memory 4GiB
      lar mine corpus/ --size 1024 --prompt-weight 0.1 -o vocabulary/
      lar mine corpus/ --size 1024 --tools tools.json -o vocabulary/
      lar mine new-logs/ --update vocabulary/ -o vocabulary-2/
      lar mine /shared/corpus/ --size 4096 -o vocabulary/ --ray head:6379
    """
    from lar.mining.mine import mine
    from lar.mining.one_machine import OneMachine
    from lar.vocabulary.vocabulary import LatentVocabulary

    before = LatentVocabulary.load(update) if update else None
    given = _given(options)
    checked = _checked(given, size, before)  # what is wrong must not wait for the corpus
    check_output(output, VOCABULARY_FILE, overwrite=overwrite)
    check_tokenizer(inputs, tokenizer)
    check_fields(inputs, fields)
    here = OneMachine(None if memory is None else parse_size(memory))
    if ray_address is not None:
        if memory is not None:
            raise OptionError("--memory is for one machine: it does not go with --ray")
        check_for_cluster(inputs)
    began = time.perf_counter()
    own = tokenizer or (None if before is None else before.tokenizer)
    report = Report()
    corpus = with_split(open_corpus(inputs, own, report, fields), hold_out, split_seed)
    check_enough_tasks(corpus, checked.min_support)
    with cluster_at(ray_address) as cluster, progress_bar("mining", unit="tokens") as progress:
        backend = cluster or here
        vocabulary = mine(corpus, size, update=before, backend=backend, progress=progress, **given)
    check_latents(vocabulary)
    _warn_of_fewer(vocabulary)
    vocabulary.save(output)
    summary = _summary(vocabulary, output, time.perf_counter() - began)
    if as_json:
        print_json(summary | losses_summary(report))
    else:
        _print(vocabulary, summary, asked=size is not None or bool(before))
        print_losses(report)
    print_next(*after_mine(inputs, corpus, output, tokenizer, fields), as_json=as_json)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that stand on the command line; --max-entropy none is None, as in Python."""
    source = click.get_current_context().get_parameter_source
    found = {name: value for name, value in options.items() if source(name) is not ParameterSource.DEFAULT}
    if found.get("max_entropy") == "none":
        found["max_entropy"] = None
    return found


def _checked(given: dict[str, Any], size: int | None, before: Any) -> MiningOptions:
    """The options of the mining, with those that an update takes over from the vocabulary `before`."""
    from lar.mining.taken_over import taken_over
    from lar.mining.tool_schemas import read_tools

    taken = {} if before is None else taken_over(before, given)
    options = MiningOptions(**{**taken, **given, **({} if size is None else {"size": size})})
    if "max_crossing" in given and options.max_entropy is None:
        raise OptionError("--max-crossing is for an entropy gate: it goes with --max-entropy")
    if "min_kept" in given and SERVED not in parse_gates(options.gates):
        raise OptionError(
            f"--min-kept is for the engine gate served, which is not in --gates {options.gates}"
        )
    if given.get("tools"):
        read_tools(given["tools"])
    return options


def _warn_of_fewer(vocabulary: Any) -> None:
    """Log that there are fewer latents than were asked for."""
    most = vocabulary.mining["size"]
    if vocabulary.size < most:
        logger.warning(
            "%d latents of %d: no other of the %s candidates saves units and fits engines"
            " (a larger --size tries more)",
            *(vocabulary.size, most, f"{vocabulary.mining['candidates']:,}"),
        )


def _summary(vocabulary: Any, output: Path, seconds: float) -> dict[str, Any]:
    saved = sum(latent.saving for latent in vocabulary.latents)
    base_tokens = vocabulary.mining["action_tokens"]
    return {
        "vocabulary": str(output),
        "latents": vocabulary.size,
        "base_size": vocabulary.base_size,
        "turns": vocabulary.mining["turns"],
        "base_tokens": base_tokens,
        "units": base_tokens - saved,
        "reduction": round(saved / base_tokens, 6),
        "learnable": round(learnable_share(vocabulary.latents), 4),
        **_of_prompts(vocabulary),
        "mining": vocabulary.mining,
        "seconds": round(seconds, 2),
    }


def _of_prompts(vocabulary: Any) -> dict[str, Any]:
    """Base tokens and units of what the agent only reads and of all text, if prompts have a weight."""
    mining = vocabulary.mining
    if not mining["prompt_weight"]:
        return {}
    saved = sum(latent.prompt_saving for latent in vocabulary.latents)
    base_tokens = mining["prompt_tokens"]
    total = base_tokens + mining["action_tokens"]
    total_saved = saved + sum(latent.saving for latent in vocabulary.latents)
    return {
        "prompt_base_tokens": base_tokens,
        "prompt_units": base_tokens - saved,
        "prompt_reduction": round(saved / base_tokens, 6) if base_tokens else 0.0,
        "total_base_tokens": total,
        "total_units": total - total_saved,
        "total_reduction": round(total_saved / total, 6),
    }


def _print(vocabulary: Any, summary: dict[str, Any], *, asked: bool) -> None:
    mining = vocabulary.mining
    weight = mining["prompt_weight"]
    table = Table(title="The latents that save most", title_justify="left")
    for name in ("id", "text", "tokens", "uses", *(["prompt uses"] if weight else []), "occurs in tasks"):
        table.add_column(name, justify="left" if name == "text" else "right")
    by_saving = sorted(
        vocabulary.latents, key=lambda latent: -(latent.saving + weight * latent.prompt_saving)
    )
    for latent in by_saving[:10]:
        uses = (latent.uses, latent.prompt_uses) if weight else (latent.uses,)
        row = (latent.id, repr(latent.text), len(latent.tokens), *uses, latent.support)
        table.add_row(*map(str, row))
    print_table(table)
    print_prose("uses: where the parse takes the latent; its segment also occurs inside longer latents")
    _print_gates(mining["gates"])
    if mining["tools"]:
        _print_tools(mining["tools"])
    if "update" in mining:
        _print_update(mining["update"])
    print_prose(
        f"{counted(summary['latents'], 'latent')}: {summary['reduction']:.1%} fewer units on the tasks that"
        f" they were mined on ({mining['tasks']}), counted in tokens; lar evaluate measures other tasks, as"
        " engines read the text"
    )
    turn = TurnLength.mined(vocabulary)
    print_prose(turn.in_words())
    print_prose(_uses(vocabulary, asked=asked))
    if turn.is_short and not asked and not weight:  # with a weight, the size is not chosen by turns
        print_prose(f"{mining['size']} is taken if no size leaves a turn {FEW_UNITS:g} units")
    if weight:
        print_prose(
            f"of what the agent only reads {summary['prompt_reduction']:.1%} fewer, "
            f"of all text {summary['total_reduction']:.1%} fewer"
        )
    print_prose(f"{summary['vocabulary']} in {summary['seconds']:.1f} s")


def _uses(vocabulary: Any, *, asked: bool) -> str:
    """How many latents a student sees often enough, whether they are too few, and what chose the size.

    asked: whether the size was given.
    """
    share, most = learnable_share(vocabulary.latents), vocabulary.mining["size"]
    text = f"{share:.0%} of the latents have {LEARNABLE} uses or more"
    if vocabulary.mining["prompt_weight"]:  # latents of prompts need not be learnt
        return text
    if not are_learnable(share):
        text += ": fewer than half are too few to learn from"
        if most <= SIZES[0]:
            taken = "" if asked else f"; {most} is taken if no size has enough uses"
            text += f"{taken}; more logs would help (docs/howto/choose.md)"
        elif asked:
            text += "; without --size, the logs choose a smaller number (docs/howto/choose.md)"
    elif larger := vocabulary.mining.get("larger"):
        text += f"; with --size {larger['size']}, "
        if are_learnable(larger["learnable"]):
            text += f"a turn would be {larger['turn_units']:.1f} units, fewer than {FEW_UNITS:g}"
        else:
            text += f"{larger['learnable']:.0%} would have, fewer than half"
        text += " (docs/howto/choose.md)"
    return text


def _print_tools(tools: dict[str, Any]) -> None:
    new = tools["new"]
    print_prose(
        f"{counted(tools['tools'], 'tool')}, {len(new)} of them without a call in the logs"
        + (
            f": each was taken to be called {counted(tools['count'], 'time')} in"
            f" {counted(tools['support'], 'task')}"
            if new
            else ""
        )
    )


def _print_update(update: dict[str, Any]) -> None:
    retired = update["retired"]
    shown = ", ".join(map(repr, retired[:5])) + (", ..." if len(retired) > 5 else "")
    print_prose(
        f"{counted(update['kept'], 'latent keeps its id', 'latents keep their ids')}, "
        f"{counted(update['moved'], 'is kept', 'are kept')} with another id, "
        f"{counted(update['new'], 'is new', 'are new')}; {len(retired)} retired"
        + (f": {shown}" if retired else "")
    )
    taken = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in update["options"].items()
        if name == "size" or value != getattr(_DEFAULTS, name)
    ]
    if update["options"]:
        print_prose(f"taken over from the earlier vocabulary: {', '.join(taken) or 'the defaults'}")


def _print_gates(gates: list[dict[str, Any]]) -> None:
    """What each gate cost that dropped something: reductions are of the mined text, with all gates so far."""
    if len(gates) == 1:
        return
    idle = [gate["name"] for gate in gates if not gate["candidates_dropped"]]
    if len(idle) < len(gates):
        _print_costs(gates)
    if idle:
        print_prose(f"engine gates that dropped nothing: {', '.join(idle)}")


def _print_costs(gates: list[dict[str, Any]]) -> None:
    table = Table(title="What the engine gates cost", title_justify="left")
    for name in ("gate", "dropped", "reduction", "cost"):
        table.add_column(name, justify="left" if name == "gate" else "right")
    least = 0.0
    for before, gate in zip([gates[0], *gates], gates, strict=False):
        if gate["candidates_dropped"]:
            cost = round(100 * (before["reduction"] - gate["reduction"]), 2)
            row = (gate["name"], f"{gate['candidates_dropped']:,}", f"{gate['reduction']:.1%}")
            table.add_row(*row, f"{cost:z.2f} points")
            least = min(least, cost)
    print_table(table)
    if least < 0:
        print_prose("a cost below 0: the latents that replaced the dropped ones save more")
