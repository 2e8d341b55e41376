"""What all students of a sweep's folder have in common; a sweep of something else is refused there."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.distillation.options import DistillOptions
from lar.errors import OptionError
from lar.models.causal_lm import load_model
from lar.models.fingerprint import fingerprint
from lar.utils.files import check_usable, read_json, write_json
from lar.utils.result_files import SWEEP_FILE

# What a folder may gain: it is null there until it is needed for the first time.
_GAINED = {"entropies", "success", "success_file"}
# What a sweep may do without in a folder that has it.
_SPARED = {"entropies"}
_CHANGED = {
    "tokens": "another number of tokens in the corpus",
    "base": "other weights in the model's folder",
    "entropies": "other entropies of the corpus (it was scored since, or by another teacher)",
}


def claim(
    folder: Path,
    corpus: Corpus,
    model: Path,
    distillation: DistillOptions,
    success: Callable[..., Any] | None,
    *,
    gated: bool,
) -> None:
    """Record what the students of `folder` are made of, where it is new or empty.

    gated: whether any of them has an entropy gate, and so depends on the corpus's entropies.

    Raises:
        OptionError: the folder is of something else, or of a sweep with something else: the line names it.
    """
    check_usable(folder, SWEEP_FILE)
    file = folder / SWEEP_FILE
    wanted = {
        "corpus": str(corpus.path.resolve()),
        "split": None if corpus.own_split is None else asdict(corpus.own_split),
        "tokens": corpus.num_tokens,
        "model": str(model.resolve()),
        "distillation": distillation.to_dict(),
        "success": None if success is None else place_of(success),
        "success_file": None if success is None else _digest(_file_of(success)),
        "entropies": _entropies(corpus) if gated else None,
        "base": fingerprint(load_model(model, dtype=distillation.dtype, device=distillation.device)),
    }
    found = read_json(file) if file.is_file() else None
    if found is not None and (different := _different(found, wanted)):
        raise OptionError(f"{folder}: a sweep with {' and '.join(different)}; choose another folder")
    known = {name: value for name, value in (found or {}).items() if value is not None}
    if (both := wanted | known) != found:
        write_json(file, both)


def place_of(success: Callable[..., Any]) -> str:
    """A function as FILE:FUNCTION; of other things that can be called, their class."""
    file, function = _file_of(success), _named(success)
    return f"{file or function.__module__}:{function.__qualname__}"


def _different(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What a folder has otherwise than a sweep wants it, in words."""
    names = [
        name
        for name, value in wanted.items()
        if found.get(name) != value
        and not (found.get(name) is None and name in _GAINED)
        and not (value is None and name in _SPARED)
    ]
    if "success" in names and "success_file" in names:
        names.remove("success_file")  # another function: that its file is another is no news
    changed = _CHANGED | {
        "success_file": f"another content of {str(found.get('success')).rpartition(':')[0]}"
    }
    return [changed.get(name, f"another {name}") for name in names]


def _entropies(corpus: Corpus) -> dict[str, Any]:
    """By what a gate decides in a corpus: the identity of its teacher; empty for the corpus's own n-grams."""
    if (teacher := corpus.teacher) is None:
        return {}
    return {**teacher.identity._asdict(), **({} if teacher.share == 1 else {"share": teacher.share})}


def _named(success: Callable[..., Any]) -> Any:
    return success if hasattr(success, "__qualname__") else type(success)


def _file_of(success: Callable[..., Any]) -> Path | None:
    """The file of a function's source; None where it is of the interpreter, or was typed into it."""
    try:
        file = inspect.getsourcefile(_named(success))
    except (OSError, TypeError):
        return None
    return Path(file).resolve() if file else None


def _digest(file: Path | None) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file is not None and file.is_file() else None
