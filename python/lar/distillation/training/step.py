"""One training step: the student's pass over units, the teacher's over base tokens where needed, the loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lar.distillation.chunked_sum import sum_over_chunks
from lar.distillation.loss import LOSS_FUNCTIONS, FirstTokens, Teacher, Terms, TopProbabilities, sft
from lar.distillation.options import DistillOptions
from lar.distillation.student import Student
from lar.models.device import autocast
from lar.models.hidden_states import hidden_states, reads_packed, use_streams


class DistillationStep(nn.Module):
    """The loss of one batch, from the student's pass over units, and the teacher's if the loss has one."""

    accepts_loss_kwargs = True  # the Trainer counts the batch's labels over accumulated batches for us

    def __init__(self, student: Student, options: DistillOptions) -> None:
        super().__init__()
        self.student = student
        self.loss = options.loss
        self.unit_weight = options.unit_weight
        self.hidden_weight = options.hidden_weight
        vocabulary = student.vocabulary
        first = torch.from_numpy(vocabulary.first_tokens.astype("int64"))
        self.first = FirstTokens(first, vocabulary.base_size).to(student.device)
        with autocast(student.base):  # both are found out before the first step, and before sharding
            _ = student.head, reads_packed(student.base)
            if options.decode_only:
                use_streams(student.base)

    def forward(
        self,
        units: Tensor,
        unit_positions: Tensor,
        tokens: Tensor,
        token_positions: Tensor,
        student_at: Tensor,
        teacher_at: Tensor,
        has_teacher: Tensor,
        labels: Tensor,
        unit_ends: Tensor,
        streams: Tensor | None = None,
        row: Tensor | None = None,  # noqa: ARG002 (the index in the data, for the trainer's error messages)
        **top: Tensor,
    ) -> dict[str, Tensor]:
        """Sums over the batch's t supervised units: `loss`, its parts `teacher` and `unit`, perhaps `hidden`.

        The arguments are what `lar.distillation.data.pack` returns; `top` holds a cached teacher's
        probabilities, if there is a cache.
        """
        student = self.student
        with autocast(student.base):
            frozen = self.teacher_hidden(tokens, token_positions)[0] if self._needs_a_pass(top) else None
            found = hidden_states(student.base, units, unit_positions, streams)[0]
            teacher = self.teacher(None if frozen is None else frozen[teacher_at], **top)
            parts: list[Terms] = []

            def chunk_loss(chunk: slice, piece: Tensor, *rows: Tensor) -> Tensor:
                terms = self._terms(piece, rows, teacher(chunk), labels[chunk], has_teacher[chunk])
                parts.append(Terms(terms.teacher.detach(), terms.unit.detach()))
                return terms.teacher + self.unit_weight * terms.unit

            size = student.head.chunk_size
            loss = sum_over_chunks(chunk_loss, size, found[student_at], *self._output_rows())
        zero = loss.new_zeros(())  # for a batch without a supervised unit
        sums = {
            "teacher": torch.stack([zero, *(part.teacher for part in parts)]).sum(),
            "unit": torch.stack([zero, *(part.unit for part in parts)]).sum(),
        }
        if frozen is not None and self.hidden_weight:
            whole = unit_ends >= 0
            distance = len(labels) * relative_distance(found[whole], frozen[unit_ends[whole]])
            loss = loss + self.hidden_weight * distance
            sums["hidden"] = distance.detach()
        return {"loss": loss, **sums}

    def _needs_a_pass(self, top: dict[str, Tensor]) -> bool:
        """Whether the teacher's pass is needed: for hidden states, or probabilities that are not cached."""
        return bool(self.hidden_weight) or (self.loss != "sft" and not top)

    def teacher(self, hidden: Tensor | None, **top: Tensor) -> Callable[[slice], Teacher | None]:
        """The teacher's distributions at a chunk of positions, stored ones or those of its hidden states.

        It returns None for `sft`, which has no teacher.
        """
        if self.loss == "sft":
            return lambda _: None
        if top:
            kept = TopProbabilities(top["top_ids"], top["top_probabilities"], top["tail"])
            return lambda chunk: TopProbabilities(*(part[chunk] for part in kept))

        def logits(chunk: slice) -> Teacher | None:
            with torch.no_grad(), self.student.base_rows_only():
                return None if hidden is None else self.student.head(hidden[chunk])

        return logits

    @torch.no_grad()
    def teacher_hidden(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The teacher's hidden states (1, n, width), from a pass with adapter and latents off."""
        training = self.student.training
        with self.student.teacher():
            self.student.eval()
            hidden = hidden_states(self.student.base, tokens, positions)
            self.student.train(training)
        return hidden

    def _terms(
        self,
        hidden: Tensor,
        rows: tuple[Tensor, ...],
        teacher: Teacher | None,
        labels: Tensor,
        has_teacher: Tensor,
    ) -> Terms:
        """The loss of a chunk of positions, from the student's hidden states.

        Where a loss needs the teacher and it has no distribution before a unit, the unit's own cross-entropy
        replaces both terms, with the weight of the unit's term.
        """
        student = self.student
        with student.base_rows_only():
            base = student.head(hidden)
        latent = base[:, :0]
        if student.rows is not None:
            latent = student.head.finish(student.rows.logits(hidden, *rows).float())
        if self.loss == "sft":
            return sft(base, latent, None, labels, self.first)
        rows_with = _rows_at(has_teacher, base, latent, teacher, labels)
        terms: Terms = LOSS_FUNCTIONS[self.loss](*rows_with, self.first)
        if bool(has_teacher.all()):
            return terms
        alone = sft(*_rows_at(~has_teacher, base, latent, None, labels), self.first)
        return Terms(terms.teacher, terms.unit + alone.unit)

    def _output_rows(self) -> list[Tensor]:
        rows = self.student.rows
        if rows is None:
            return []
        return [rows.output] if rows.bias is None else [rows.output, rows.bias]


def _rows_at(
    chosen: Tensor, base: Tensor, latent: Tensor, teacher: Teacher | None, labels: Tensor
) -> tuple[Tensor, Tensor, Any, Tensor]:
    """The arguments of a loss function at some of n positions; `chosen` is bool (n)."""
    if bool(chosen.all()):
        return base, latent, teacher, labels
    if isinstance(teacher, TopProbabilities):
        teacher = TopProbabilities(*(part[chosen] for part in teacher))
    elif teacher is not None:
        teacher = teacher[chosen]
    return base[chosen], latent[chosen], teacher, labels[chosen]


def relative_distance(found: Tensor, frozen: Tensor) -> Tensor:
    """Mean squared distance of hidden states (n, width), divided by the mean square of the `frozen` ones."""
    found, frozen = found.float(), frozen.float()
    return (found - frozen).pow(2).mean() / frozen.pow(2).mean()
