"""What a model's folder holds, told from its files before anything is loaded."""

import json
from pathlib import Path

from lar.errors import TrainingError
from lar.models.adapter import base_and_adapters
from lar.tokenizer.location import TOKENIZER_FILE

CONFIG_FILE = "config.json"
# What transformers loads from a folder: the whole weights, or the index of their parts.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"
# The floating-point types of safetensors in which a model can be written, by their names in torch.
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def check_weights(folder: Path) -> None:
    """Raise TrainingError where a folder has no model's configuration, or not all of its weights."""
    if not (folder / CONFIG_FILE).is_file():
        if (folder / TOKENIZER_FILE).is_file():
            raise TrainingError(f"{folder} has only a tokenizer; training needs the model's weights")
        raise TrainingError(f"{folder}: not a causal language model's folder: no {CONFIG_FILE}")
    names = weight_files(folder)
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise TrainingError(
            f"{folder}: {len(missing)} of {len(names)} files of weights are not there, such as {missing[0]}"
        )


def weight_files(folder: Path) -> list[str]:
    """The names of the files from which transformers loads a folder's weights.

    Raises:
        TrainingError: there are neither weights nor an index of them, or it is damaged.
    """
    whole = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if whole is not None:
        return [whole]
    indices = [folder / f"{name}{_INDEX}" for name in _WEIGHTS]
    index = next(filter(Path.is_file, indices), None)
    if index is None:
        raise TrainingError(
            f"{folder} has a configuration and no weights ({' or '.join(_WEIGHTS)}); training needs them"
        )
    try:
        names: set[str] = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(names)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{index}: not an index of weights ({error!r})") from None


def stored_dtype(folder: Path) -> str | None:
    """The dtype of a folder's weights in safetensors, by its name in torch; None where there are no such.

    It is that of the first floating-point tensor, as in transformers. The weights are not read.
    """
    from safetensors import safe_open

    for name in weight_files(folder):
        if not name.endswith(".safetensors"):
            continue
        with safe_open(str(folder / name), "pt") as weights:
            found = (_DTYPES.get(weights.get_slice(key).get_dtype()) for key in weights.keys())  # noqa: SIM118
            dtype = next(filter(None, found), None)
        if dtype is not None:
            return dtype
    return None


def check_causal_lm(folder: Path) -> None:
    """Raise TrainingError where `load_model` could not load a folder, by its files alone; takes no memory.

    Of an adapter, the base is looked at.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    base, _ = base_and_adapters(folder)
    check_weights(base)
    try:
        config = AutoConfig.from_pretrained(str(base), local_files_only=True)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{base}: not a causal language model's folder: {reason}") from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise TrainingError(f"{base}: {config.model_type} is no causal language model")
