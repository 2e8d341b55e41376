"""Saves a transformers model into a folder."""

from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from lar.models.causal_lm import no_bar


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
