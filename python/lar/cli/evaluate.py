"""`lar evaluate`: measure what a vocabulary saves on tasks that it was not mined on."""

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from lar.cli.cluster import cluster_at, ray_option
from lar.cli.common import EXISTING_LOGS, EXISTING_PATH, MODEL, json_option, print_json, progress_bar
from lar.cli.fields import Fields, fields_options
from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.cli.training import device_options, needs_train_extra
from lar.corpus.selection import Split
from lar.distillation.options import AdaptOptions
from lar.errors import CorpusError, OptionError
from lar.utils.result_files import VOCABULARY_FILE
from lar.utils.words import counted, percent
from lar.vocabulary.turn_lengths import TurnLength

READS_BASE_TOKENS = "reads base tokens (decode_only), so its prompts are not shorter"
_SHOWN = 5  # of the latents that are no longer used; --json lists all


@click.command("evaluate")
@click.argument("inputs", nargs=-1, required=True, type=EXISTING_LOGS, metavar="CORPUS...")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.option("--model", type=MODEL, help="The teacher's folder; adds bits per byte of the agent's text.")
@click.option(
    "--control", type=EXISTING_PATH, help="The folder of a control that was distilled from --model."
)
@click.option(
    "--student", type=EXISTING_PATH, help="The folder of a student that was distilled from --model."
)
@click.option(
    "--max-length",
    type=click.IntRange(8),
    help="The number of base tokens that a model reads at a time.  [default: that of the arms' training; "
    f"{AdaptOptions.max_length} for the model alone]",
)
@fields_options()
@device_options
@ray_option
@json_option
def command(
    inputs: tuple[Path | str, ...],
    fields: Fields,
    vocabulary: Path,
    max_length: int | None,
    dtype: str,
    device: str | None,
    ray_address: str | None,
    as_json: bool,
    **folders: Path | None,
) -> None:
    """Count units against base tokens on the tasks in CORPUS that VOCABULARY was not mined on.

    CORPUS is one or several corpus folders, or logs as lar import takes them (- for standard input). Of a
    corpus that holds tasks out, only these are measured; if anything in the comparison has seen one of them,
    the command stops and names it. No model is needed: the vocabulary's folder holds its tokenizer. On fresh
    logs, the last lines name the latents that are no longer used. With --model, the bits that the model, the
    control and the student need for each byte of the agent's text are measured too, on this machine.

    A task counts as mined if it has the name that it had in mining: give logs the --task-key of the corpus.

    \b
    Examples:
      lar evaluate logs/held-out.jsonl.gz vocabulary/ --json
      lar evaluate corpus/ vocabulary/ --model teacher/ --control control/ --student student/
    """
    if folders["model"] is None and (folders["control"] or folders["student"]):
        raise OptionError("--control and --student need the --model that they were distilled from")
    if folders["model"] is None and (max_length is not None or device is not None or dtype != "auto"):
        raise OptionError("--max-length, --dtype and --device are for bits per byte: they need --model")
    from lar.cli.arms import check_arms, reads_base_tokens, trained_length
    from lar.cli.inputs import check_fields, check_for_cluster, open_corpora
    from lar.cli.log_report import losses_summary, print_losses
    from lar.evaluation.reduction import evaluate
    from lar.trajectories import Report
    from lar.vocabulary.vocabulary import LatentVocabulary

    if any((Path(path) / VOCABULARY_FILE).is_file() for path in inputs):
        raise OptionError("the corpus comes first, the vocabulary last: lar evaluate CORPUS VOCABULARY")
    if ray_address is not None:
        check_for_cluster(inputs)
    check_fields(inputs, fields)
    loaded = LatentVocabulary.load(vocabulary)
    check_arms(loaded, vocabulary, control=folders["control"], student=folders["student"])
    report = Report()
    corpora = open_corpora(inputs, loaded.tokenizer, report, fields)
    with cluster_at(ray_address) as cluster, progress_bar("evaluating", unit="tokens") as progress:
        result = evaluate(corpora, loaded, backend=cluster, progress=progress)
    # Another corpus may hold out what this one learns from.
    measured = {name: (one.held_out or one).select(result.measures) for name, one in corpora.items()}
    if not result.in_sample:
        _check_unseen(measured, folders)
    on = {"dtype": dtype, "device": device}
    trained = folders["student"] or folders["control"]
    length = max_length or (trained and trained_length(trained)) or AdaptOptions.max_length
    bits = _bits_per_byte(measured, length, result.in_sample, on, **folders)
    more: dict[str, Any] = {} if not bits else {"bits_per_byte": bits}
    if folders["student"] is not None:
        more["decode_only"] = reads_base_tokens(folders["student"])
    if as_json:
        print_json(result.to_dict() | more | losses_summary(report))
    else:
        _print(result, loaded.size)
        if more.get("decode_only"):
            print_prose(f"{folders['student']} {READS_BASE_TOKENS}")
        for arm, value in bits.items():
            print_prose(f"{arm:<8}{value:8.4f} bits for each byte of the agent's text")
        print_losses(report)


def _check_unseen(corpora: dict[str, Any], folders: dict[str, Path | None]) -> None:
    """Raise CorpusError if an arm was trained on tasks that are measured, before any model is loaded."""
    from lar.models.trained_tasks import check_model_unseen

    for corpus in corpora.values():
        for folder in filter(None, folders.values()):
            check_model_unseen(corpus, folder)


def _bits_per_byte(
    corpora: dict[str, Any],
    max_length: int,
    in_sample: bool,
    on: dict[str, Any],
    model: Path | None,
    control: Path | None,
    student: Path | None,
) -> dict[str, float]:
    """Bits per byte over all corpora, for each arm whose folder was given; `on` is the dtype and device."""
    if model is None:
        return {}
    spoken = [corpus for corpus in corpora.values() if corpus.num_action_tokens]
    if not spoken:
        names = ", ".join(name for name, corpus in corpora.items() if corpus.num_trajectories)
        raise CorpusError(f"{names}: the measured tasks hold no token of an agent")
    needs_train_extra()
    folders = {"base": None, "control": control, "student": student}
    values = {}
    for name, folder in folders.items():
        if folder is None and name != "base":
            continue
        with progress_bar(name, unit="windows") as progress:
            common = {"max_length": max_length, "allow_seen": in_sample, "progress": progress, **on}
            values[name] = _bits_of_arm(spoken, str(model), folder, on, common)
    return values


def _bits_of_arm(
    corpora: list[Any], model: str, folder: Path | None, on: dict[str, Any], common: dict[str, Any]
) -> float:
    """Bits per byte of one arm, the base without a folder; its weights are let go at the end."""
    from lar.distillation import Student
    from lar.distillation.training.bits_per_byte import bits_per_byte

    arm = model if folder is None else Student.load(folder, model, **on)
    found = [bits_per_byte(corpus, arm, **common) for corpus in corpora]
    return sum(part.bits for part in found) / sum(part.bytes for part in found)


def _print(result: Any, size: int) -> None:
    table = Table()
    for name in ("corpus", "trajectories", "text", "base tokens", "units", "reduction"):
        table.add_column(name, justify="left" if name in ("corpus", "text") else "right")
    rows = [*result.per_corpus.items(), ("all", result.total)]
    for name, counts in rows if len(result.per_corpus) > 1 else rows[:1]:
        of_corpus = name, f"{counts.trajectories:,}"
        for text, base_tokens, units, reduction in (
            ("generated", counts.base_tokens, counts.units, counts.reduction),
            ("prompt", counts.prompt_base_tokens, counts.prompt_units, counts.prompt_reduction),
            ("total", counts.context_base_tokens, counts.context_units, counts.context_reduction),
        ):
            table.add_row(*of_corpus, text, f"{base_tokens:,}", f"{units:,}", percent(reduction))
            of_corpus = "", ""
    print_table(table)
    level = result.total.text_level
    print_prose(
        f"{tasks_in_words(result.to_dict())}; {result.latents_used} of {size} latents used; "
        f"lossless: {'yes' if result.lossless else 'NO'}\n"
        f"an engine's tokenizer gives other ids than the parse for {level.whole.difference:.2%} of all ids, "
        f"{level.action.difference:.2%} of the agent's"
    )
    if result.total.turns:
        total = result.total
        print_prose(TurnLength(total.base_tokens, total.units, total.turns).in_words())
    _print_drift(result)


def tasks_in_words(counts: dict[str, Any]) -> str:
    """The number of measured tasks, and how many of the logs' tasks mining has seen; `counts`: as JSON."""
    number, seen = counts["tasks"], counts["seen_tasks"]
    tasks = counted(number, "task")
    splits = {Split.of_json(split) for split in counts.get("splits", {}).values()}
    if counts["in_sample"]:
        return f"{tasks}, all of them seen in mining"
    if len(splits) == 1 and (split := splits.pop()) is not None:
        return f"{counted(number, 'held-out task')} ({split}), none seen in mining"
    if not seen:
        return f"{tasks}, none seen in mining"
    return f"{tasks} not seen in mining ({seen} of {number + seen} left out)"


def _print_drift(result: Any) -> None:
    """The reduction in mining beside the present one, and the latents that are no longer used."""
    if result.in_sample or result.mined_reduction is None:
        return
    print_prose(
        f"reduction {percent(result.total.reduction)} as engines read the text; it was"
        f" {percent(result.mined_reduction)} on the mined tasks, counted in tokens"
    )
    drift = result.drift
    if drift:
        uses = sum(one.expected_uses for one in drift)
        names = ", ".join(repr(one.latent.text) for one in drift[:_SHOWN])
        more = ", ..." if len(drift) > _SHOWN else ""
        print_prose(
            f"latents no longer used: {len(drift)}, though {uses:,.0f} uses were expected: {names}{more} "
            "(lar mine --update renews them)"
        )
