"""Loads a PEFT LoRA folder as a model: the base with the adapter merged into it, in memory."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lar.errors import TrainingError
from lar.models.compatibility import quiet_peft
from lar.utils.result_files import ROWS_FILE
from lar.utils.words import shortened

CONFIG_FILE = "adapter_config.json"
# PEFT begins those weights as in a new adapter, and warns.
_MISSING = "Found missing adapter keys while loading the checkpoint"


def is_adapter(folder: Path) -> bool:
    """Whether the folder contains an adapter's configuration; a whole model beside it is not looked at."""
    return (folder / CONFIG_FILE).is_file()


def load_merged(folder: Path, load_base: Callable[[Path], Any]) -> Any:
    """Return the adapter's base, loaded by `load_base`, with the adapter merged into it.

    The base may be an adapter too: adapters are merged in the order in which they were made.

    Raises:
        TrainingError: the base is missing, the adapter does not fit it, or the folder is a student with
        latents.
    """
    base, adapters = base_and_adapters(folder)
    model = load_base(base)
    for adapter in adapters:
        model = _merge(model, adapter)
    model.name_or_path = str(folder)
    return model


def base_and_adapters(folder: Path) -> tuple[Path, list[Path]]:
    """The whole model below a folder, which is `folder` itself without an adapter, and the adapters on it.

    The adapters are in the order in which they were made.

    Raises:
        TrainingError: a base is missing, or the folder is a student with latents.
    """
    adapters: list[Path] = []
    base = folder
    while is_adapter(base):
        if base.resolve() in {known.resolve() for known in adapters}:
            raise TrainingError(f"{base}: the chain of adapter bases leads back to this adapter")
        adapters.append(base)
        base = _base_of_adapter(base)
    return base, adapters[::-1]


def base_folder(folder: Path) -> Path:
    """The folder of the model that an adapter was trained on.

    A relative path in the configuration is resolved from the working directory, then from the adapter. One
    that begins with a dot, such as the `..` of an export's adapter, is resolved from the adapter first.

    Raises:
        TrainingError: the configuration is broken, or the folder that it names does not exist.
    """
    file = folder / CONFIG_FILE
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, RecursionError, AttributeError) as error:
        raise TrainingError(f"{file}: not an adapter's configuration ({error})") from None
    if not name or not isinstance(name, str):
        raise TrainingError(f"{file}: names no base model (base_model_name_or_path)")
    places = [Path(name), folder / name]
    if name.startswith("."):
        places.reverse()
    for place in places:
        if place.is_dir():
            return place
    looked = " or ".join(str(place) for place in dict.fromkeys(map(Path.absolute, places)))
    raise TrainingError(
        f"{file}: its base model {name} is no folder here ({looked}); correct base_model_name_or_path"
    )


def _base_of_adapter(folder: Path) -> Path:
    """The base folder of an adapter; TrainingError where the folder is a student with latents."""
    if (folder / ROWS_FILE).is_file():
        raise TrainingError(
            f"{folder}: a student with latents; as a teacher, give the model that it was distilled from"
        )
    return base_folder(folder)


def unwrapped(model: Any) -> Any:
    """The transformers model in a PEFT model, with the adapter in it; any other model as it is."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def put_on(model: Any, folder: Path, wrong: str = "not an adapter of its base") -> Any:
    """The PEFT model of `model` with the adapter in a folder.

    Raises:
        TrainingError: with the words `wrong`, where the adapter does not fit the model or lacks weights.
    """
    from peft import PeftModel

    from lar.models.broken_files import as_training_error

    with as_training_error(f"{folder}: {wrong}"), quiet_peft(), warnings.catch_warnings():
        warnings.filterwarnings("error", message=_MISSING, category=UserWarning)
        try:
            return PeftModel.from_pretrained(model, str(folder), local_files_only=True)
        except UserWarning as found:
            names = str(found).removeprefix(_MISSING).strip(" :[].")
            raise TrainingError(f"{folder}: {wrong}, weights are missing: {shortened(names, 200)}") from None


def _merge(model: Any, folder: Path) -> Any:
    from lar.models.broken_files import as_training_error

    adapted = put_on(model, folder)
    with as_training_error(f"{folder}: not an adapter of its base"):
        return adapted.merge_and_unload()
