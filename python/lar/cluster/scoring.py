"""Scoring on a cluster: actors hold the teacher and score shards, this process writes the scores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import ActorPool

from lar.cluster.tasks import cores_of_a_node, nodes, number_of_gpus, result, translated
from lar.corpus import Corpus
from lar.corpus.scores import Scores, TeacherRecord
from lar.corpus.shards import read_shard
from lar.models.trained_tasks import trained_tasks_of
from lar.scoring import store
from lar.scoring.score import Scorer, loading_for, share_for
from lar.utils.files import only_writer
from lar.utils.progress import Progress, silent


def score(
    corpus: Corpus, model: str, options: dict[str, Any], *, overwrite: bool, progress: Progress = silent
) -> Corpus:
    """Score the corpus as `lar.score` does; `options` are its other arguments."""
    with only_writer(corpus.path):
        share = share_for(corpus, options.pop("most_tokens"), options["top_k"])
        loading = loading_for(corpus, share, **options)
        return _score(corpus, model, loading, share, overwrite=overwrite, progress=progress)


def _score(
    corpus: Corpus,
    model: str,
    loading: dict[str, Any],
    share: float | None,
    *,
    overwrite: bool,
    progress: Progress,
) -> Corpus:
    with _teachers(len(corpus.manifest.parts), str(Path(model).absolute()), loading) as teachers:
        described = result(teachers[0].record.remote())
        trained_tasks = trained_tasks_of(model)
        record = store.claim(corpus, described, overwrite=overwrite, share=share, trained_tasks=trained_tasks)
        files = [file.path.absolute() for file in corpus.shard_files()]
        left = [file for file in files if not store.is_scored(read_shard(file), record)]
        done = corpus.num_tokens - sum(len(read_shard(file).tokens) for file in left)
        for file, scores in _scores(teachers, left, record):
            shard = read_shard(file)
            store.write(shard, scores)
            done += len(shard.tokens)
            progress(done, corpus.num_tokens)
    return corpus


class Teacher:
    """The actor: a teacher on its device, loaded once, and again if its process is lost."""

    def __init__(self, model: str, loading: dict[str, Any]) -> None:
        self._model = model
        self._loading = loading

    @cached_property
    def _scorer(self) -> Scorer:
        """Loaded by the first call, because an error in `__init__` would reach the caller wrapped."""
        return Scorer.load(self._model, **self._loading)

    def record(self) -> TeacherRecord:
        """The record of the teacher."""
        return self._scorer.record

    def score(self, file: Path, record: TeacherRecord) -> tuple[Path, Scores]:
        """The shard's file and its scores, as `record` has them."""
        return file, self._scorer.score(read_shard(file), record)


@contextmanager
def _teachers(shards: int, model: str, loading: dict[str, Any]) -> Iterator[list[Any]]:
    """One teacher for each GPU, or for each node if there is no GPU, and at most one for each shard.

    They end with the block. Ray ends an actor when nothing refers to it, but the traceback of an error does,
    and a notebook keeps that: the next call would wait for their GPUs for ever.
    """
    gpus = number_of_gpus()
    # Without a number of cores, an actor would compute on one thread.
    place = {"num_gpus": 1} if gpus else {"num_cpus": cores_of_a_node()}
    # As often as Ray retries tasks: a teacher that no node has the memory for is lost each time.
    retries = int(os.environ.get("RAY_TASK_MAX_RETRIES", "3"))
    actor = ray.remote(max_restarts=-1, max_task_retries=retries, **place)(Teacher)
    number = max(1, min(gpus or len(nodes()), shards))
    teachers = [actor.remote(model, loading) for _ in range(number)]
    try:
        yield teachers
    finally:
        with suppress(RayError):  # the cluster is gone, and they with it
            for teacher in teachers:
                ray.kill(teacher)


def _scores(teachers: list[Any], files: list[Path], record: TeacherRecord) -> Iterator[tuple[Path, Scores]]:
    """The scores of each shard, in the order in which they are ready."""
    try:
        pool = ActorPool(teachers)
        yield from pool.map_unordered(lambda teacher, file: teacher.score.remote(file, record), files)
    except RayError as error:
        raise translated(error) from None
