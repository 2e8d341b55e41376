"""The losses of a student: three functions over units, each summed over the agent's positions.

At every position, s is the student's distribution over units (base tokens and K latents), u the unit that
follows, and f(u) its first base token. `sft`, the default, is the cross-entropy of u and has no teacher. For
`marginal` and `paper`, p is the teacher's distribution over base tokens; `paper` is the loss of arXiv
2605.18597. All losses take float32 logits: `base` (n, B) and `latent` (n, K) of the student, and `teacher`
(n, B), a cache's `TopProbabilities` or, for `sft`, None; and `units` (n). K is 0 for the control.

`marginal` and `paper` need the teacher's distribution at each of the n positions. Positions that have none
are separated in `lar.distillation.training.step`, which computes `sft` there.

A cached teacher has k tokens and one probability for all others together. Teacher and student are then
compared over k + 1 outcomes: a lower bound of the divergence, exact for k = B.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class FirstTokens:
    """Which base token each of K latents begins with, indexed for the marginal.

    columns (U): the distinct first tokens, sorted. group (K): each latent's place in `columns`. place (B):
    each base token's place in `columns`, -1 for one that no latent begins with.
    """

    def __init__(self, first_tokens: Tensor, base_size: int) -> None:
        self.base_size = base_size
        self.columns, self.group = torch.unique(first_tokens.long(), return_inverse=True)
        self.place = torch.full((base_size,), -1)
        self.place[self.columns] = torch.arange(len(self.columns))

    def to(self, device: torch.device) -> "FirstTokens":
        """Move the index tensors."""
        self.columns, self.group = self.columns.to(device), self.group.to(device)
        self.place = self.place.to(device)
        return self


class TopProbabilities(NamedTuple):
    """A cached teacher: ids (n, k) of its likeliest tokens, their probabilities (n, k), the others' (n)."""

    ids: Tensor
    probabilities: Tensor
    tail: Tensor


class Terms(NamedTuple):
    """A loss's two sums: `teacher` compares distributions, `unit` is for the unit that follows."""

    teacher: Tensor
    unit: Tensor


Teacher = Tensor | TopProbabilities
# The logit of an excluded outcome. -inf has NaN gradients where all outcomes are excluded.
_NOTHING = -1e30


def marginal(base: Tensor, latent: Tensor, teacher: Teacher, units: Tensor, first: FirstTokens) -> Terms:
    """KL(p || q), and -log(s(u) / q(f(u))), with q(v) = sum of s(u) over the units with f(u) = v.

    Probability that moves between a token and the latents that begin with it does not change the first term.
    """
    joined = _joined(base, latent, first)
    return Terms(
        _divergence(teacher, base, joined, _log_total(base, latent), first),
        (_of_first(base, joined, units, first) - _of_unit(base, latent, units)).sum(),
    )


def paper(base: Tensor, latent: Tensor, teacher: Teacher, units: Tensor, first: FirstTokens) -> Terms:
    """KL(p || s) where the unit is a base token, -log s(u) where it is a latent; s over all units."""
    explicit = units < first.base_size
    total = _log_total(base, latent)
    own = base[:, first.columns]  # here a latent's probability is not added to its first token's
    if isinstance(teacher, TopProbabilities):
        chosen: Teacher = TopProbabilities(*(part[explicit] for part in teacher))
    else:
        chosen = teacher[explicit]
    return Terms(
        _divergence(chosen, base[explicit], own[explicit], total[explicit], first),
        (total - _of_unit(base, latent, units))[~explicit].sum(),
    )


def sft(base: Tensor, latent: Tensor, teacher: Tensor | None, units: Tensor, first: FirstTokens) -> Terms:  # noqa: ARG001
    """-log s(u) at all positions, without a teacher."""
    return Terms(base.new_zeros(()), (_log_total(base, latent) - _of_unit(base, latent, units)).sum())


LOSS_FUNCTIONS: dict[str, Any] = {"marginal": marginal, "paper": paper, "sft": sft}


def _log_total(base: Tensor, latent: Tensor) -> Tensor:
    """Log of the sum of exp over all units' logits, (n)."""
    total = base.logsumexp(-1)
    return torch.logaddexp(total, latent.logsumexp(-1)) if latent.shape[1] else total


def _joined(base: Tensor, latent: Tensor, first: FirstTokens) -> Tensor:
    """Log of exp(base) + the sum of exp(latent) over a token's latents, for the U first tokens, (n, U).

    For every other token v, log q(v) comes from its own logit alone.
    """
    own = base[:, first.columns]
    if not latent.shape[1]:
        return own
    group = first.group.expand(latent.shape[0], -1)
    with torch.no_grad():  # the shift cancels, so it needs no gradient
        shift = own.scatter_reduce(1, group, latent, "amax")
    spread = (latent - shift[:, first.group]).exp()
    return ((own - shift).exp().index_add(1, first.group, spread)).log() + shift


def _divergence(teacher: Teacher, base: Tensor, joined: Tensor, total: Tensor, first: FirstTokens) -> Tensor:
    """KL(p || q), summed over positions.

    log q(v) is a logit minus `total` (n): one of `joined` (n, U) for the U first tokens, else one of `base`.
    """
    if isinstance(teacher, TopProbabilities):
        return _divergence_of_top(teacher, base, joined, total, first)
    with torch.no_grad():
        log_p = teacher.log_softmax(-1)
        p = log_p.exp()
        entropy = -(p * log_p).sum()
    gained = (p[:, first.columns] * (joined - base[:, first.columns])).sum()
    cross: Tensor = total.sum() - (p * base).sum() - gained
    return cross - entropy


def _divergence_of_top(
    teacher: TopProbabilities, base: Tensor, joined: Tensor, total: Tensor, first: FirstTokens
) -> Tensor:
    ids, p, tail = teacher
    logits = base if not first.columns.numel() else base.index_copy(1, first.columns, joined)
    of_top = logits.gather(1, ids) - total[:, None]
    of_rest = logits.scatter(1, ids, _NOTHING).logsumexp(-1) - total
    if ids.shape[1] == base.shape[1]:
        tail = torch.zeros_like(tail)  # but for rounding
    # Where the teacher's tail is 0, the student's does not count.
    of_rest = of_rest.masked_fill(tail == 0, 0)
    entropy: Tensor = -torch.special.xlogy(p, p).sum() - torch.special.xlogy(tail, tail).sum()
    return -(p * of_top).sum() - (tail * of_rest).sum() - entropy


def _of_unit(base: Tensor, latent: Tensor, units: Tensor) -> Tensor:
    """The logit of each position's unit, (n)."""
    size = base.shape[1]
    picked = base.gather(1, units.clamp_max(size - 1)[:, None])[:, 0]
    if not latent.shape[1]:
        return picked
    of_latent = latent.gather(1, (units - size).clamp_min(0)[:, None])[:, 0]
    return torch.where(units >= size, of_latent, picked)


def _of_first(base: Tensor, joined: Tensor, units: Tensor, first: FirstTokens) -> Tensor:
    """The joined logit of the first token of each position's unit, (n)."""
    size = base.shape[1]
    if not first.columns.numel():
        return _of_unit(base, base[:, :0], units)
    from_latent = first.columns[first.group[(units - size).clamp_min(0)]]
    token = torch.where(units >= size, from_latent, units)
    place = first.place[token]
    own = base.gather(1, token[:, None])[:, 0]
    return torch.where(place >= 0, joined.gather(1, place.clamp_min(0)[:, None])[:, 0], own)
