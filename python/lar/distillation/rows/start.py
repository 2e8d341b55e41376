"""The start values of the new rows, before the first step of distillation."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from lar.distillation.data import PackedExamples
from lar.distillation.options import DistillOptions
from lar.distillation.rows.fit_output import fit_output_rows
from lar.distillation.rows.match_hidden import match_hidden_states
from lar.distillation.training.step import DistillationStep
from lar.utils.progress import Progress, annotate, silent

# The notes of `start_rows`: each begins a part of the start, and the last one the training.
STARTS = ("start of the input rows, in batches", "start of the output rows, in batches")
TRAINING = "training"


def start_rows(
    step: DistillationStep,
    data: PackedExamples,
    options: DistillOptions,
    progress: Progress = silent,
    new: Tensor | None = None,
) -> dict[str, Any]:
    """Set the rows of a new student to the start that the options ask for, the input rows first.

    A row changes only if `new`, bool (K), is true for it or None. Returns the figures of
    `match_hidden_states` and `fit_output_rows`, as JSON-ready values.
    """
    record: dict[str, Any] = {}
    if step.student.rows is None or (new is not None and not new.any()):
        return record
    if options.row_start == "hidden":
        count = min(options.hidden_batches, len(data))
        batches = _batches(step, data, count, options.seed)
        annotate(progress, STARTS[0])
        record["hidden"] = match_hidden_states(step, batches, count, options.row_learning_rate, progress, new)
    if options.output_start == "fitted":
        count = min(options.fitted_batches, len(data))
        batches = _batches(step, data, count, options.seed + 1)
        annotate(progress, STARTS[1])
        record["fitted"] = fit_output_rows(step, batches, partial(_report, progress, count), new)
    annotate(progress, TRAINING)
    return record


def _report(progress: Progress, count: int, done: int, _: int | None) -> None:
    progress(done, count)


def _batches(
    step: DistillationStep, data: PackedExamples, count: int, seed: int
) -> Iterator[dict[str, Tensor]]:
    """At most `count` batches of the data, drawn by `seed`, on the student's device."""
    drawn = np.random.default_rng(seed).permutation(len(data))[:count]
    for index in drawn.tolist():
        yield {name: tensor.to(step.student.device) for name, tensor in data[index].items()}
