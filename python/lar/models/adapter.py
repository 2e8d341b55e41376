"""A PEFT LoRA folder as a model: its base with the adapter merged into it, in memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lar.errors import TrainingError
from lar.models.compatibility import quiet_peft

CONFIG_FILE = "adapter_config.json"
# What the folder of a student with latents has besides: it is more than its adapter.
_LATENTS_FILE = "latent_rows.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and not a whole model."""
    return (folder / CONFIG_FILE).is_file()


def load_merged(folder: Path, load_base: Callable[[Path], Any]) -> Any:
    """Load the base that an adapter names, by `load_base`, and merge the adapter into it.

    The base may be an adapter's folder itself: adapters are merged in the order in which they were made.

    Raises:
        TrainingError: the base is not there, the adapter does not fit it, or it is a student with latents.
    """
    adapters = [folder]
    while is_adapter(base := _base_of_adapter(adapters[-1])):
        if base.resolve() in {known.resolve() for known in adapters}:
            raise TrainingError(f"{base}: an adapter whose base is in the end itself")
        adapters.append(base)
    model = load_base(base)
    for adapter in reversed(adapters):
        model = _merge(model, adapter)
    model.name_or_path = str(folder)
    return model


def base_folder(folder: Path) -> Path:
    """The folder of the model that an adapter was trained on: as it is written, or as seen from the adapter.

    Raises:
        TrainingError: the configuration is broken, or names no folder that is here.
    """
    file = folder / CONFIG_FILE
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise TrainingError(f"{file}: not an adapter's configuration ({error})") from None
    if not name or not isinstance(name, str):
        raise TrainingError(f"{file}: names no base model (base_model_name_or_path)")
    for place in (Path(name), folder / name):
        if place.is_dir():
            return place
    raise TrainingError(f"{file}: its base model {name} is no folder here; correct base_model_name_or_path")


def _base_of_adapter(folder: Path) -> Path:
    """The same, where the folder holds an adapter and nothing besides."""
    if (folder / _LATENTS_FILE).is_file():
        raise TrainingError(f"{folder}: a student with latents; as a teacher give the model it was taught by")
    return base_folder(folder)


def _merge(model: Any, folder: Path) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        with quiet_peft():
            return PeftModel.from_pretrained(model, str(folder), local_files_only=True).merge_and_unload()
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()
        raise TrainingError(
            f"{folder}: not an adapter of its base ({reason[0] if reason else error!r})"
        ) from error
