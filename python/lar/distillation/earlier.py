"""An earlier student, whose adapter and rows are the start of a new one."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lar.distillation.files import VOCABULARY_FOLDER
from lar.distillation.option_files import read_options
from lar.distillation.options import DistillOptions
from lar.distillation.rows.rows import LatentRows
from lar.distillation.student import Student, load_rows, read_student
from lar.errors import OptionError, TokenizerError, TrainingError
from lar.models.adapter import base_folder
from lar.models.causal_lm import load_model
from lar.models.fingerprint import fingerprint
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.paths import StrPath
from lar.utils.result_files import ROWS_FILE, STUDENT_FILE, VOCABULARY_FILE
from lar.utils.task_digests import TRAINED_FILE, read_digests
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)

# The options that decide the shapes of LoRA's matrices and their scale.
_LORA_SHAPE = ("lora_rank", "lora_alpha", "target_modules")

# How an earlier student was distilled, where the new one is to read other prompts.
_TO_LATENTS = (
    "with decode_only, and this run is without it: the new student reads latents in its prompts; give"
    " decode_only (--decode-only) to have it read base tokens as before"
)
_TO_TOKENS = (
    "without decode_only, and this run is with it: the new student reads its prompts in base tokens; leave"
    " decode_only out to have it read latents as before"
)


class HandedOver(NamedTuple):
    """What a new student got from an earlier one: its folder, and which of the K rows are new, bool (K)."""

    student: str
    new: Tensor

    def to_dict(self) -> dict[str, Any]:
        """The folder, and the numbers of kept and of new rows, as JSON-ready values."""
        count = int(self.new.sum())
        return {"student": self.student, "kept_rows": len(self.new) - count, "new_rows": count}


@dataclass(frozen=True, eq=False)
class EarlierStudent:
    """A saved student as the start of a new one: its folder, its vocabulary and the record of its run.

    The new student starts from its whole adapter, and from the rows of the segments that both vocabularies
    have. A segment may have another id in each.
    """

    folder: Path
    vocabulary: LatentVocabulary
    record: dict[str, Any]

    @property
    def trained_tasks(self) -> frozenset[str]:
        """Digests of the tasks that the student was trained on."""
        return read_digests(self.folder / TRAINED_FILE)

    @classmethod
    def load(cls, folder: StrPath) -> "EarlierStudent":
        """The student in a folder; its weights are not read yet.

        Raises:
            TrainingError: `folder` is no student.
        """
        return cls(Path(folder), *read_student(Path(folder)))

    def check(self, tokenizer: Tokenizer, *, control: bool) -> None:
        """Check that a run over ids of `tokenizer`, perhaps a control, may start from this student.

        Raises:
            OptionError: a control would start from a student with latents, or the other way round.
            TokenizerError: the student has another tokenizer.
        """
        if control and len(self.vocabulary):
            raise OptionError(
                f"{self.folder}: a student with latents; a control starts from an earlier control"
            )
        if not control and not len(self.vocabulary):
            raise OptionError(f"{self.folder}: a control; a student starts from an earlier one with latents")
        own = self.vocabulary.tokenizer_fingerprint
        if own != tokenizer.fingerprint:
            raise TokenizerError(
                f"{self.folder}: the student's tokenizer ({own[:12]}) is another than the corpus's "
                f"({tokenizer.fingerprint[:12]})"
            )

    def check_base(self, base: nn.Module) -> None:
        """Raise TrainingError unless the student was distilled from `base`, by the models' fingerprints."""
        own = self.record.get("base_fingerprint")
        if own is None:  # of an older version, whose record has no fingerprint
            own = fingerprint(load_model(base_folder(self.folder), device="cpu"))
        if own != fingerprint(base):
            raise TrainingError(f"{self.folder}: the student was distilled from another model than this one")

    def with_its_lora(self, options: DistillOptions) -> DistillOptions:
        """The options with the shape of the student's LoRA.

        Raises:
            OptionError: an option is neither the default nor the student's value.
        """
        recorded = read_options(self.folder / STUDENT_FILE)
        own = DistillOptions(**{name: recorded[name] for name in _LORA_SHAPE if name in recorded})
        for name in _LORA_SHAPE:
            given, taken = getattr(options, name), getattr(own, name)
            if given not in (taken, getattr(DistillOptions, name)):
                raise OptionError(f"{self.folder}: its {name} is {taken}, so it cannot be {given} here")
        return replace(options, **{name: getattr(own, name) for name in _LORA_SHAPE})

    def warn_of_reading(self, options: DistillOptions) -> None:
        """Warn where one of this student and the new one reads base tokens, and the other reads latents.

        No error: a student can be trained on for the other way of reading.
        """
        reads_tokens = bool(self.record.get("options", {}).get("decode_only", False))
        if not options.control and reads_tokens != options.decode_only:
            change = _TO_TOKENS if options.decode_only else _TO_LATENTS
            logger.warning("%s was distilled %s", self.folder, change)

    def rows_of(self, vocabulary: LatentVocabulary) -> Tensor:
        """For each of K latents the student's row of the same segment, -1 without one; int64 (K)."""
        rows = {latent.tokens: row for row, latent in enumerate(self.vocabulary)}
        return torch.tensor([rows.get(latent.tokens, -1) for latent in vocabulary], dtype=torch.int64)

    def hand_over(self, student: Student) -> "HandedOver":
        """Copy adapter and rows into a new `student`, in place.

        Raises:
            TrainingError: the weights are missing, damaged or of other shapes.
        """
        self._copy_adapter(student)
        rows = self.rows_of(student.vocabulary)
        if student.rows is not None:
            self._copy_rows(student.rows, rows)
        found = HandedOver(str(self.folder), rows < 0)
        logger.info(
            "started from %(student)s: kept rows %(kept_rows)d, new rows %(new_rows)d", found.to_dict()
        )
        return found

    def digest(self) -> str:
        """SHA-256 (hex) of the student's weights and latents, wherever its folder is."""
        digest = hashlib.sha256()
        files = (SAFETENSORS_WEIGHTS_NAME, ROWS_FILE, f"{VOCABULARY_FOLDER}/{VOCABULARY_FILE}")
        for file in (self.folder / name for name in files):
            if file.is_file():  # a control has no rows
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def _copy_adapter(self, student: Student) -> None:
        file = self.folder / SAFETENSORS_WEIGHTS_NAME
        if not file.is_file():
            raise TrainingError(f"{file}: the adapter's weights are missing")
        try:
            stored = load_file(file)
        except SafetensorError as error:
            raise TrainingError(f"{file}: cannot be read ({error})") from None
        # Otherwise PEFT checks over the network whether the base's embedding was resized.
        own = get_peft_model_state_dict(student.model, save_embedding_layers=False)
        if {name: value.shape for name, value in stored.items()} != {n: v.shape for n, v in own.items()}:
            raise TrainingError(f"{file}: not an adapter of this model with the recorded options")
        set_peft_model_state_dict(student.model, stored)

    def _copy_rows(self, new: LatentRows, rows: Tensor) -> None:
        count = len(self.vocabulary)
        stored = LatentRows(
            new.base_size,
            new.input.new_zeros(count, new.input.shape[1]),
            new.output.new_zeros(count, new.output.shape[1]),
            None if new.bias is None else new.bias.new_zeros(count),
        )
        load_rows(stored, self.folder)
        places = rows.to(new.input.device)
        kept = places >= 0
        with torch.no_grad():
            for name, value in new.named_parameters():
                value[kept] = stored.get_parameter(name)[places[kept]]
