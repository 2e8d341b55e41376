"""Whether what other commands found is about the logs and the latents of the report.

Logs are compared by the numbers of runs and tasks: with equal numbers they are taken for the same.
"""

from collections.abc import Iterable, Mapping

from lar.corpus import Corpus
from lar.evaluation.reporting.evidence import EstimateFile, EvaluationFile, Evidence, ReadingFile
from lar.vocabulary.digest import latents_digest
from lar.vocabulary.vocabulary import LatentVocabulary


def doubts(
    corpora: Mapping[str, Corpus], vocabulary: LatentVocabulary, evidence: Evidence
) -> dict[str, str | None]:
    """By the field of `Evidence`: a line where its counts are those of no corpus, nor of all; None else.

    An evaluation of other latents than those of `vocabulary` has a line, too.
    """
    estimate, evaluation, reading = evidence.estimate, evidence.evaluation, evidence.reading
    return {
        "estimate": None if estimate is None else _of_estimate(corpora, estimate),
        "evaluation": None if evaluation is None else _of_evaluation(corpora, vocabulary, evaluation),
        "reading": None if reading is None else _of_reading(corpora, reading),
    }


def _of_estimate(corpora: Mapping[str, Corpus], found: EstimateFile) -> str | None:
    """An estimate is of a corpus's training side; of its whole, where the logs were not split yet."""
    whole, training = corpora.values(), [one.training for one in corpora.values()]
    known = [_counts(each) for side in (whole, training) for each in _each_and_all(side)]
    counts = found.runs_in_all, found.tasks_in_all
    if counts in known:
        return None
    return (
        f"the estimate is of other logs: of {counts[0]:,} runs at {counts[1]:,} tasks, and the report of"
        f" {known[-1][0]:,} runs at {known[-1][1]:,} tasks"
    )


def _of_evaluation(
    corpora: Mapping[str, Corpus], vocabulary: LatentVocabulary, found: EvaluationFile
) -> str | None:
    """An evaluation counts the tasks of the held-out side, or of a whole corpus without a split."""
    known = [_counts(each)[1] for each in _each_and_all([one.held_out or one for one in corpora.values()])]
    tasks = found.tasks if found.in_sample else found.tasks + found.seen_tasks
    if tasks in known:
        return _of_latents(vocabulary, found)
    return (
        f"the evaluation is of other logs: of {tasks:,} tasks, and the report has {known[-1]:,} to evaluate"
    )


def _of_latents(vocabulary: LatentVocabulary, found: EvaluationFile) -> str | None:
    """Whether an evaluation, which knows its latents, is of others than the report."""
    digests = found.latents_digest, latents_digest(latent.tokens for latent in vocabulary.latents)
    if digests[0] in (None, digests[1]):
        return None
    return "the evaluation is of other latents than the report: give both the same vocabulary"


def _of_reading(corpora: Mapping[str, Corpus], found: ReadingFile) -> str | None:
    """What `lar import` wrote is what a corpus was built of, those that it left out included.

    Logs that the report itself has read are its own, and come without a number of what was written.
    """
    known = [sum(map(_inputs, each)) for each in _each_and_all(corpora.values())]
    if found.trajectories is None or found.trajectories in known:
        return None
    return (
        f"what lar import read is other logs: {found.trajectories:,} trajectories, and the report's corpora"
        f" were built of {known[-1]:,}"
    )


def _inputs(corpus: Corpus) -> int:
    """The trajectories that a corpus was built of."""
    manifest = corpus.manifest
    return manifest.inputs + manifest.failed_left_out + manifest.unknown_left_out


def _each_and_all(corpora: Iterable[Corpus]) -> list[list[Corpus]]:
    """Each corpus alone, then all together."""
    listed = list(corpora)
    return [*([one] for one in listed), listed]


def _counts(corpora: Iterable[Corpus]) -> tuple[int, int]:
    """Runs, and tasks by their names."""
    listed = list(corpora)
    return sum(one.num_trajectories for one in listed), len({task for one in listed for task in one.tasks})
