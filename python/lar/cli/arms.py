"""Whether the folders that `lar evaluate` compares are what they are given as, before a model is loaded."""

from pathlib import Path
from typing import Any

from lar.cli.common import logger
from lar.cli.pairs import differences
from lar.distillation.files import VOCABULARY_FOLDER
from lar.errors import OptionError
from lar.utils.files import read_json
from lar.utils.result_files import STUDENT_FILE
from lar.vocabulary.vocabulary import LatentVocabulary


def check_arms(
    vocabulary: LatentVocabulary, path: Path, *, control: Path | None, student: Path | None
) -> None:
    """Check what is given as the control and as the student; `vocabulary` lies at `path`.

    A control that did not learn as the student did is warned of and no error: an earlier record may lack it.

    Raises:
        OptionError: a folder is of the other kind or of none, or the student has other latents.
        VocabularyError: the student's vocabulary cannot be read.
        CorpusError: a list of trained tasks is broken.
    """
    if control is not None and not _is_control("--control", control):
        raise OptionError(f"--control {control}: a student; lar distill --control makes a control")
    if student is None:
        return
    if _is_control("--student", student):
        raise OptionError(f"--student {student}: a control, which has no latents")
    own = student / VOCABULARY_FOLDER
    if _latents(LatentVocabulary.load(own)) != _latents(vocabulary):
        raise OptionError(f"--student {student}: it has other latents than {path}; give the vocabulary {own}")
    if control is not None and (found := differences(control, student)):
        logger.warning(
            "--control %s is no control of --student %s: they differ in %s; bits per byte do not compare",
            *(control, student, ", ".join(found)),
        )


def _is_control(flag: str, folder: Path) -> bool:
    """Whether the folder is of a control and not of a student; OptionError where it is of neither."""
    if not (folder / STUDENT_FILE).is_file():
        raise OptionError(f"{flag} {folder}: neither a student nor a control (no {STUDENT_FILE})")
    return _option(folder, "control") is True


def reads_base_tokens(student: Path) -> bool:
    """Whether the student in a folder was distilled to write latents alone."""
    return _option(student, "decode_only") is True


def trained_length(arm: Path) -> int | None:
    """The base tokens of the windows that a student or control has learnt from; None if that is unknown."""
    length = _option(arm, "max_length")
    return length if isinstance(length, int) else None


def _option(folder: Path, name: str) -> Any:
    """An option in the record of a student or control; None where it is missing."""
    options = read_json(folder / STUDENT_FILE).get("options")
    return options.get(name) if isinstance(options, dict) else None


def _latents(vocabulary: LatentVocabulary) -> tuple[Any, ...]:
    """The ids of the latents and of what they are made of; their counts may be of other logs."""
    return vocabulary.tokenizer_fingerprint, [latent.tokens for latent in vocabulary.latents]
