"""The tasks that a model was trained on, by `lar.adapt` or `lar.distill`, before it was given to a stage."""

import os
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.corpus.seen_tasks import check_unseen
from lar.utils.task_digests import TRAINED_FILE, read_digests

# Of a model object that was trained in this process and has no folder yet.
_ATTRIBUTE = "lar_trained_tasks"


def trained_tasks_of(model: Any) -> frozenset[str]:
    """The digests of the tasks that a model's folder or a model object was trained on.

    Empty for a model as it came, and for one that was trained elsewhere, since nothing records it.
    """
    if isinstance(model, str | os.PathLike):
        return read_digests(Path(model) / TRAINED_FILE)
    known: frozenset[str] | None = getattr(model, _ATTRIBUTE, None)
    if known is not None:
        return known
    name = getattr(model, "name_or_path", None)
    return read_digests(Path(name) / TRAINED_FILE) if name else frozenset()


def check_model_unseen(held_out: Corpus | None, model: Any) -> None:
    """Raise CorpusError if a model was trained on held-out tasks; the message names some of them."""
    name = model if isinstance(model, str | os.PathLike) else f"the model ({type(model).__name__})"
    check_unseen(held_out, trained_tasks_of(model), f"{name} was trained on")


def set_trained_tasks(model: Any, digests: frozenset[str]) -> None:
    """Attach to a model object the digests of the tasks that it was trained on."""
    setattr(model, _ATTRIBUTE, digests)
