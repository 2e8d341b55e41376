"""A student as one plain model: the latents' rows in its embedding and head, LoRA merged or removed."""

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from lar.distillation.rows.rows import LatentRows
from lar.distillation.student import Student
from lar.errors import ExportError, OptionError

# Tensor cores and tensor-parallel engines need row counts that are multiples.
ROWS_MULTIPLE = 64


def plain_model(student: Student, *, merge_lora: bool) -> Any:
    """The student's transformers model, with latents as ordinary rows.

    Latent i becomes row `base_size + i` of both matrices. With `merge_lora` LoRA is added to the base
    weights, else the model is the base with the rows, to be served with the adapter. The student cannot be
    used after this.
    """
    rows = student.rows
    if rows is not None:
        rows.detach()
    model = student.model.merge_and_unload() if merge_lora else student.model.unload()
    if rows is not None:
        bake_rows(model, rows)
    return model


def check_plain_lora(student: Student) -> None:
    """Raise OptionError where a LoRA beside the base would not fit the matrices that the latents enlarge."""
    ends = (student.base.get_input_embeddings(), student.base.get_output_embeddings())
    if student.rows is not None and any(isinstance(module, BaseTunerLayer) for module in ends):
        raise OptionError(
            "its LoRA changes the embedding or the head (target_modules), which get the latents' rows in an "
            "export, so it would not fit there: leave --lora (form) out"
        )


@torch.no_grad()
def bake_rows(model: Any, rows: LatentRows) -> None:
    """Write the rows of K latents into the model's matrices, from row `base_size`, and untie them.

    A latent's input row replaces its whole segment, and its output row competes with its first token. The two
    rows differ, so one matrix cannot hold both. The matrices grow to a multiple of 64 rows. All rows after
    the latents are padding; padding rows of the base are overwritten, since training did not use them. An
    output row of the padding is the mean of all base rows: by Jensen's inequality its probability is at most
    the mean probability of a base token, for any hidden state. A row of zeros would have the highest logit if
    all others are negative.
    """
    embedding, head, begin = model.get_input_embeddings(), model.get_output_embeddings(), rows.base_size
    last = max(embedding.weight.shape[0], begin + rows.input.shape[0])
    number = -(-last // ROWS_MULTIPLE) * ROWS_MULTIPLE
    inputs = rows.input / _scale(embedding)
    nothing = torch.zeros_like(embedding.weight[0])
    mean = head.weight[:begin].float().mean(0)
    bias = getattr(head, "bias", None)
    embedding.weight = _grown(embedding.weight, inputs, begin, number, nothing)
    head.weight = _grown(head.weight, rows.output, begin, number, mean)
    if bias is not None:
        assert rows.bias is not None
        head.bias = _grown(bias, rows.bias, begin, number, bias[:begin].float().mean())
    embedding.num_embeddings = head.out_features = number
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False
    model.config.get_text_config().vocab_size = number


def _grown(matrix: Tensor, new: Tensor, begin: int, number: int, padding: Tensor) -> nn.Parameter:
    """A matrix of `number` rows: the first `begin` of `matrix`, then `new`, then padding."""
    end = begin + len(new)
    grown = matrix.new_empty((number, *matrix.shape[1:]))
    grown[:begin] = matrix[:begin]
    grown[begin:end] = new.to(matrix.dtype)
    grown[end:] = padding.to(matrix.dtype)
    return nn.Parameter(grown, requires_grad=False)


def _scale(embedding: nn.Module) -> float:
    """The factor that the module applies to its rows at look-up: 1 for most families, not for Gemma."""
    assert isinstance(embedding.weight, Tensor)
    row = int(embedding.weight.float().norm(dim=1).argmax())
    stored = embedding.weight[row].float()
    seen = embedding(torch.tensor([row], device=stored.device))[0].float()
    scale = float((seen @ stored) / (stored @ stored))
    if not torch.allclose(seen, stored * scale, rtol=1e-2, atol=1e-4):
        raise ExportError(
            f"{type(embedding).__name__} changes its rows at look-up in a way that cannot be exported"
        )
    return scale
