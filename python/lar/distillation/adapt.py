"""Fine-tune a model that did not write the logs, so that it can be the teacher: LoRA on the agent's turns."""

import os
import shutil
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from lar.corpus import Corpus
from lar.distillation.distill import train, unsharded
from lar.distillation.files import checkpoints_beside, remove_checkpoints
from lar.distillation.keywords import AdaptKeywords
from lar.distillation.options import AdaptOptions
from lar.distillation.sides import Sides
from lar.distillation.student import Student
from lar.distillation.training.distributed import check_launch, from_main
from lar.distillation.training.reporting import check_report_to
from lar.errors import OptionError
from lar.models.causal_lm import load_model
from lar.models.checks import check_tokenizer
from lar.models.saving import copy_processors, save_model
from lar.models.trained_tasks import set_trained_tasks
from lar.tokenizer.files import TEMPLATE_FOLDER
from lar.utils.arguments import opened
from lar.utils.files import atomic_folder, check_replaceable, write_json
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent
from lar.utils.result_files import ADAPTATION_FILE
from lar.utils.task_digests import TRAINED_FILE, write_digests
from lar.vocabulary.vocabulary import LatentVocabulary

# What a checkpoint folder may hold besides the weights: the tokenizer and how to generate with the model.
_COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
)


def adapt(
    corpus: Corpus | StrPath,
    model: Any,
    options: AdaptOptions | None = None,
    output: StrPath | None = None,
    *,
    held_out: Corpus | StrPath | None = None,
    merge: bool = True,
    progress: Progress = silent,
    **keywords: Unpack[AdaptKeywords],
) -> Any:
    """A model that is fine-tuned on the agent's tokens by LoRA, with the LoRA merged into it.

    Several processes share the work as in `distill`.

    Args:
        corpus: conversations, as an object or a folder, of the model's own tokenizer. Of a whole corpus with
            a split, the training side is learnt; a view of selected tasks is used as it is.
        model: a checkpoint folder, or a model object, which is changed in place. After an error it is as it
            was, unless the LoRA was merged already and the result could not be saved.
        options: see `AdaptOptions`; `keywords` are its fields, and override those of `options`.
        output: where the merged model is saved as a plain checkpoint with its tokenizer, a record of the run
            (`adaptation.json`) and digests of its tasks (`trained_tasks.txt`); None to keep it in memory
            only. Checkpoints are written beside it until then, and the same call resumes from the last one.
        held_out: conversations to evaluate on every `options.evaluate_steps`; see `distill`.
        merge: False keeps the adapter apart: a PEFT model is returned, and `output` becomes a PEFT LoRA
            folder, which is a teacher like any checkpoint as long as its base stays where it is.
        progress: counts optimizer steps; its notes give speed and evaluation.

    Raises:
        CorpusError: the corpus holds no text of the agent, or holds out tasks that were seen before.
        TokenizerError: the model has fewer rows than the corpus's tokenizer has ids.
        TrainingError: loss or gradients are not finite, or memory does not suffice.
        OptionError: the checkpoints are another run's, `output` is a folder of another kind, or `merge` is
        False and the model has no folder, or a window is longer than the model's context.
        MissingExtraError: a package that `report_to` needs is not installed.
    """
    options = merge_options(AdaptOptions, options, keywords)
    corpus = opened(Corpus, corpus, "lar.adapt(corpus, model)")
    held_out = None if held_out is None else opened(Corpus, held_out, "lar.adapt(held_out=...)")
    if output is not None:
        check_replaceable(Path(output), ADAPTATION_FILE)
    check_launch(model, options)
    check_report_to(options.report_to)
    check_tokenizer(model, corpus)
    nothing = LatentVocabulary((), corpus.tokenizer)
    sides = Sides.of(corpus, held_out, options, model, nothing)
    base = load_model(model, dtype=options.dtype, device=options.device)
    folder = _folder_of(model, base)
    if output is not None and not merge and folder is None:
        raise OptionError(
            "an adapter needs the folder of its base, and this model was not loaded from one: merge it"
        )
    training = options.as_distillation()
    student = train(sides, base, nothing, training, checkpoints_beside(output), progress)
    if options.sharding == "full":
        student = unsharded(student, model, options)
    origin = None if folder is None else str(folder)
    record = {**student.record, "options": asdict(options), "merged": merge, "model": origin}
    result = _merged(student, output) if merge else _named(student, folder)
    set_trained_tasks(result, student.trained_tasks)

    def save() -> None:
        if output is not None:
            _save(result, corpus, folder, record, student.trained_tasks, Path(output))
            remove_checkpoints(output)

    with nullcontext() if merge else student.unloaded_on_error():  # merged weights cannot be taken back
        from_main(save)
    return result


def _folder_of(model: Any, base: Any) -> Path | None:
    """The folder that a model was loaded from, if it exists."""
    name = model if isinstance(model, str | os.PathLike) else base.name_or_path
    return Path(name).resolve() if name and Path(name).is_dir() else None


def _merged(student: Student, output: StrPath | None) -> Any:
    """The base with the adapter merged into it. Its weights are no longer those of its folder."""
    model = student.merge()
    model.name_or_path = str(output or "")
    return model


def _named(student: Student, folder: Path | None) -> Any:
    """The student's PEFT model, whose adapter names its base's folder."""
    if folder is not None:
        student.model.peft_config["default"].base_model_name_or_path = str(folder)
    return student.model


def _save(
    model: Any,
    corpus: Corpus,
    source: Path | None,
    record: dict[str, Any],
    trained_tasks: frozenset[str],
    output: Path,
) -> None:
    """Write checkpoint or adapter; the tokenizer's files are the source folder's, else the corpus's copy."""
    with atomic_folder(output, holds=ADAPTATION_FILE) as folder:
        if record["merged"]:
            save_model(model, folder)
            if source is not None:
                copy_processors(source, folder)
        else:  # without the keyword PEFT checks over the network whether the base's embedding was resized
            model.save_pretrained(str(folder), save_embedding_layers=False)
        corpus.tokenizer.save(folder)
        companions = [] if source is None else [source / name for name in _COMPANIONS]
        for file in companions:
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        if source is not None and (source / TEMPLATE_FOLDER).is_dir():
            shutil.copytree(source / TEMPLATE_FOLDER, folder / TEMPLATE_FOLDER, dirs_exist_ok=True)
        write_json(folder / ADAPTATION_FILE, record)
        write_digests(folder / TRAINED_FILE, trained_tasks)
