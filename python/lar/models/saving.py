"""Saves a transformers model into a folder."""

import shutil
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from lar.models.adapter import base_and_adapters
from lar.models.causal_lm import no_bar

# How a model that reads images or sound prepares them: processors are loaded from its own folder.
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def save_model(model: Any, folder: Path) -> None:
    """Write a whole model into an existing folder, with its generation configuration as it is.

    By itself, transformers refuses a configuration that it loads with a warning alone, such as one with a
    temperature and no `do_sample`. Versions differ in whether that holds for an unchanged one too.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        with no_bar():
            model.save_pretrained(str(folder))
    finally:
        model.generation_config = own
    if own is not None:
        own.to_json_file(str(folder / "generation_config.json"))


def copy_processors(source: Path, folder: Path) -> None:
    """Copy what a model at `source`, or below an adapter there, has for reading images and sound."""
    base, _ = base_and_adapters(source)
    for name in _PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
