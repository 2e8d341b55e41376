"""Make a teacher of a model that did not write the logs: plain LoRA on the agent's turns, merged."""

import shutil
from pathlib import Path
from typing import Any

from lar.causal_model import embedding_rows, load_model, no_bar
from lar.corpus import Corpus
from lar.distillation.options import AdaptOptions
from lar.distillation.processes import check_launch, from_main
from lar.distillation.trainer import _checkpoints, train, unsharded
from lar.files import atomic_folder, check_replaceable
from lar.progress import Progress, silent
from lar.vocabulary import LatentVocabulary

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
    model: Any,
    corpus: Corpus,
    options: AdaptOptions | None = None,
    output: str | Path | None = None,
    *,
    progress: Progress = silent,
) -> Any:
    """Fine-tune a LoRA on the agent's tokens and merge it into the model, which is returned.

    Several processes share the work as in `distill`.

    Args:
        model: a checkpoint folder, or a model object, which is changed in place.
        corpus: conversations, of the model's own tokenizer.
        options: see `AdaptOptions`.
        output: where the merged model is saved as a plain checkpoint with its tokenizer; None to keep it in
            memory alone. Checkpoints lie beside it until then, and the same call goes on from the last one.
        progress: counts optimizer steps.

    Raises:
        CorpusError: the corpus has another tokenizer's ids or nothing to learn from.
        TrainingError: the loss is not finite. OptionError: the checkpoints are another run's,
        or `output` holds something already.
    """
    if output is not None:
        check_replaceable(Path(output), None)
    options = options or AdaptOptions()
    check_launch(model, options)
    base = load_model(model, dtype=options.dtype, device=options.device)
    nothing = LatentVocabulary((), embedding_rows(base), corpus.tokenizer)
    student = train(base, corpus, nothing, options, _checkpoints(output), progress)
    if options.sharding == "full":
        student = unsharded(student, model, options)
    merged = student.merge()

    def save() -> None:
        if output is not None:
            _save(merged, corpus, model, Path(output))
            shutil.rmtree(_checkpoints(output) or "", ignore_errors=True)

    from_main(save)
    return merged


def _save(merged: Any, corpus: Corpus, source: Any, output: Path) -> None:
    """Write the checkpoint; the tokenizer's files are the source folder's, else the corpus's copy."""
    with atomic_folder(output, holds=None) as folder:
        with no_bar():
            merged.save_pretrained(str(folder))
        corpus.tokenizer.save(folder)
        if isinstance(source, str | Path):
            for name in _COMPANIONS:
                if (Path(source) / name).is_file():
                    shutil.copyfile(Path(source) / name, folder / name)
