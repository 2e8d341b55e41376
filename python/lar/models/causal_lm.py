"""Loads causal language models of transformers."""

import logging
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from lar.errors import TrainingError
from lar.models.adapter import base_and_adapters, is_adapter, load_merged
from lar.models.attention import choose_attention
from lar.models.broken_files import as_training_error
from lar.models.device import choose_device, choose_dtype
from lar.models.folder import check_weights
from lar.models.out_of_memory import advise_on_memory
from lar.utils.hub import download_advice
from lar.utils.paths import StrPath
from lar.utils.words import counted

logger = logging.getLogger(__name__)


def load_model(
    model: StrPath | PreTrainedModel,
    *,
    dtype: str = "auto",
    device: str | None = None,
    attention: str = "auto",
) -> Any:
    """Return a model on a device: loaded from a folder, or the given model object.

    Args:
        model: a folder in Hugging Face's layout, a PEFT adapter's folder (see `lar.models.adapter`), or a
            model object, whose weights keep their dtype.
        dtype: "float32", "bfloat16" or "auto": bfloat16 if the device is fast in it and the model
            is not a toy, otherwise float32.
        device: for example "cpu" or "cuda:0"; None for the GPU if there is one. Several processes on a
            machine take one GPU each.
        attention: one of `lar.models.attention.ATTENTIONS`; with "auto" a model object keeps its own.

    Raises:
        OptionError: the dtype or the attention is unknown, or this machine lacks the device.
        TrainingError: the folder does not exist (of a name on a hub, the message has the download), contains
            no causal language model or not all of its weights, or memory is too small for it.
    """
    target = choose_device(device)
    if isinstance(model, nn.Module):
        if attention != "auto":
            choose_attention(model, attention)
        return model.to(target)
    folder = Path(model)
    if not folder.is_dir():
        raise TrainingError(download_advice(model) or f"{model}: no such model folder")
    base = base_and_adapters(folder)[0]
    check_weights(base)
    chosen = choose_dtype(dtype, target, _parameters(base) if dtype == "auto" else 0)
    with advise_on_memory(f"loading {model}", "choose dtype bfloat16 or another device"):
        if is_adapter(folder):
            # Merged in float32: a merged checkpoint is the rounded version of the same result.
            loaded = rounded(load_merged(folder, _from_folder), chosen)
        else:
            loaded = _from_folder(folder, chosen)
        loaded = loaded.to(target)
    choose_attention(loaded, attention)
    parameters = loaded.num_parameters() / 1e6
    logger.info("loaded %s: %.1f million parameters, %s, on %s", model, parameters, loaded.dtype, target)
    return loaded


def _from_folder(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    with _of_folder(folder), no_bar():
        model, found = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, output_loading_info=True
        )
        _check_complete(folder, model, found["missing_keys"])
    return model


def _check_complete(folder: Path, model: nn.Module, missing: Collection[str]) -> None:
    """Raise TrainingError where weights are `missing` in a folder; transformers draws them at random."""
    missing = sorted({name for name, _ in model.named_parameters()}.intersection(missing))
    if missing:
        raise TrainingError(
            f"{folder}: {counted(len(missing), 'weight is', 'weights are')} not in its files, such as "
            f"{missing[0]}; without them it is no whole causal language model"
        )


def _parameters(folder: Path) -> int:
    """The number of a model's parameters; its weights are not read."""
    with _of_folder(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
        return int(AutoModelForCausalLM.from_config(config).num_parameters())


def _of_folder(folder: Path) -> AbstractContextManager[Any]:
    return as_training_error(f"{folder}: not a causal language model's folder, or damaged")


def rounded(model: Any, dtype: torch.dtype) -> Any:
    """A float32 model with the dtypes that loading it with `dtype` would give, in place.

    `model.to(dtype)` would round too much: the frequencies of rotary positions, whose error grows with the
    position, and weights that transformers keeps in float32, such as a router's.
    """
    kept = {*(getattr(model, "_keep_in_fp32_modules_strict", None) or ())}
    if dtype == torch.float16:
        kept |= {*(getattr(model, "_keep_in_fp32_modules", None) or ())}
    for name, parameter in model.named_parameters():
        if not any(part in name for part in kept):
            parameter.data = parameter.data.to(dtype)
    _set_dtype(model.config, dtype)
    return model


def _set_dtype(config: Any, dtype: torch.dtype) -> None:
    """Set the dtype in a configuration and in those within it, such as a vision tower's."""
    config.dtype = dtype
    for part in vars(config).values():
        if isinstance(part, PreTrainedConfig):
            _set_dtype(part, dtype)


@contextmanager
def no_bar() -> Iterator[None]:
    """Disable transformers' progress bars within the block; only the command line prints."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
