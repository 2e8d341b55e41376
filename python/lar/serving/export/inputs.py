"""The inputs of an export: the student's teacher, and its tokenizer with the latents."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Backend

from lar.distillation.files import VOCABULARY_FOLDER
from lar.errors import TrainingError, VocabularyError
from lar.mining.engine_gates.static import STATIC_GATES
from lar.models.adapter import base_and_adapters, base_folder, is_adapter
from lar.serving.export.model_card import CARD_FILE
from lar.serving.export.options import ExportOptions
from lar.serving.export.tokenizer_files import source_folder
from lar.utils.files import read_json
from lar.utils.paths import StrPath
from lar.utils.result_files import ADAPTATION_FILE, STUDENT_FILE
from lar.vocabulary.engine_tokenizer import decode_only_backend, exported_backend
from lar.vocabulary.storage import TOKENIZER_NAME
from lar.vocabulary.vocabulary import LatentVocabulary


def teacher_of(student: Path, model: StrPath | None) -> Path:
    """The folder of the student's teacher: `model`, or the folder that its adapter names.

    Raises:
        TrainingError: `student` is no student, or the folder that it names is not here.
    """
    if not is_adapter(student) or not (student / STUDENT_FILE).is_file():
        raise TrainingError(f"{student}: no student (a folder that `lar distill` has written)")
    if model is not None:
        return Path(model)
    try:
        return base_folder(student)
    except TrainingError as error:
        raise TrainingError(f"{error}; or name the teacher with --model") from None


def fitting_tokenizer(student: Path, teacher: Path, options: ExportOptions) -> tuple[Backend, Path]:
    """The tokenizer with latents, and the folder whose configuration goes with it.

    Raises:
        VocabularyError: a latent is not fit for engines, or the teacher has another tokenizer.
    """
    vocabulary = LatentVocabulary.load(student / VOCABULARY_FOLDER)
    if options.gates == "engines" and not options.decode_only:
        _check_gates(vocabulary)
    source = source_folder(vocabulary, teacher, student / VOCABULARY_FOLDER / TOKENIZER_NAME)
    make = decode_only_backend if options.decode_only else exported_backend
    return make(vocabulary), source


def card_folder(teacher: Path, tokenizer_source: Path) -> Path:
    """The folder whose model card has the base's title and licence: the tokenizer's, if it has a card.

    Else that of the model from which `lar adapt` has made the teacher, once or again; `lar adapt` writes no
    card. Of an older version's merged model, and where the model is gone, it is the teacher.
    """
    if (tokenizer_source / CARD_FILE).is_file():
        return tokenizer_source
    folder, seen = base_and_adapters(teacher)[0], set[Path]()
    while not (folder / CARD_FILE).is_file() and folder.resolve() not in seen:
        seen.add(folder.resolve())
        origin = _origin(folder)
        if origin is not None and origin.is_dir():
            folder = base_and_adapters(origin)[0]
    return folder


def _origin(folder: Path) -> Path | None:
    """The model that a folder records as the one of which `lar adapt` has made it."""
    if not (folder / ADAPTATION_FILE).is_file():
        return None
    name = read_json(folder / ADAPTATION_FILE, TrainingError).get("model")
    return Path(name) if isinstance(name, str) else None


def _check_gates(vocabulary: LatentVocabulary) -> None:
    """Raise VocabularyError if a latent does not pass the engine gates."""
    texts = [latent.text for latent in vocabulary.latents]
    for name, gate in STATIC_GATES.items():
        for index in np.flatnonzero(~gate(texts, vocabulary.tokenizer)).tolist():
            raise _unfit(index, texts[index], name)


def _unfit(index: int, text: str, gate: str) -> VocabularyError:
    return VocabularyError(
        f"latent {index} ({text!r}) does not pass the engine gate {gate!r}: mine with --gates engines, "
        "or export with --gates none"
    )
