"""`lar report`: one HTML file from whatever is at hand."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from lar.cli.common import LOGS, PATH, json_option, logger, print_json, progress_bar
from lar.cli.fields import Fields, fields_options
from lar.cli.prose import print_prose
from lar.cli.sampling import most_tokens_option, tokenizer_option
from lar.errors import OptionError
from lar.utils.result_files import CORPUS_FILE, ROWS_FILE, VOCABULARY_FILE

MOST_TOKENS = 2_000_000


@click.command("report")
@click.argument("inputs", nargs=-1, required=True, type=LOGS)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("report.html"),
    show_default=True,
    help="The file to write; an older report there is replaced.",
)
@tokenizer_option
@click.option(
    "--size",
    type=click.IntRange(1),
    help="The number of latents to mine if INPUTS has no vocabulary.  [default: as lar mine chooses it]",
)
@most_tokens_option(MOST_TOKENS)
@fields_options()
@json_option
def command(
    inputs: tuple[Path | str, ...],
    fields: Fields,
    output: Path,
    tokenizer: Path | None,
    size: int | None,
    most_tokens: int,
    as_json: bool,
) -> None:
    """Write one HTML file with what the agent says over and over, and what latents save.

    INPUTS are corpus folders or logs, a vocabulary, a student, and files that lar estimate, evaluate, demo or
    import printed with --json, in any order. A folder of such folders, as the demo writes it, is taken whole.
    Each part of the report is there if its input is, and the report's end lists what is missing. The file
    needs no network. It holds text of the logs.

    \b
    Examples:
      lar report demo/
      lar report logs/ --tokenizer Qwen3-8B/
      lar report corpus/ vocabulary/ student/ estimate.json evaluation.json -o report.html
    """
    from lar.cli.log_report import losses_summary, print_losses, report_summary
    from lar.cli.next_step import lasting
    from lar.evaluation.reporting import charts, report
    from lar.evaluation.reporting.evidence import ReadingFile, read_evidence
    from lar.evaluation.reporting.write import check_is_ours

    check_is_ours(output)
    found = _sorted(inputs)
    evidence = read_evidence(found.evidence)
    vocabulary = _vocabulary(found)
    if vocabulary is not None and size is not None:
        raise OptionError("--size is for logs alone: the report has the latents of the vocabulary")
    corpora, reading = _corpora(found, tokenizer, vocabulary, fields)
    if found.logs:
        if evidence.reading is not None:
            raise OptionError("give the logs or what lar import printed about them, not both")
        evidence = evidence._replace(reading=ReadingFile.model_validate(report_summary(reading)))
    given = ["lar", "report", *map(str, lasting(inputs))]
    given += ["--tokenizer", str(tokenizer)] if tokenizer else []
    given += ["--size", str(size)] if size is not None else []
    given += [] if most_tokens == MOST_TOKENS else ["--most-tokens", str(most_tokens)]
    given += fields.flags
    with progress_bar("reporting", unit="tokens") as progress:
        written = report(
            corpora,
            output,
            vocabulary=vocabulary,
            evidence=evidence,
            student=found.student,
            size=size,
            most_tokens=most_tokens,
            command=shlex.join([*given, "-o", str(output)]),
            progress=progress,
        )
    if not charts.can_draw():
        logger.warning("no pictures, their figures are in tables: pip install vl-convert-python")
    missing = [one._asdict() for one in written.missing]
    if as_json:
        summary = {"report": str(output), "sections": list(written.sections), "missing": missing}
        print_json(summary | losses_summary(reading))
    else:
        print_prose(f"{output}: {', '.join(written.sections)}")
        print_losses(reading)
        print_prose(f"Next: open it in a browser; its end lists {len(missing)} parts to add")


@dataclass
class _Found:
    """The inputs by what they are."""

    corpora: list[Path | str] = field(default_factory=list)
    logs: list[Path | str] = field(default_factory=list)
    vocabularies: list[Path] = field(default_factory=list)
    students: list[Path] = field(default_factory=list)
    evidence: list[Path] = field(default_factory=list)

    @property
    def student(self) -> Path | None:
        """The only student; OptionError if there are several."""
        if len(self.students) > 1:
            raise OptionError(f"give one student, not {', '.join(map(str, self.students))}")
        return next(iter(self.students), None)


def _sorted(inputs: Iterable[Path | str]) -> _Found:
    """What each input is: by the files in a folder, or by the content of a JSON file."""
    from lar.cli.inputs import check_exist

    found, inputs = _Found(), tuple(inputs)
    check_exist(inputs)
    for path in inputs:
        kind = _kind(path)
        if kind == "logs" and isinstance(path, Path) and path.is_dir():
            children = [(child, _kind(child)) for child in sorted(path.iterdir())]
            if any(of == "corpora" for _, of in children):
                for child, of in children:
                    if of != "logs":
                        getattr(found, of).append(child)
                continue
        getattr(found, kind).append(path)
    if not (found.corpora or found.logs):
        raise OptionError("a report needs a corpus folder or logs among its inputs")
    return found


def _kind(path: Path | str) -> str:
    """The field of `_Found` for a path; "logs" for what is nothing else."""
    from lar.evaluation.reporting.evidence import check_whole, evidence_kind, json_of

    if not isinstance(path, Path):
        return "logs"
    files = {CORPUS_FILE: "corpora", VOCABULARY_FILE: "vocabularies", ROWS_FILE: "students"}
    for name, kind in files.items():
        if (path / name).is_file():
            return kind
    if not path.is_file():
        return "logs"
    check_whole(path)
    return "evidence" if evidence_kind(json_of(path)) else "logs"


def _vocabulary(found: _Found) -> Any:
    """The vocabulary that was given, else the student's; None without either."""
    from lar.vocabulary.vocabulary import LatentVocabulary

    folders = [*found.vocabularies, *([found.student / "vocabulary"] if found.student else [])]
    loaded = [LatentVocabulary.load(folder) for folder in folders]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        if other != loaded[0]:
            raise OptionError(f"{folders[0]} and {folder} hold different latents; give one vocabulary")
    return next(iter(loaded), None)


def _corpora(
    found: _Found, tokenizer: Path | None, vocabulary: Any, fields: Fields
) -> tuple[dict[str, Any], Any]:
    """The corpora by name, and the report of reading the logs.

    Without a vocabulary, all logs are one corpus, from which one is mined.
    """
    from lar.cli.inputs import by_name, check_fields, check_tokenizer, open_corpus
    from lar.tokenizer.tokenizer import Tokenizer
    from lar.trajectories import Report

    check_tokenizer(found.corpora, tokenizer)
    check_fields([*found.corpora, *found.logs], fields)
    loaded = Tokenizer.load(tokenizer) if tokenizer else vocabulary and vocabulary.tokenizer
    together, corpora = Report(), {}
    for name, path in by_name([*found.corpora, *found.logs]).items():
        is_log = path in found.logs
        if is_log and vocabulary is None and path != found.logs[0]:
            continue  # it is in the first one's corpus
        paths = tuple(found.logs) if is_log and vocabulary is None else (path,)
        report = Report()
        corpora[name] = open_corpus(paths, loaded, report, fields)
        together.merge(report)
    return corpora, together
