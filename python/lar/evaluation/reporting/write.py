"""Writes the report: measures the corpora, collects what other commands found, and renders the page."""

import base64
import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.corpus.seen_tasks import check_unseen
from lar.corpus.selection import HOLD_OUT, Among
from lar.corpus.task_sample import sampled
from lar.errors import CorpusError, OptionError
from lar.evaluation.reduction import check_same_tokenizer, corpora_of
from lar.evaluation.reporting import page
from lar.evaluation.reporting.evidence import Evidence
from lar.evaluation.reporting.example import example
from lar.evaluation.reporting.measure import measure
from lar.evaluation.reporting.origin import Given, Missing
from lar.evaluation.reporting.visible import visible
from lar.mining.mine import mine_sample
from lar.utils.arguments import opened
from lar.utils.files import atomic_file
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, annotate, silent
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)

PAGE_FOLDER = Path(__file__).parent / "page"
GENERATOR = '<meta name="generator" content="lar report'
CALL = "lar.report(corpora, path, vocabulary=...)"


@dataclass(frozen=True)
class ReportFile:
    """The report at `path`: the names of its sections, and what is missing with the command that adds it."""

    path: Path
    sections: tuple[str, ...]
    missing: tuple[Missing, ...]


def report(
    corpora: Corpus | StrPath | Mapping[str, Corpus | StrPath],
    path: StrPath,
    *,
    vocabulary: LatentVocabulary | StrPath | None = None,
    evidence: Evidence | None = None,
    student: StrPath | None = None,
    size: int | None = None,
    most_tokens: int = 2_000_000,
    command: str | None = None,
    progress: Progress = silent,
) -> ReportFile:
    """Write one HTML file with what the agent says over and over, and what latents save.

    The file needs no network and holds text of the logs. It replaces an older report and nothing else.

    Args:
        corpora: the logs, one corpus or its folder, or several by name.
        path: the file to write.
        vocabulary: the latents, or their folder; None to mine some for the report on four fifths of the
            tasks, which needs a single corpus.
        evidence: what other commands found: an estimate, an evaluation, agents at work, the reading of logs.
        student: the folder of a distilled student.
        size: the number of latents to mine if no vocabulary is given; None for the number that `lar.mine`
            takes without a size.
        most_tokens: a larger corpus is sampled down to about so many tokens, by whole tasks.
        command: the command line to name in the report.
        progress: counts the tokens of each pass.

    Raises:
        OptionError: `path` is something else than a report, `size` comes with a vocabulary, or several
            corpora come without one.
        CorpusError: a corpus has another tokenizer than the vocabulary or holds out tasks that this was mined
            on, or there is no text of an agent.

    >>> found = lar.report(corpus, folder / "report.html", vocabulary=vocabulary)
    >>> found.sections[:2]
    ('overview', 'latents')
    """
    target = Path(path)
    check_is_ours(target)
    if vocabulary is not None and size is not None:
        raise OptionError("size is for a report without a vocabulary, which has its own number of latents")
    given = corpora_of(corpora, CALL)
    if vocabulary is not None:
        vocabulary = opened(LatentVocabulary, vocabulary, CALL)
    chosen = {name: _sampled_with_held_out(corpus, most_tokens) for name, corpus in given.items()}
    if not sum(corpus.num_action_tokens for corpus in chosen.values()):
        raise CorpusError("nothing to report: the corpora hold no text of an agent")
    is_mined = vocabulary is None
    if vocabulary is None:
        vocabulary = _mined(given, most_tokens, size, progress)
    for name, corpus in given.items():
        check_same_tokenizer(corpus, vocabulary, name)
        check_unseen(corpus.held_out, vocabulary.mined_tasks, "the vocabulary was mined on")
    to_measure = frozenset(task for corpus in given.values() for task in (corpus.held_out or corpus).tasks)
    annotate(progress, "measuring")
    measured = measure(chosen, vocabulary, progress, to_measure)
    source = Given(
        given, vocabulary, is_mined, evidence or Evidence(), Path(student) if student else None, command
    )
    for doubt in filter(None, source.doubts.values()):
        logger.warning("%s", doubt)
    made = page.content(source, measured, example(chosen, vocabulary, measured.tasks))
    with atomic_file(target) as file:
        file.write_text(_render(made), encoding="utf-8")
    return ReportFile(target, tuple(made["sections"]), tuple(made["missing"]))


def check_is_ours(target: Path) -> None:
    """Raise OptionError unless `target` is absent or a report; call it before long work."""
    if not target.exists():
        return
    if target.is_dir():
        raise OptionError(f"{target}: a folder; name the file to write, such as {target / 'report.html'}")
    with target.open("rb") as file:
        if GENERATOR.encode() not in file.read(2000):
            raise OptionError(
                f"{target}: there is something that is no report; choose another file or remove it"
            )


def _sampled(corpus: Corpus, most_tokens: int) -> Corpus:
    """A sample of whole tasks; the corpus itself where its few tasks are all too large for one."""
    part = sampled(corpus, most_tokens)
    return part if part.num_action_tokens else corpus


def _sampled_with_held_out(corpus: Corpus, most_tokens: int) -> Corpus:
    """A sample of whole tasks, with some that are held out also where the first tasks have none.

    Savings are measured on these: without them, they would be those of tasks that were mined.
    """
    part, held = _sampled(corpus, most_tokens), corpus.held_out
    if held is None or not held.num_tokens or part.tasks & held.tasks:
        return part
    more = sampled(held, round(most_tokens * held.num_tokens / corpus.num_tokens))
    return corpus.select(Among(frozenset(part.tasks | more.tasks), is_among=True))


def _mined(
    corpora: Mapping[str, Corpus], most_tokens: int, size: int | None, progress: Progress
) -> LatentVocabulary:
    """A vocabulary of the corpus's training side, or of four fifths of the tasks if it has no split.

    Of more than `most_tokens` a sample is mined, and the size is chosen by its uses, scaled to all of these.
    """
    if len(corpora) > 1:
        raise OptionError("a report on several corpora needs a vocabulary: mine one with lar mine")
    [corpus] = corpora.values()
    if corpus.own_split is None:
        with suppress(CorpusError):  # too few tasks to hold some out: the report states that all were mined
            divided = corpus.with_split(HOLD_OUT)
            _ = divided.training
            corpus = divided
    annotate(progress, "mining")
    training = corpus.training
    sample = _sampled(training, most_tokens)
    return mine_sample(sample, training.num_tokens / sample.num_tokens, size, progress=progress)


def _render(made: Mapping[str, Any]) -> str:
    """The page; only the script whose digest it names may run, and nothing may be loaded."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
    )
    environment.filters.update(page.FILTERS)
    script = (PAGE_FOLDER / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.jinja").render(
        made,
        style=(PAGE_FOLDER / "style.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
        generator=GENERATOR,
    )


def _plain(value: Any) -> Any:
    """A text with its control characters as code points, since HTML may not hold them; else the value."""
    return "".join(piece for _, piece in visible(value)) if type(value) is str else value
