"""The student: a frozen base model, a LoRA, the rows of its latents, and their vocabulary."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lar.distillation.files import VOCABULARY_FOLDER
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.distillation.rows.rows import LatentRows
from lar.distillation.training.sharding import like, whole
from lar.errors import OptionError, TrainingError
from lar.models.adapter import base_folder, is_adapter, put_on
from lar.models.causal_lm import load_model
from lar.models.checks import check_rows
from lar.models.compatibility import quiet_peft
from lar.models.fingerprint import fingerprint
from lar.models.head import Head, head_of
from lar.models.in_use import evaluating
from lar.models.routers import layers_without_tensor
from lar.models.snapshot import Snapshot
from lar.models.token_tables import check_token_tables
from lar.models.trained_tasks import trained_tasks_of
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import atomic_folder, read_json, write_json
from lar.utils.paths import StrPath
from lar.utils.result_files import ROWS_FILE, STUDENT_FILE
from lar.utils.task_digests import TRAINED_FILE, read_digests, write_digests
from lar.vocabulary.vocabulary import LatentVocabulary


class Student(nn.Module):
    """A causal model over units: `model`, of transformers or PEFT, with `rows` (None without latents).

    Make one with `lar.distill`, `Student.load`, or `Student.plain` for a model without adapter.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: LatentVocabulary,
        rows: LatentRows | None = None,
        record: dict[str, Any] | None = None,
        trained_tasks: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        check_rows(model, vocabulary.base_size)
        self.model = model
        self.vocabulary = vocabulary
        self.rows = rows
        self.record = record or {}
        self.trained_tasks = trained_tasks  # digests, see lar.utils.task_digests
        self._head: Head | None = None
        self._base_learns: frozenset[str] = frozenset()  # the base's parameters that were not frozen before
        self._base_before: Snapshot | None = None  # of a base into which `begin` has put a LoRA
        if rows is not None:
            rows.attach(model)

    @classmethod
    def plain(cls, model: Any, tokenizer: Any) -> "Student":
        """A model as it is, over base tokens only, for functions that take a student."""
        nothing = LatentVocabulary((), Tokenizer.of(tokenizer))
        return cls(model, nothing, trained_tasks=trained_tasks_of(model))

    @classmethod
    def begin(cls, model: Any, vocabulary: LatentVocabulary, options: DistillOptions) -> "Student":
        """A new student: puts a LoRA into `model`, in place (see `unload`), and starts the new rows.

        After an error the model is as it was.

        Raises:
            TrainingError: the model has an adapter already, or looks tokens up where latents have no row.
            TokenizerError: it has fewer rows than the vocabulary has base ids.
            OptionError: the LoRA does not fit it.
        """
        _check_has_no_adapter(model)
        check_rows(model, vocabulary.base_size)
        method = "exponential" if options.row_start == "hidden" else options.row_start
        rows = LatentRows.start(model, vocabulary, method) if len(vocabulary) else None
        before = Snapshot(model)
        with before.restored_on_error():
            learns = _freeze(model)
            try:
                adapted = _adapted(model, options)
            except ValueError as error:
                first = str(error).splitlines()[0]
                raise OptionError(f"no LoRA can be put into this model: {first}") from error
            _freeze_unread(model)
            student = cls(adapted, vocabulary, None if rows is None else rows.to(model.device))
            if len(vocabulary):
                check_token_tables(student.base, vocabulary.base_size + len(vocabulary) - 1)
        student._base_learns, student._base_before = learns, before
        return student

    @property
    def base(self) -> Any:
        """The transformers model, with LoRA's layers inside if there is a LoRA."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def head(self) -> Head:
        """The model's map from hidden states to logits over base ids."""
        if self._head is None:
            # Not `teacher`: that would take the adapter from replies that other threads are generating.
            with evaluating(self), self.base_rows_only():
                self._head = head_of(self.base, self.vocabulary.base_size)
        return self._head

    @property
    def decode_only(self) -> bool:
        """Whether it writes latents and reads base tokens (see `DistillOptions`)."""
        return len(self.vocabulary) > 0 and bool(self.record.get("options", {}).get("decode_only", False))

    @property
    def seen_tasks(self) -> frozenset[str]:
        """Digests of the tasks that it was trained on or its vocabulary was mined on."""
        return self.trained_tasks | self.vocabulary.mined_tasks

    @property
    def device(self) -> torch.device:
        """The device of the model's parameters."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def forward(self, input_ids: Tensor, **arguments: Any) -> Any:
        """The transformers model's output; logits over units, (batch, length, base_size + K).

        Without latents they are the model's own logits, with columns for padding rows.
        """
        return self.model(input_ids=input_ids, **arguments)

    @contextmanager
    def teacher(self) -> Iterator[None]:
        """Within the block the model is the frozen teacher, bit for bit: adapter and latents are off.

        PEFT switches the adapter off for all threads, so no other thread may use the student meanwhile.
        """
        with self.base_rows_only():
            if isinstance(self.model, PeftModel):
                with self.model.disable_adapter():
                    yield
            else:
                yield

    @contextmanager
    def base_rows_only(self) -> Iterator[None]:
        """Within the block the model has no latents in this thread; the adapter stays on."""
        if self.rows is None:
            yield
        else:
            with self.rows.off():
                yield

    def logits(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 logits of hidden states (n, width), over the base ids (n, B) and the latents (n, K)."""
        with self.base_rows_only():
            base = self.head(hidden)
        if self.rows is None:
            return base, base[:, :0]
        return base, self.head.finish(self.rows.logits(hidden).float())

    def save(self, folder: StrPath) -> None:
        """Write a PEFT adapter folder with the latents' rows, the vocabulary and the options beside it.

        An older student at `folder` is replaced after all is written; any other folder is an OptionError.
        """
        if not isinstance(self.model, PeftModel):
            raise TrainingError("a plain model has no adapter and no latents: there is nothing to save")
        with atomic_folder(Path(folder), holds=STUDENT_FILE) as target:
            self.save_weights(target)
            self.vocabulary.save(target / VOCABULARY_FOLDER)
            write_json(target / STUDENT_FILE, self.record)
            write_digests(target / TRAINED_FILE, self.trained_tasks)

    @classmethod
    def load(
        cls, folder: StrPath, model: Any = None, *, dtype: str = "auto", device: str | None = None
    ) -> "Student":
        """The saved student on `model`, the teacher's folder or object.

        Without `model`, the teacher is the base folder in the adapter's configuration. A folder has to hold
        the model that the student was distilled from; an object is taken as it is. After an error it is as it
        was.

        Raises:
            TrainingError: `folder` is no student, the teacher's folder is missing or holds another model, or
                the object has an adapter already, such as another student's.
            TokenizerError: the model has fewer rows than the vocabulary has base ids.
        """
        folder = Path(folder)
        vocabulary, record = read_student(folder)
        teacher = base_folder(folder) if model is None else model
        base = load_model(teacher, dtype=dtype, device=device)
        _check_has_no_adapter(base)
        check_rows(base, vocabulary.base_size)
        if not isinstance(teacher, nn.Module):
            _check_teacher(folder, record, Path(teacher), base)
        rows = LatentRows.start(base, vocabulary) if len(vocabulary) else None
        with Snapshot(base).restored_on_error():
            learns = _freeze(base)
            adapted = put_on(base, folder, "its adapter is damaged, or of another model")
            placed = None if rows is None else rows.to(base.device)
            student = cls(adapted, vocabulary, placed, record, read_digests(folder / TRAINED_FILE))
            student._base_learns = learns
            if student.rows is not None:
                load_rows(student.rows, folder)
        return student.eval()

    # The names of these methods in transformers and PEFT.
    from_pretrained = load
    save_pretrained = save

    def learnt(self) -> dict[str, Tensor]:
        """The trained parameters by name, on the CPU; all processes of a sharded student must call it."""
        return {
            name: whole(value.detach()).cpu().contiguous()
            for name, value in self.named_parameters()
            if "lora_" in name or name.startswith("rows.")
        }

    def save_weights(self, folder: Path, learnt: dict[str, Tensor] | None = None) -> None:
        """Write the trained parameters into an existing folder: PEFT's two files and the rows."""
        rows, lora = _by_prefix(self.learnt() if learnt is None else learnt)
        # Otherwise PEFT checks over the network whether the base's embedding was resized.
        self.model.save_pretrained(str(folder), state_dict=lora, save_embedding_layers=False)
        if rows:
            save_file(rows, folder / ROWS_FILE)

    def load_weights(self, folder: Path) -> None:
        """Load what `save_weights` has written; the adapter stays trainable."""
        weights = load_peft_weights(str(folder), device=str(self.device))
        set_peft_model_state_dict(self.model, weights)
        if self.rows is not None:
            load_rows(self.rows, folder)

    def on(self, model: Any, options: AdaptOptions) -> "Student":
        """The same student on another copy of its base; all processes of a sharded student must call it."""
        rows, lora = _by_prefix(self.learnt())
        learns = _freeze(model)
        adapted = _adapted(model, options)
        adapted.load_state_dict(lora, strict=False)
        own = None
        if rows:
            own = LatentRows(self.vocabulary.base_size, rows["input"], rows["output"], rows.get("bias"))
        placed = None if own is None else own.to(model.device)
        student = Student(adapted, self.vocabulary, placed, self.record, self.trained_tasks)
        student._base_learns = learns
        return student

    def unload(self) -> Any:
        """The base model as it was before: LoRA and latents are taken off."""
        if self.rows is not None:
            self.rows.detach()
        if not isinstance(self.model, PeftModel):
            return self.model
        return _unfreeze(self.model.unload(), self._base_learns)

    @contextmanager
    def unloaded_on_error(self) -> Iterator[None]:
        """After an error within the block, also an interruption, the base is as it was before `begin`."""
        with nullcontext() if self._base_before is None else self._base_before.restored_on_error():
            yield

    def merge(self) -> Any:
        """The base model with LoRA added to its weights; only for a student without latents."""
        if self.rows is not None:
            raise TrainingError("a student with latents cannot be merged into a model of base rows")
        return _unfreeze(self.model.merge_and_unload(), self._base_learns)


def _freeze(model: nn.Module) -> frozenset[str]:
    """Freeze all parameters; returns the names of those that were not."""
    learns = frozenset(name for name, value in model.named_parameters() if value.requires_grad)
    model.requires_grad_(False)
    return learns


def _freeze_unread(model: Any) -> None:
    """Freeze LoRA in parts that read no text, such as a vision tower: DDP waits for what is trained."""
    if model.config.get_text_config() is model.config:
        return
    read = {id(value) for value in model.get_decoder().parameters()}
    for name, value in model.named_parameters():
        if "lora_" in name and id(value) not in read:
            value.requires_grad_(False)


def _unfreeze(model: Any, learns: frozenset[str]) -> Any:
    """The model with the parameters as trainable as before `_freeze`, which has returned `learns`."""
    for name, value in model.named_parameters():
        value.requires_grad_(name in learns)
    return model


def read_student(folder: Path) -> tuple[LatentVocabulary, dict[str, Any]]:
    """The vocabulary and the record in a student's folder; TrainingError where it is no student."""
    file = folder / STUDENT_FILE
    if not (folder / "adapter_config.json").is_file() or not file.is_file():
        raise TrainingError(f"{folder}: no student (a folder that `lar distill` has written)")
    record = read_json(file, TrainingError)
    return LatentVocabulary.load(folder / VOCABULARY_FOLDER), record


def _check_teacher(folder: Path, record: dict[str, Any], teacher: Path, base: nn.Module) -> None:
    """Raise TrainingError if the weights in a teacher's folder are not those of the student's training.

    An adapter is merged when it is loaded, and other machines may round the sums in another way. So nothing
    is said of it, nor of a student whose record, of an older version, has no fingerprint.
    """
    own = record.get("base_fingerprint")
    if own is not None and not is_adapter(teacher) and own != fingerprint(base):
        raise TrainingError(f"{folder}: the student was distilled from another model than {teacher}")


def load_rows(rows: LatentRows, folder: Path) -> None:
    """Load a student's rows into `rows`, in place.

    Raises:
        TrainingError: the rows are missing, damaged or of other shapes.
    """
    file = folder / ROWS_FILE
    if not file.is_file():
        raise TrainingError(f"{file}: the latents' rows are missing")
    own = dict(rows.named_parameters())
    try:
        stored = load_file(file)
        rows.load_state_dict({name: like(value, own.get(name)) for name, value in stored.items()})
    except (RuntimeError, SafetensorError) as error:
        raise TrainingError(f"{file}: not the rows of this vocabulary and model: {error}") from error


def _by_prefix(learnt: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the rows and of LoRA, by their names in `rows` and in `model`."""
    rows = {name.removeprefix("rows."): value for name, value in learnt.items() if name.startswith("rows.")}
    lora = {name.removeprefix("model."): value for name, value in learnt.items() if "lora_" in name}
    return rows, lora


def _adapted(model: Any, options: AdaptOptions) -> PeftModel:
    """The PEFT model with a new LoRA in `model`; "all-linear" leaves out the layers that can have none.

    Raises:
        OptionError: `target_modules` names such a layer.
        ValueError: PEFT refuses the model or the options.
    """
    unfit = layers_without_tensor(model)
    left_out = unfit if str(options.target_modules).lower() == "all-linear" else []
    with quiet_peft():
        adapted = get_peft_model(model, _lora(options, left_out))
    for name in unfit:
        if isinstance(model.get_submodule(name), BaseTunerLayer):
            raise OptionError(f"target_modules has {name}, which can have no LoRA (a router): leave it out")
    return adapted


def _lora(options: AdaptOptions, left_out: list[str]) -> LoraConfig:
    targets = options.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=left_out or None,
    )


def check_targets(student: Student) -> None:
    """Raise OptionError where the LoRA is in a module in which it would not learn, or not be kept.

    The loss is computed from hidden states, a chunk at a time (`chunked_sum`), so a LoRA of the head would
    get no gradient. One of an embedding that is also the head would change both where it is merged.
    """
    embedding, head = student.base.get_input_embeddings(), student.base.get_output_embeddings()
    if isinstance(head, BaseTunerLayer):
        raise OptionError("target_modules has the head (lm_head), whose LoRA would not learn: leave it out")
    if isinstance(embedding, BaseTunerLayer) and embedding.weight is head.weight:
        raise OptionError(
            "target_modules has the embedding, and the model's head is the same matrix, so a merged LoRA"
            " would change both: leave it out"
        )


def _check_has_no_adapter(model: nn.Module) -> None:
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise TrainingError(
            "the model already has an adapter: unload it, or merge it first, as a part of the teacher"
        )
