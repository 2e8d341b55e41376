"""The rows of the latents: an input and an output row each, stored beside the base matrices.

The base matrices are not resized: if only some of a matrix's rows are trained, each forward pass copies all
of it. Instead, hooks add the new rows. The embedding reads its own rows for base ids and these for latents,
and the head's logits are cat((h @ W0.T)[:, :base_size], h @ W_new.T), where the latents' columns replace
those of the model's padding rows. So base rows stay bit-identical and get no gradient. With the rows switched
off, the hooks do nothing, and the model is the frozen one, bit for bit.

Tied models are no special case. A latent is *read* as its whole segment is and *predicted* where its
first token was, so its two rows start apart and stay two parameters even where the base rows are one matrix.
(An export into a tied checkpoint must therefore untie it.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident, local
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from lar.vocabulary.vocabulary import LatentVocabulary


class _OfThread(local):
    """What holds in one thread: `off` are the rows that are switched off there.

    Were it for all threads, a pass without latents would take them out of the passes of others. A thread
    begins with all rows on. This holds too for those of autograd, in which gradient checkpointing may compute
    layers again, and is right there: only passes with latents are differentiated through layers.
    """

    off: tuple["LatentRows", ...] = ()


_HERE = _OfThread()


class LatentRows(nn.Module):
    """The new rows of K latents, float32: `input` (K, width), `output` (K, width), `bias` (K) or None."""

    input: nn.Parameter
    output: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, base_size: int, input_rows: Tensor, output_rows: Tensor, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        self.base_size = base_size
        self.input = nn.Parameter(input_rows.detach().float().clone())
        self.output = nn.Parameter(output_rows.detach().float().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().float().clone())
        self._handles: list[RemovableHandle] = []
        # By thread, too: the ids whose embeddings are being looked up.
        self._pending: dict[int, Tensor] = {}

    @classmethod
    def start(cls, model: Any, vocabulary: LatentVocabulary, method: str = "exponential") -> "LatentRows":
        """Rows with their start values, from the segment's tokens (input) and its first token (output).

        The input row is a weighted mean of the tokens' embeddings, by `method`: "mean" has equal weights,
        "exponential" halves the weight with each step back from the last token, the one that the next
        prediction depends on most, "first" takes only the first token.
        """
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        first = torch.from_numpy(vocabulary.first_tokens.astype("int64")).to(head.weight.device)
        with torch.no_grad():
            # The module's own output, not its weight: some families scale what they look up.
            rows = [
                _weights(len(latent.tokens), method).to(embedding.weight.device)
                @ embedding(torch.tensor(latent.tokens, device=embedding.weight.device)).float()
                for latent in vocabulary.latents
            ]
            bias = getattr(head, "bias", None)
            return cls(
                vocabulary.base_size,
                torch.stack(rows),
                head.weight[first],
                None if bias is None else bias[first],
            )

    def attach(self, model: Any) -> None:
        """Add the latents to `model` by hooks; `detach` removes them."""
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        self._handles = [
            embedding.register_forward_pre_hook(self._hide_latents),
            embedding.register_forward_hook(self._fill_latents),
            head.register_forward_hook(self._append_logits),
        ]

    def detach(self) -> None:
        """Remove the hooks: the model is as it was before `attach`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within the block the model has no latents in this thread; all others read and write them."""
        before, _HERE.off = _HERE.off, (*_HERE.off, self)
        try:
            yield
        finally:
            _HERE.off = before

    @property
    def enabled(self) -> bool:
        """Whether the model has latents in this thread."""
        return self not in _HERE.off

    def logits(self, hidden: Tensor, output: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Logits over the latents, (..., K), before the model family's own scaling or capping."""
        output = self.output if output is None else output
        bias = self.bias if bias is None else bias
        return functional.linear(
            hidden, output.to(hidden.dtype), None if bias is None else bias.to(hidden.dtype)
        )

    def _hide_latents(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:  # noqa: ARG002
        self._pending.pop(get_ident(), None)  # of a look-up that has raised
        if not self.enabled:
            return None
        self._pending[get_ident()] = arguments[0]
        return (arguments[0].masked_fill(arguments[0] >= self.base_size, 0), *arguments[1:])

    def _fill_latents(self, module: nn.Module, arguments: Any, rows: Tensor) -> Tensor | None:  # noqa: ARG002
        ids = self._pending.pop(get_ident(), None)
        if ids is None:
            return None
        new = functional.embedding((ids - self.base_size).clamp_min(0), self.input).to(rows.dtype)
        return torch.where((ids >= self.base_size)[..., None], new, rows)

    def _append_logits(self, module: nn.Module, arguments: tuple[Any, ...], logits: Tensor) -> Tensor | None:  # noqa: ARG002
        if not self.enabled:
            return None
        latent = self.logits(arguments[0]).to(logits.dtype)
        return torch.cat([logits[..., : self.base_size], latent], dim=-1)


def _weights(length: int, method: str) -> Tensor:
    """Weights (length) of a segment's tokens, adding up to 1."""
    back = torch.arange(length - 1, -1, -1, dtype=torch.float32)
    if method == "first":
        return (back == length - 1).float()
    weights = torch.ones(length) if method == "mean" else torch.pow(2.0, -back)
    return weights / weights.sum()
