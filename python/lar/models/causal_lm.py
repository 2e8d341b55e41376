"""Causal language models of transformers for scoring, distillation and generation.

Hidden states and head are separate, so that logits (positions x embedding rows, by far the largest tensor)
exist only for a chunk of positions at a time.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from lar.corpus import Corpus
from lar.corpus.manifest import TOKENIZER_FOLDER
from lar.errors import OptionError, TokenizerError, TrainingError
from lar.models.adapter import base_and_adapters, is_adapter, load_merged
from lar.models.attention import PACKED, choose_attention, packed_lengths
from lar.models.broken_files import as_training_error
from lar.models.folder import check_weights
from lar.models.out_of_memory import advise_on_memory
from lar.models.packing import separates_packed
from lar.models.streams import reads_streams, stream_mask
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.hub import download_advice
from lar.utils.paths import StrPath
from lar.utils.processes import count, local_rank
from lar.utils.words import counted

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Smaller models are toys: float32 costs them nothing and makes comparisons exact.
_TOY_PARAMETERS = 20_000_000
# Number of logits of one chunk: 128 MB in float32 on a CPU, 512 MB on a GPU.
_CHUNK_LOGITS = {"cpu": 32_000_000, "cuda": 128_000_000}


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
            loaded = _rounded(load_merged(folder, _from_folder), chosen)
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


def _rounded(model: Any, dtype: torch.dtype) -> Any:
    """A float32 model with the dtypes that loading it with `dtype` would give.

    `model.to(dtype)` would round too much: the frequencies of rotary positions, whose error grows with the
    position, and weights that transformers keeps in float32, such as a router's.
    """
    kept = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    for name, parameter in model.named_parameters():
        if not any(part in name for part in kept):
            parameter.data = parameter.data.to(dtype)
    return model


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


def choose_device(device: str | None) -> torch.device:
    """The torch device of an option; see `load_model`. Nothing is put on it.

    Raises:
        OptionError: the name is unknown, or this machine has no such device.
    """
    gpus = torch.cuda.device_count()
    try:
        target = torch.device(device or ("cuda" if gpus else "cpu"))
        if target.type not in ("cpu", "cuda"):
            torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from None
    if target.type == "cuda" and (target.index or 0) >= gpus:
        found = {0: "no GPU", 1: "one GPU, cuda:0"}.get(gpus, f"{gpus} GPUs, cuda:0 to cuda:{gpus - 1}")
        raise OptionError(f"device {device!r} is not there: torch finds {found}")
    if str(target) == "cuda" and count() > 1:
        return torch.device("cuda", local_rank() % gpus)
    return target


def choose_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """The torch dtype of an option. "auto" avoids bfloat16 where float32 is faster.

    That is on CPUs without AMX. With AVX512-BF16 alone it depends on the CPU: a training step of SmolLM2-135M
    takes 1.8 times as long in bfloat16 on one (Xeon), and 0.75 times on another (EPYC). Without either it
    takes hundreds of times as long.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise OptionError(f"dtype {dtype!r} is none of auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    if parameters < _TOY_PARAMETERS:
        return torch.float32
    # By default torch counts GPUs before Ampere too, which only emulate it.
    fast = (
        torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_amx()
    )
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_amx() -> bool:
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def autocast(model: nn.Module) -> AbstractContextManager[Any]:
    """A block that computes in bfloat16 if the weights are bfloat16 (LoRA's stay float32)."""
    weight = next(model.parameters())
    if weight.dtype == torch.bfloat16:
        return torch.autocast(weight.device.type, dtype=torch.bfloat16)
    return nullcontext()


def hidden_states(
    model: Any, ids: Tensor, positions: Tensor | None = None, streams: Tensor | None = None
) -> Tensor:
    """The last hidden states (batch, length, width) of ids (batch, length), which are the head's input.

    With `streams`, a row of several streams is read behind their mask (see `lar.models.streams`).
    One row may pack several sequences; `positions` (1, length) start again at 0 for each. Most models then
    separate them. For the others they become the rows of a batch, padded on the right.
    """
    if streams is not None and positions is not None:
        return _last_states(model, ids, positions, stream_mask(streams, positions))
    if positions is None or reads_packed(model):
        return _last_states(model, ids, positions)
    lengths = packed_lengths(positions).tolist()
    # Without a mask: causal models do not see what comes later.
    rows = _last_states(model, pad_sequence(list(torch.split(ids[0], lengths)), batch_first=True))
    return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])[None]


def use_streams(model: Any) -> None:
    """Let a model read several streams in one row (`lar.models.streams`), with an attention that takes masks.

    Raises:
        OptionError: it cannot.
    """
    if str(model.config.get_text_config()._attn_implementation).startswith("flash"):
        choose_attention(model, "sdpa")
    if not reads_streams(model, partial(hidden_states, model)):
        raise OptionError(
            f"decode_only: {type(model).__name__} does not read branches of a conversation apart; that needs"
            " full attention in all layers"
        )


def reads_packed(model: Any) -> bool:
    """Whether the model separates packed sequences; it is run for this once, and warns if it does not.

    A model that is to be sharded is asked before, while it can still be used by itself.
    """
    return separates_packed(model, partial(_last_states, model))


def _last_states(
    model: Any, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """As `hidden_states`, from the model itself.

    transformers separates packed sequences by `positions`, provided that it gets no mask and no cache.
    """
    keywords = {}
    if mask is None and ids.shape[0] == 1 and model.config.get_text_config()._attn_implementation == PACKED:
        whole = torch.tensor([ids.shape[1]])
        keywords["packed_lengths"] = whole if positions is None else packed_lengths(positions)
    output = model.base_model(
        input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False, **keywords
    )
    result: Tensor = output[0]
    return result


@dataclass(frozen=True)
class Head:
    """The function from hidden states to logits: the output matrix, then the family's scaling or capping.

    A model may have more rows than its tokenizer has ids. Those columns are cut off: no token ever had them.
    """

    module: nn.Module
    finish: Callable[[Tensor], Tensor]
    base_size: int

    def __call__(self, hidden: Tensor) -> Tensor:
        """Float32 logits over the base ids, (n, base_size), of hidden states (n, width)."""
        logits: Tensor = self.module(hidden)
        return self.finish(logits[..., : self.base_size].float())

    @property
    def chunk_size(self) -> int:
        """Maximum number of positions whose logits exist at a time."""
        device = next(self.module.parameters()).device.type
        return max(16, _CHUNK_LOGITS.get(device, _CHUNK_LOGITS["cpu"]) // self.base_size)


def head_of(model: Any, base_size: int) -> Head:
    """The model's head over `base_size` ids, compared with the model's own logits on a few tokens.

    Raises:
        TokenizerError: the model has fewer rows than that.
        TrainingError: the logits differ, because the model changes them in an unsupported way.
    """
    check_rows(model, base_size)
    head = Head(model.get_output_embeddings(), _finish(model.config.get_text_config()), base_size)
    weight = model.get_input_embeddings().weight
    ids = torch.arange(4, device=weight.device).remainder(weight.shape[0])[None]
    with torch.no_grad(), autocast(model):
        expected = model(input_ids=ids, use_cache=False).logits[..., :base_size].float()
        found = head(hidden_states(model, ids).flatten(0, 1)).view_as(expected)
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise TrainingError(f"{type(model).__name__} changes its logits in an unsupported way")
    return head


def _finish(config: Any) -> Callable[[Tensor], Tensor]:
    """The family's change of logits: Gemma caps them, Cohere multiplies and Granite divides them."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def finish(logits: Tensor) -> Tensor:
        logits = logits if scale == 1.0 else logits * scale
        return logits if cap is None else torch.tanh(logits / cap) * cap

    return finish


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


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) over every parameter's name, shape and 64 of its n values: each (n // 64)-th.

    They begin with the first, and of fewer than 128 values they are the first 64. (Other places would give
    other fingerprints than those that students have recorded.)
    The values are rounded to bfloat16, so that float32 and bfloat16 copies of a model have the same one.
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
