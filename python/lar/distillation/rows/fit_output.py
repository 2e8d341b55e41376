"""Output rows fitted before the first step, while all other parameters are frozen.

A latent's output row starts as its first token's row, so it has that token's logit. With L latents that begin
with the same token, each gets 1 / (L + 1) of the token's probability. Correcting this is the larger part
of what a student has to learn, and it needs no backward pass through the model. Given the hidden states of
some thousand positions, the loss as a function of the output rows is a small softmax regression, which is
solved in seconds.

It needs little of the base rows, too. The latents' rows depend on the rows of first tokens and on the unit's
own row. All others enter only through the sum of their exponentials, in one column. So logits over B base
tokens become logits over U + 2 outcomes, and the loss is the run's own.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lar.distillation.loss import LOSS_FUNCTIONS, FirstTokens, Teacher, TopProbabilities
from lar.distillation.rows.rows import LatentRows
from lar.distillation.training.step import DistillationStep
from lar.models.device import autocast
from lar.models.hidden_states import hidden_states
from lar.utils.progress import Progress, silent

STEPS = 40  # of Adam, for each ridge and at the end
LEARNING_RATE = 5e-3
# Weights of the ridge, strong to weak. Held-back positions choose one, or leave the rows as they were.
RIDGES = (1e-4, 1e-5, 1e-6, 1e-7)
HELD_BACK = 0.2
# More are not read. All are held on the device in float32, each with its width and two times U + 2 outcomes.
MOST_POSITIONS = 1 << 16
# The logit of an excluded outcome: its exp is 0 in float32, and 0 times it is not NaN.
_NOTHING = -1e4


class Positions(NamedTuple):
    """The data of the regression, n positions: hidden (n, width), and logits over U + 2 outcomes.

    The outcomes are the U first tokens, the unit itself if it is another base token, and all other tokens.
    base (n, U + 2) are the student's logits, teacher (n, U + 2) the teacher's (None without one), labels (n)
    the units as outcomes, latents from U + 2 on.
    """

    hidden: Tensor
    base: Tensor
    teacher: Tensor | None
    labels: Tensor

    def take(self, chosen: Tensor) -> "Positions":
        """The positions at `chosen`."""
        teacher = None if self.teacher is None else self.teacher[chosen]
        return Positions(self.hidden[chosen], self.base[chosen], teacher, self.labels[chosen])


def fit_output_rows(
    step: DistillationStep,
    batches: Iterable[dict[str, Tensor]],
    progress: Progress = silent,
    new: Tensor | None = None,
) -> dict[str, Any]:
    """Fit the student's output rows on `batches`, in place; a head's bias stays that of the first token.

    Batches are read up to `MOST_POSITIONS`.

    A row changes only if `new`, bool (K), is true for it or None. The last fifth of the positions chooses the
    ridge. Returns the number of positions, the chosen ridge, and the mean loss on the held-back positions
    before and after; the number alone where it is too small to hold one back, and the rows stay.
    """
    rows = step.student.rows
    if rows is None:
        return {}
    pieces = _collect(step, batches, progress)
    count = sum(len(piece.labels) for piece in pieces)
    border = count - int(count * HELD_BACK)
    if border == count:
        return {"positions": count}
    found = _joined(pieces)
    train, held_back = found.take(torch.arange(border)), found.take(torch.arange(border, count))
    reduced = FirstTokens(step.first.group.cpu(), len(step.first.columns) + 2).to(found.labels.device)
    problem = _Problem(step, rows, reduced, new)
    before = problem.loss(held_back, rows.output)
    ridge, after, output = problem.best(train, held_back)
    if after < before:
        with torch.no_grad():
            rows.output.copy_(problem.solve(found, ridge, output))
    return {"positions": count, "ridge": ridge, "before": before, "after": min(before, after)}


class _Problem:
    """The regression: the run's loss as a function of the rows, with a ridge on their move from the start."""

    def __init__(
        self, step: DistillationStep, rows: LatentRows, first: FirstTokens, new: Tensor | None = None
    ) -> None:
        self.step = step
        self.rows = rows
        self.first = first
        self.fixed = None if new is None else ~new.to(rows.output.device)

    def best(self, train: Positions, held_back: Positions) -> tuple[float, float, Tensor]:
        """(ridge, its held-back loss, rows) of the best ridge; from strong to weak until the loss rises."""
        found: list[tuple[float, float, Tensor]] = []
        output = self.rows.output.detach()
        for ridge in RIDGES:
            output = self.solve(train, ridge, output)
            found.append((ridge, self.loss(held_back, output), output))
            if len(found) > 1 and found[-1][1] > found[-2][1]:
                break
        return min(found, key=lambda one: one[1])

    def solve(self, positions: Positions, ridge: float, output: Tensor) -> Tensor:
        """Rows (K, width) after some steps of Adam from `output`, over all positions at once."""
        start = self.rows.output.detach()
        move = (output - start).requires_grad_()
        # The ridge is on the squared change of logits, so it does not depend on the width.
        scale = ridge * positions.hidden.pow(2).sum(-1).mean()
        optimizer = torch.optim.Adam([move], lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            with torch.enable_grad():
                loss = self._mean(positions, start + move) + scale * move.pow(2).sum()
                (gradient,) = torch.autograd.grad(loss, [move])
            # Adam does not move a row whose gradients were all 0.
            move.grad = gradient if self.fixed is None else gradient.masked_fill(self.fixed[:, None], 0)
            optimizer.step()
            schedule.step()
        return start + move.detach()

    @torch.no_grad()
    def loss(self, positions: Positions, rows: Tensor) -> float:
        """The mean loss of a position."""
        return float(self._mean(positions, rows))

    def _mean(self, positions: Positions, rows: Tensor) -> Tensor:
        latent = self.step.student.head.finish(self.rows.logits(positions.hidden, rows).float())
        function = LOSS_FUNCTIONS[self.step.loss]
        terms = function(positions.base, latent, positions.teacher, positions.labels, self.first)
        total: Tensor = terms.teacher + self.step.unit_weight * terms.unit
        return total / len(positions.labels)


@torch.no_grad()
def _collect(
    step: DistillationStep, batches: Iterable[dict[str, Tensor]], progress: Progress
) -> list[Positions]:
    """The positions of the batches, in one pass of the student, and of the teacher if the loss has one."""
    pieces: list[Positions] = []
    read = 0
    step.student.eval()
    with autocast(step.student.base):
        for done, batch in enumerate(batches):
            found = list(_pieces(step, batch))
            pieces += found
            read += sum(len(piece.labels) for piece in found)
            progress(done + 1, None)
            if read >= MOST_POSITIONS:
                break
    step.student.train()
    return pieces


def _joined(pieces: list[Positions]) -> Positions:
    teachers = [piece.teacher for piece in pieces if piece.teacher is not None]
    return Positions(
        torch.cat([piece.hidden for piece in pieces]),
        torch.cat([piece.base for piece in pieces]),
        torch.cat(teachers) if teachers else None,
        torch.cat([piece.labels for piece in pieces]),
    )


def _pieces(step: DistillationStep, batch: dict[str, Tensor]) -> Iterator[Positions]:
    """The positions of a batch that the loss can learn from; whole logits only for a chunk at a time.

    These are all of them without a teacher, and else those with a teacher's distribution.
    """
    first, student, chosen = step.first, step.student, batch["has_teacher"]
    if step.loss == "sft":
        chosen = torch.ones_like(chosen)
    labels = batch["labels"][chosen]
    top = {name: batch[name][chosen] for name in ("top_ids", "top_probabilities", "tail") if name in batch}
    states = None
    if step.loss != "sft" and not top:
        states = step.teacher_hidden(batch["tokens"], batch["token_positions"])[
            0, batch["teacher_at"][chosen]
        ]
    teacher = step.teacher(states, **top)
    row = (batch["units"], batch["unit_positions"], batch.get("streams"))
    hidden = hidden_states(student.base, *row)[0, batch["student_at"][chosen]]
    size = student.head.chunk_size
    for at in range(0, len(hidden), size):
        chunk = slice(at, at + size)
        with student.base_rows_only():
            base = student.head(hidden[chunk])
        distributions = teacher(chunk)
        yield Positions(
            hidden[chunk].float(),
            reduce(base, labels[chunk], first),
            None if distributions is None else reduce_teacher(distributions, labels[chunk], first),
            reduce_labels(labels[chunk], first),
        )


def reduce_teacher(teacher: Teacher, labels: Tensor, first: FirstTokens) -> Tensor:
    """The teacher's logits over U + 2 outcomes, (n, U + 2), of its distributions at n positions."""
    if not isinstance(teacher, TopProbabilities):
        return reduce(teacher, labels, first)
    # A token that the cache does not have gets probability 0; the tail is added to the last outcome.
    probabilities = teacher.tail.new_zeros(len(labels), first.base_size)
    logits = probabilities.scatter(1, teacher.ids, teacher.probabilities).log().clamp_min(_NOTHING)
    reduced = reduce(logits, labels, first)
    reduced[:, -1] = torch.logaddexp(reduced[:, -1], teacher.tail.log().clamp_min(_NOTHING))
    return reduced


def reduce(logits: Tensor, labels: Tensor, first: FirstTokens) -> Tensor:
    """Logits over U + 2 outcomes, (n, U + 2), from logits over base tokens, (n, B)."""
    others = logits.index_fill(1, first.columns, _NOTHING)
    token = labels.clamp_max(first.base_size - 1)[:, None]
    is_other = ((labels < first.base_size) & (first.place[token[:, 0]] < 0))[:, None]
    own = torch.where(is_other, logits.gather(1, token), _NOTHING)
    rest = torch.where(is_other, others.scatter(1, token, _NOTHING), others).logsumexp(-1, keepdim=True)
    return torch.cat([logits[:, first.columns], own, rest], dim=1)


def reduce_labels(labels: Tensor, first: FirstTokens) -> Tensor:
    """Units (n) as outcomes: a first token's column, U for another base token, from U + 2 on latents."""
    explicit = labels < first.base_size
    place = first.place[labels.clamp_max(first.base_size - 1)]
    count = len(first.columns)
    token = torch.where(place >= 0, place, count)
    return torch.where(explicit, token, labels - first.base_size + count + 2)
