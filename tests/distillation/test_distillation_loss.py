"""The losses and their gradients against a slow float64 loop, and changes that must not affect them."""

import math

import pytest
import torch

from lar.distillation.chunked_sum import sum_over_chunks
from lar.distillation.loss import LOSS_FUNCTIONS, FirstTokens, TopProbabilities, marginal
from lar.distillation.rows.fit_output import reduce, reduce_labels, reduce_teacher

FIRST = [4, 1, 4, 6, 4]  # first tokens of five latents, three of one token
BASE = 9


def random_case(latents: int = len(FIRST), positions: int = 7, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    units = torch.randint(0, BASE + latents, (positions,), generator=generator)
    first = FirstTokens(torch.tensor(FIRST[:latents]), BASE)
    return draw(positions, BASE), draw(positions, latents), draw(positions, BASE), units, first


def slow(name, base, latent, teacher, units, first_tokens):
    """Both terms, computed position by position and unit by unit."""
    total_teacher = total_unit = 0.0
    for b, k, t, u in zip(base.tolist(), latent.tolist(), teacher.tolist(), units.tolist(), strict=True):
        weights = [math.exp(x) for x in b + k]
        s = [w / sum(weights) for w in weights]
        p = [math.exp(x) / sum(map(math.exp, t)) for x in t]
        f = lambda unit: unit if unit < BASE else first_tokens[unit - BASE]  # noqa: E731
        q = [sum(s[unit] for unit in range(len(s)) if f(unit) == v) for v in range(BASE)]
        if name == "marginal":
            total_teacher += sum(p[v] * math.log(p[v] / q[v]) for v in range(BASE))
            total_unit += -math.log(s[u] / q[f(u)])
        elif name == "paper":
            if u < BASE:
                total_teacher += sum(p[v] * math.log(p[v] / s[v]) for v in range(BASE))
            else:
                total_unit += -math.log(s[u])
        else:
            total_unit += -math.log(s[u])
    return total_teacher, total_unit


@pytest.mark.parametrize("latents", [0, 1, 5])
@pytest.mark.parametrize("name", list(LOSS_FUNCTIONS))
def test_equals_the_slow_reference(name, latents):
    for seed in range(5):
        base, latent, teacher, units, first = random_case(latents, seed=seed)
        found = LOSS_FUNCTIONS[name](base, latent, teacher, units, first)
        expected = slow(name, base, latent, teacher, units, FIRST)
        assert [float(term) for term in found] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", list(LOSS_FUNCTIONS))
def test_gradients(name):
    base, latent, teacher, units, first = random_case()

    def total(base, latent):
        terms = LOSS_FUNCTIONS[name](base, latent, teacher, units, first)
        return terms.teacher + 0.7 * terms.unit

    assert torch.autograd.gradcheck(total, (base.requires_grad_(), latent.requires_grad_()))


def test_mass_moved_between_a_token_and_its_latents_leaves_the_first_term_unchanged():
    base, latent, teacher, units, first = random_case()
    before = marginal(base, latent, teacher, units, first)
    token, mine = 4, [index for index, f in enumerate(FIRST) if f == 4]
    together = torch.cat([base[:, [token]], latent[:, mine]], dim=1).logsumexp(1, keepdim=True)
    share = torch.randn(len(base), 1 + len(mine), dtype=torch.float64).log_softmax(1)
    base, latent = base.clone(), latent.clone()
    base[:, [token]] = together + share[:, :1]
    latent[:, mine] = together + share[:, 1:]
    after = marginal(base, latent, teacher, units, first)
    assert float(after.teacher) == pytest.approx(float(before.teacher), rel=1e-12)
    assert abs(float(after.unit) - float(before.unit)) > 1e-3


def test_a_student_that_is_its_teacher_has_no_first_term():
    base, latent, _, units, first = random_case()
    terms = marginal(base, latent - 1e4, base.clone(), units % BASE, first)
    assert float(terms.teacher) == pytest.approx(0, abs=1e-10)
    assert float(terms.unit) == pytest.approx(0, abs=1e-10)


def test_extreme_logits_stay_finite():
    base, latent, teacher, units, first = random_case()
    leaves = ((base * 300).float().requires_grad_(), (latent * 300).float().requires_grad_())
    terms = marginal(*leaves, (teacher * 300).float(), units, first)
    (terms.teacher + terms.unit).backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def test_chunks_change_neither_sum_nor_gradient():
    torch.manual_seed(0)
    weights = torch.randn(11, 5, dtype=torch.float32, requires_grad=True)
    hidden = torch.randn(23, 5, requires_grad=True)

    def loss(chunk, piece, matrix):  # noqa: ARG001
        return (piece @ matrix.T).logsumexp(-1).square().sum()

    loss(None, hidden, weights).backward()
    expected = hidden.grad.clone(), weights.grad.clone()
    hidden.grad = weights.grad = None
    total = sum_over_chunks(loss, 4, hidden, weights)
    (2 * total).backward()
    with torch.no_grad():
        assert torch.allclose(total, sum_over_chunks(loss, 100, hidden, weights))
    assert torch.allclose(hidden.grad, 2 * expected[0], rtol=1e-5)
    assert torch.allclose(weights.grad, 2 * expected[1], rtol=1e-5)


def top_of(teacher, k):
    """The cache of the k likeliest tokens of the teacher's logits."""
    probabilities, ids = teacher.softmax(-1).topk(k, dim=-1)
    return TopProbabilities(ids, probabilities, (1 - probabilities.sum(-1)).clamp_min(0))


@pytest.mark.parametrize("latents", [0, 5])
@pytest.mark.parametrize("name", ["marginal", "paper"])
def test_a_cache_of_all_tokens_is_the_teacher(name, latents):
    base, latent, teacher, units, first = random_case(latents)
    whole = [x.clone().requires_grad_() for x in (base, latent)]
    kept = [x.clone().requires_grad_() for x in (base, latent)]
    exact = sum(LOSS_FUNCTIONS[name](*whole, teacher, units, first))
    cached = sum(LOSS_FUNCTIONS[name](*kept, top_of(teacher, BASE), units, first))
    assert float(cached.detach()) == pytest.approx(float(exact.detach()), rel=1e-9)
    exact.backward()
    cached.backward()
    learning = range(2 if latents else 1)
    assert all(torch.allclose(whole[at].grad, kept[at].grad, atol=1e-9) for at in learning)


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("name", ["marginal", "paper"])
def test_a_smaller_cache_compares_k_outcomes_and_the_rest(name, k):
    base, latent, teacher, units, first = random_case()
    ids, probabilities, tail = top_of(teacher, k)
    expected = 0.0
    for row in range(len(units)):
        if name == "paper" and units[row] >= BASE:
            continue
        s = torch.cat([base[row], latent[row]]).softmax(-1).tolist()
        q = s[:BASE]
        if name == "marginal":
            for latent_at, v in enumerate(FIRST):
                q[v] += s[BASE + latent_at]
        top = ids[row].tolist()
        for v, p in zip(top, probabilities[row].tolist(), strict=True):
            expected += p * math.log(p / q[v])
        rest = sum(q[v] for v in range(BASE) if v not in top)
        expected += float(tail[row]) * math.log(float(tail[row]) / rest)
    found = LOSS_FUNCTIONS[name](base, latent, TopProbabilities(ids, probabilities, tail), units, first)
    assert float(found.teacher) == pytest.approx(expected, rel=1e-9)


def test_a_cache_that_leaves_nothing_and_rows_that_are_masked_give_no_nan():
    base, latent, _, units, first = random_case()
    base[:, 7] = -torch.inf
    ids = torch.tensor([[4, 1]]).expand(len(units), -1)
    probabilities = torch.tensor([[0.75, 0.25]], dtype=torch.float64).expand(len(units), -1)
    top = TopProbabilities(ids, probabilities, torch.zeros(len(units), dtype=torch.float64))
    units = units.masked_fill(units == 7, 2)
    assert all(bool(term.isfinite()) for term in marginal(base, latent, top, units, first))


@pytest.mark.parametrize("name", list(LOSS_FUNCTIONS))
@pytest.mark.parametrize("cached", [False, True])
def test_reduced_to_first_tokens_the_loss_moves_the_latents_rows_alike(name, cached):
    """The regression over U + 2 outcomes equals the loss over all, up to a constant."""
    base, latent, teacher, units, first = random_case(positions=40, seed=3)
    small = FirstTokens(first.group, len(first.columns) + 2)
    if cached:
        said = top_of(teacher, 3)
        said_small = reduce_teacher(said, units, first)
        # A whole teacher that agrees with it: the tail is spread over tokens that are no first tokens.
        others = torch.ones_like(base).scatter(1, said.ids, 0.0).index_fill(1, first.columns, 0.0)
        rest = said.tail[:, None] * others / others.sum(-1, keepdim=True)
        said = rest.scatter(1, said.ids, said.probabilities).log().clamp_min(-1e4)
    else:
        said, said_small = teacher, reduce_teacher(teacher, units, first)
    losses = []
    for b, t, u, f in (
        (base, said, units, first),
        (reduce(base, units, first), said_small, reduce_labels(units, first), small),
    ):
        moving = latent.clone().requires_grad_()
        losses.append(torch.autograd.grad(sum(LOSS_FUNCTIONS[name](b, moving, t, u, f)), [moving])[0])
    assert torch.allclose(*losses, atol=1e-8)
