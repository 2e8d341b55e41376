"""Whether a model fits what it is to be used for: its context, its weights, its tokenizer."""

import logging
from os import PathLike
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.corpus.manifest import TOKENIZER_FOLDER
from lar.errors import OptionError, TokenizerError, TrainingError
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def context_length(model: Any) -> int | None:
    """Maximum number of positions in the model's configuration; None where it has none."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


def check_context(model: Any, longest: int) -> None:
    """Raise OptionError where a window of `longest` base tokens has more positions than the model has.

    Scaled rotary positions (YaRN and the like) reach further than the configuration's maximum.
    """
    context = context_length(model)
    if context is None:
        return
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = [rope, *(part for part in rope.values() if isinstance(part, dict))]  # or one for each layer type
    original = [(kind.get("factor"), kind.get("original_max_position_embeddings")) for kind in kinds]
    context = max([context, *(int(factor * (length or context)) for factor, length in original if factor)])
    if longest > context:
        raise OptionError(
            f"a window has {longest} base tokens, but the model's context is {context} (its configuration's"
            f" max_position_embeddings): lower max_length to {context}"
        )


def check_trainable(model: Any) -> None:
    """Raise TrainingError where a model's weights are quantized: no plain checkpoint could be exported."""
    if not getattr(model, "is_quantized", False):
        return
    method = getattr(model.config, "quantization_config", None)
    method = method.get("quant_method") if isinstance(method, dict) else getattr(method, "quant_method", None)
    kind = f" ({getattr(method, 'value', method)})" if method else ""
    raise TrainingError(
        f"{model.name_or_path or 'the model'}: its weights are quantized{kind}; train on the checkpoint"
        " before quantization, and quantize what lar export writes"
    )


def embedding_rows(model: Any) -> int:
    """Rows of the model's input embedding; a model may have more than its tokenizer has ids."""
    return int(model.get_input_embeddings().weight.shape[0])


def check_tokenizer(model: Any, corpus: Corpus) -> None:
    """Raise TokenizerError where `model` is a folder with another tokenizer than the corpus's.

    Otherwise, a model with enough rows would train on any ids. Another chat template is warned of alone, as
    a server may render with one of its own. An object, or a folder without a tokenizer, is not checked.
    """
    if not isinstance(model, str | PathLike) or not (Path(model) / TOKENIZER_FILE).is_file():
        return
    found = Tokenizer.load(model)
    own, theirs = found.fingerprint, corpus.tokenizer.fingerprint
    if own != theirs:
        raise TokenizerError(
            f"{model}: its tokenizer ({own[:12]}) is another than the corpus's ({theirs[:12]}), which lies in"
            f" {corpus.path / TOKENIZER_FOLDER}"
        )
    if found.template_hash != corpus.manifest.chat_template_hash:
        logger.warning(
            "%s: its chat template is another than the corpus's, which lies in %s: if it was changed, build"
            " the corpus again; if your server renders with the corpus's, give lar export that one"
            " (--chat-template)",
            model,
            corpus.path / TOKENIZER_FOLDER,
        )


def check_rows(model: Any, base_size: int) -> None:
    """Raise TokenizerError where the model has fewer embedding rows than `base_size`, its tokenizer's ids."""
    rows = embedding_rows(model)
    if rows < base_size:
        raise TokenizerError(
            f"the model has {rows} embedding rows, fewer than the tokenizer's {base_size} ids: "
            "use the tokenizer in the model's own folder"
        )
