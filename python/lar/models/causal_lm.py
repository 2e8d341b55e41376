"""A causal language model of transformers, as scoring, distillation and generation see it.

Its hidden states and its head are used apart, so that logits (positions x embedding rows, by far the largest
tensor) exist only for a chunk of positions at a time.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from lar.errors import OptionError, TrainingError
from lar.models.adapter import is_adapter, load_merged
from lar.models.attention import PACKED, choose_attention, packed_lengths
from lar.models.out_of_memory import advise_on_memory
from lar.utils.paths import StrPath
from lar.utils.processes import count, local_rank

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Below this a model is a toy: there float32 costs nothing and is exact to compare with.
_TOY_PARAMETERS = 20_000_000
# Logits of one chunk, in numbers: 128 MB in float32 on a CPU, 512 MB on a GPU.
_CHUNK_LOGITS = {"cpu": 32_000_000, "cuda": 128_000_000}


def load_model(
    model: StrPath | PreTrainedModel,
    *,
    dtype: str = "auto",
    device: str | None = None,
    attention: str = "auto",
) -> Any:
    """Load a checkpoint folder onto a device, or place a model object there as it is.

    Args:
        model: a folder in Hugging Face's layout, a PEFT adapter's folder (see `lar.models.adapter`), or a
            model object, whose weights keep their dtype.
        dtype: "float32", "bfloat16" or "auto": bfloat16 where the device computes in it natively and the
            model is no toy, else float32.
        device: for example "cpu" or "cuda:0"; None for the GPU if there is one. Of several processes on a
            machine, each takes a GPU of its own.
        attention: one of `lar.models.attention.ATTENTIONS`; with "auto" a model object keeps its own.

    Raises:
        OptionError: an unknown dtype or attention. TrainingError: the folder holds no causal language model,
        or memory does not suffice for it.
    """
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if str(target) == "cuda" and count() > 1:
        target = torch.device("cuda", local_rank() % torch.cuda.device_count())
    if isinstance(model, nn.Module):
        if attention != "auto":
            choose_attention(model, attention)
        return model.to(target)
    folder = Path(model)
    if not folder.is_dir():
        raise TrainingError(f"{model}: no such model folder")
    with advise_on_memory(f"loading {model}", "choose dtype bfloat16 or another device"):
        # Merged in float32: the result is then the one that a merged checkpoint was rounded from.
        loaded = load_merged(folder, _from_folder) if is_adapter(folder) else _from_folder(folder)
        loaded = loaded.to(target, dtype=choose_dtype(dtype, target, loaded.num_parameters()))
    choose_attention(loaded, attention)
    parameters = loaded.num_parameters() / 1e6
    logger.info("loaded %s: %.1f million parameters, %s, on %s", model, parameters, loaded.dtype, target)
    return loaded


def _from_folder(folder: Path) -> Any:
    try:
        with no_bar():
            return AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True
            )
    except (ValueError, OSError) as error:
        raise TrainingError(f"{folder}: not a causal language model's folder: {error}") from error


@contextmanager
def no_bar() -> Iterator[None]:
    """Within the block transformers draws no progress bar: printing belongs to the command line."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def choose_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """Resolve "auto"; a CPU without bfloat16 units is hundreds of times slower in it than in float32."""
    if dtype != "auto":
        if dtype not in DTYPES:
            raise OptionError(f"dtype {dtype!r} is none of auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    if parameters < _TOY_PARAMETERS:
        return torch.float32
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)


def autocast(model: nn.Module) -> AbstractContextManager[Any]:
    """Compute in bfloat16 where the model's weights are bfloat16 (LoRA's stay float32); else do nothing."""
    weight = next(model.parameters())
    if weight.dtype == torch.bfloat16:
        return torch.autocast(weight.device.type, dtype=torch.bfloat16)
    return nullcontext()


def hidden_states(model: Any, ids: Tensor, positions: Tensor | None = None) -> Tensor:
    """Last hidden states, what the head reads: (batch, length, width) of ids (batch, length).

    Sequences may be packed in one row by `positions` (batch, length) that start again at 0: transformers
    then keeps them apart by itself, for which it must be given neither a mask nor a cache.
    """
    keywords = {}
    if ids.shape[0] == 1 and model.config.get_text_config()._attn_implementation == PACKED:
        whole = torch.tensor([ids.shape[1]])
        keywords["packed_lengths"] = whole if positions is None else packed_lengths(positions)
    output = model.base_model(
        input_ids=ids, position_ids=positions, attention_mask=None, use_cache=False, **keywords
    )
    result: Tensor = output[0]
    return result


@dataclass(frozen=True)
class Head:
    """The way from hidden states to logits: the output matrix, then what some families do to its logits."""

    module: nn.Module
    finish: Callable[[Tensor], Tensor]

    def __call__(self, hidden: Tensor) -> Tensor:
        """Float32 logits over the base rows, (n, rows), of hidden states (n, width)."""
        logits: Tensor = self.module(hidden)
        return self.finish(logits.float())

    def chunk_size(self, rows: int) -> int:
        """How many positions' logits over `rows` rows may exist at a time."""
        device = next(self.module.parameters()).device.type
        return max(16, _CHUNK_LOGITS.get(device, _CHUNK_LOGITS["cpu"]) // rows)


def head_of(model: Any) -> Head:
    """The model's head, checked against the model's own logits on a few tokens.

    Raises:
        TrainingError: the model does to its logits what this function does not know.
    """
    head = Head(model.get_output_embeddings(), _finish(model.config.get_text_config()))
    weight = model.get_input_embeddings().weight
    ids = torch.arange(4, device=weight.device).remainder(weight.shape[0])[None]
    with torch.no_grad(), autocast(model):
        expected = model(input_ids=ids, use_cache=False).logits.float()
        found = head(hidden_states(model, ids).flatten(0, 1)).view_as(expected)
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise TrainingError(
            f"the head of {type(model).__name__} changes its logits in a way that is not known"
        )
    return head


def _finish(config: Any) -> Callable[[Tensor], Tensor]:
    """What the family does to its logits: Gemma caps them, Cohere multiplies and Granite divides them."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def finish(logits: Tensor) -> Tensor:
        logits = logits if scale == 1.0 else logits * scale
        return logits if cap is None else torch.tanh(logits / cap) * cap

    return finish


def context_length(model: Any) -> int | None:
    """Positions that the model was made for, where its configuration says so."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


def embedding_rows(model: Any) -> int:
    """Rows of the model's input embedding: the number of base ids."""
    return int(model.get_input_embeddings().weight.shape[0])


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) over every parameter's name, shape and 64 of its values, spread evenly.

    The values are rounded to bfloat16, so that a model is the same in float32 and in bfloat16.
    """
    digest = hashlib.sha256()
    for name, values in _samples(model):
        digest.update(f"{name}\n".encode())
        digest.update(values.to(torch.bfloat16).float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _samples(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        step = max(1, flat.numel() // 64)
        yield f"{name} {tuple(parameter.shape)}", flat[::step][:64]
