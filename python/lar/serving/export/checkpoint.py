"""A student's folder -> an export's folder: inputs are checked first, and the result is read back."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from tokenizers import Tokenizer as Backend
from transformers import AutoConfig, GenerationConfig

import lar
from lar.corpus.manifest import TOKENIZER_FOLDER
from lar.distillation.student import Student, read_student
from lar.errors import ExportError, OptionError
from lar.models.adapter import base_and_adapters
from lar.models.causal_lm import rounded
from lar.models.device import DTYPES
from lar.models.folder import stored_dtype
from lar.models.saving import copy_processors, save_model
from lar.serving.export.generation_defaults import drop_latents, generation_defaults
from lar.serving.export.gguf import check_converter, check_head, write_gguf
from lar.serving.export.inputs import card_folder, fitting_tokenizer, teacher_of
from lar.serving.export.model_card import write_model_card
from lar.serving.export.options import ExportKeywords, ExportOptions
from lar.serving.export.reference import REFERENCE_FILE, write_reference
from lar.serving.export.self_check import ADAPTER_FOLDER, EXPORTED_VOCABULARY, check_version
from lar.serving.export.tokenizer_files import turn_ids, write_tokenizer
from lar.serving.export.weights import check_plain_lora, plain_model
from lar.tokenizer.chat_template import ChatTemplate
from lar.tokenizer.files import TEMPLATE_FILE
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import atomic_folder, check_replaceable, write_json
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent
from lar.utils.result_files import EXPORT_FILE
from lar.utils.task_digests import TRAINED_FILE, write_digests

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_STEPS = 5


@dataclass(frozen=True)
class Export:
    """An export: its folder, its record (form, dtype, latents) and the figures of the self-check."""

    folder: Path
    record: dict[str, Any]
    report: dict[str, Any]


def export(
    student: StrPath,
    output: StrPath,
    options: ExportOptions | None = None,
    *,
    model: StrPath | None = None,
    progress: Progress = silent,
    **keywords: Unpack[ExportKeywords],
) -> Export:
    """Write a student (or a control) as a checkpoint that unmodified engines load.

    Args:
        student: the folder that `lar distill` has written.
        output: the folder to write; an older export there is replaced when the new one has passed its check.
        options: see `ExportOptions`; `keywords` are its fields, and take the place of those of `options`.
        model: the teacher's folder; None for the one that the student's folder names.
        progress: counts the steps of the work.

    Works on the CPU in float32: 4 bytes of memory per parameter, and as much again while saving.

    Raises:
        TrainingError: `student` is not a student, or its teacher's folder is missing.
        VocabularyError: a latent is not fit for engines, or the teacher has another tokenizer.
        ExportError: the written files do not read back as the student, or the GGUF has no rows for the
            latents. They are removed then.
        OptionError: `output` is not empty and holds no export, or the LoRA of `form="lora"` would not fit its
            base.
    """
    options = merge_options(ExportOptions, options, keywords)
    if not isinstance(student, str | os.PathLike):
        found = type(student).__name__  # type: ignore[unreachable]
        raise TypeError(f"lar.export(student, output) takes the folder of a saved student, not a {found}")
    source, target = Path(student), Path(output)
    check_version()
    check_replaceable(target, EXPORT_FILE)
    if options.chat_template is not None:
        _check_template(Path(options.chat_template))
    if options.llama_cpp is not None:
        check_converter(Path(options.llama_cpp))
    options = _as_trained(options, source)
    teacher = teacher_of(source, model)
    backend, tokenizer_source = fitting_tokenizer(source, teacher, options)
    card = card_folder(teacher, tokenizer_source)
    logger.info("%s: teacher %s, tokenizer files of %s", student, teacher, tokenizer_source)
    progress(1, _STEPS)
    loaded = Student.load(source, teacher, dtype="float32", device="cpu")
    if options.form == "lora":
        check_plain_lora(loaded)
    dtype = _dtype(options.dtype, teacher)
    with atomic_folder(target, holds=EXPORT_FILE) as folder:
        copy_processors(teacher, folder)
        return _write(loaded, dtype, backend, tokenizer_source, card, folder, target, options, progress)


def _as_trained(options: ExportOptions, student: Path) -> ExportOptions:
    """The options with the tokenizer that a student was trained for; a warning where another was chosen."""
    vocabulary, record = read_student(student)
    reads_tokens = bool(record.get("options", {}).get("decode_only", False))
    if options.decode_only and not reads_tokens and len(vocabulary):
        logger.warning(
            "%s: trained with latents in its prompts, and a decode-only tokenizer writes none there; distil"
            " with decode_only for it",
            student,
        )
    return replace(options, decode_only=options.decode_only or reads_tokens)


def _check_template(file: Path) -> None:
    """Raise OptionError, or what `ChatTemplate` raises, unless a file holds a chat template."""
    try:
        ChatTemplate(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise OptionError(f"{file}: not UTF-8 text: {error}") from error


def _write(
    student: Student,
    dtype: torch.dtype,
    backend: Backend,
    tokenizer_source: Path,
    card: Path,
    folder: Path,
    target: Path,
    options: ExportOptions,
    progress: Progress,
) -> Export:
    vocabulary = student.vocabulary
    reference = folder / REFERENCE_FILE
    template = None if options.chat_template is None else Path(options.chat_template)
    write_tokenizer(backend, tokenizer_source, folder, template)
    vocabulary.save(folder / EXPORTED_VOCABULARY)
    exported = Tokenizer.load(folder)
    if template is None:
        _warn_of_template(exported, tokenizer_source, student)
    generation = generation_defaults(student, exported)
    write_reference(student, reference, dtype)
    progress(2, _STEPS)
    _write_weights(student, folder, dtype, options, generation)
    progress(3, _STEPS)
    record = {
        "format_version": FORMAT_VERSION,
        "lar_version": lar.__version__,
        "form": options.form,
        "decode_only": options.decode_only,
        "dtype": str(dtype).removeprefix("torch."),
        "first_latent": vocabulary.base_size,
        "latents": len(vocabulary),
        "split": student.record.get("split"),
        **turn_ids(exported, vocabulary.base_size),
    }
    write_json(folder / EXPORT_FILE, record)
    write_digests(folder / TRAINED_FILE, student.trained_tasks)
    write_model_card(folder, vocabulary, record, card, exported)
    report = _checked(folder, target, reference)
    reference.unlink()
    _share(folder)
    progress(4, _STEPS)
    if options.llama_cpp is not None:
        write_gguf(folder, target.resolve().name, Path(options.llama_cpp), options.gguf_type)
        if len(vocabulary):
            check_head(folder, vocabulary.base_size + len(vocabulary))
    progress(_STEPS, _STEPS)
    return Export(target, record, report)


def _warn_of_template(exported: Tokenizer, source: Path, student: Student) -> None:
    """Warn where an export, with the template of `source`, renders other prompts than the student learnt."""
    learnt, vocabulary = student.record.get("chat_template_hash"), student.vocabulary
    if learnt is None and vocabulary.tokenizer.chat_template is not None:  # the record of an older version
        learnt = vocabulary.tokenizer.template_hash
    if learnt is not None and learnt != exported.template_hash:
        logger.warning(
            "%s: its chat template is not that of the corpus which the student learnt from: if it was"
            " changed, build the corpus again and train on it; if your server renders with the corpus's, give"
            " that one (%s/%s in the corpus) with --chat-template",
            source,
            TOKENIZER_FOLDER,
            TEMPLATE_FILE,
        )


def _dtype(name: str, teacher: Path) -> torch.dtype:
    """The dtype of an option; of "auto", that of the teacher's base, else float32.

    It is that in the base's configuration, and where that has none, that of its weights. The student's own
    configuration does not have it: it was loaded in float32.
    """
    if name == "auto":
        base, _ = base_and_adapters(teacher)
        config = AutoConfig.from_pretrained(str(base), local_files_only=True)
        dtype = config.dtype or config.get_text_config().dtype or stored_dtype(base)
        name = str(dtype).removeprefix("torch.")
    return {**DTYPES, "float16": torch.float16}.get(name, torch.float32)


def _write_weights(
    student: Student, folder: Path, dtype: torch.dtype, options: ExportOptions, generation: GenerationConfig
) -> None:
    """The checkpoint, and the adapter's folder beside it if it is not merged."""
    if options.form == "lora":
        # Otherwise PEFT checks over the network whether the base's embedding was resized.
        student.model.save_pretrained(str(folder / ADAPTER_FOLDER), save_embedding_layers=False)
        _point_at_parent(folder / ADAPTER_FOLDER / "adapter_config.json")
    model = rounded(plain_model(student, merge_lora=options.form == "merged"), dtype)
    drop_latents(model.config, student.vocabulary)
    model.generation_config = generation
    save_model(model, folder)


def _share(folder: Path) -> None:
    """Give the weights, which are saved for their owner alone, the access rights of the tokenizer."""
    mode = (folder / TOKENIZER_FILE).stat().st_mode
    for file in folder.rglob("*.safetensors"):
        file.chmod(mode)


def _point_at_parent(file: Path) -> None:
    """Write the base's path in the adapter as its parent folder, so that both can be moved together."""
    content = json.loads(file.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = ".."
    write_json(file, content)


def _checked(folder: Path, target: Path, reference: Path) -> dict[str, Any]:
    """The figures of the self-check, run in a new process."""
    command = [
        sys.executable,
        "-m",
        "lar.serving.export.self_check",
        str(folder),
        "--reference",
        str(reference),
    ]
    # The same package that wrote it, even if it is only on the path of this process.
    paths = [str(Path(lar.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode < 0:
        killed = f"the self-check was killed by signal {-done.returncode}"
        raise ExportError(killed + (", as where memory does not suffice" if done.returncode == -9 else ""))
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"the self-check ended with code {done.returncode}"]
        raise ExportError(lines[-1].replace(str(folder), str(target)))
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report
