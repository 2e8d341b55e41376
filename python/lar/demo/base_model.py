"""The demo's base model: a tiny Qwen2 trained from scratch on the expert's trajectories.

What such a model learns last is to copy (an id from a tool's answer into the next call). It takes a head that
looks one token back and a later head that finds where the current token stood before and passes on what
followed (induction heads, arXiv 2209.11895). From the usual random weights neither had begun to form after
300 k tokens; `_look_back` and `_pass_on` start the heads near what they will become, and 150 k are enough.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM

from lar.corpus import Corpus
from lar.progress import Progress, silent

# Attention scores (logits) with which a head starts to prefer its position; its neighbours get about 3 less.
_POSITION_STRENGTH = 5.0


@dataclass(frozen=True)
class BaseModelOptions:
    """The model's shape and how it learns. others_weight: of the loss where the agent is not the writer."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    feed_forward: int = 384
    context: int = 1024
    embedding_std: float = 0.1
    steps: int = 800
    batch: int = 2
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    warmup_steps: int = 20
    others_weight: float = 0.1


def train_base_model(
    corpus: Corpus,
    folder: Path,
    options: BaseModelOptions | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> None:
    """Train a model on `corpus` and write its checkpoint to `folder`; `progress` counts steps."""
    options = options or BaseModelOptions()
    torch.manual_seed(seed)
    model = new_model(corpus.manifest.base_size, options)
    optimizer = _optimizer(model, options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, options))
    batches = _batches(corpus, options.batch, seed)
    model.train()
    for step in range(options.steps):
        loss = _loss(model, *next(batches), options.others_weight)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(step + 1, options.steps)
    model.eval()
    model.save_pretrained(folder)
    corpus.tokenizer.save(folder)


def new_model(vocabulary_size: int, options: BaseModelOptions) -> Any:
    """Return a model of random weights, but for a start of its heads (see this module's first lines)."""
    config = Qwen2Config(
        vocab_size=vocabulary_size,
        hidden_size=options.width,
        intermediate_size=options.feed_forward,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
        max_position_embeddings=options.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=options.embedding_std)
    first, *later = [layer.self_attn for layer in model.model.layers]
    _look_back(first, config)
    for attention in later:
        _pass_on(attention, options.width)
    return model


@torch.no_grad()
def _look_back(attention: Any, config: Any) -> None:
    """Start head h so that it attends h + 1 tokens back, whatever the tokens are.

    Rotary embeddings turn the pair f of a query at m and of a key at n by m * w_f and n * w_f. With a
    constant key (a, 0) and the query (a cos(d w_f), -a sin(d w_f)) the score is the sum over f of
    a^2 cos((m - n - d) w_f), which is largest where n lies d tokens back.
    """
    size = config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    speed = theta ** (-torch.arange(size // 2) / (size // 2))
    amplitude = math.sqrt(_POSITION_STRENGTH * math.sqrt(size))
    for head in range(config.num_attention_heads):
        angle = (head + 1) * speed
        rows = slice(head * size, (head + 1) * size)
        attention.q_proj.bias[rows] = amplitude * torch.cat([angle.cos(), -angle.sin()])
        attention.k_proj.bias[rows] = amplitude * torch.cat([torch.ones_like(angle), torch.zeros_like(angle)])


@torch.no_grad()
def _pass_on(attention: Any, width: int) -> None:
    """Start with value and output matrices that together pass on what a head finds (arXiv 2305.09828).

    The output matrix is the value matrix transposed, so what is found comes out as itself, not as a mixture.
    """
    rotation = torch.nn.init.orthogonal_(torch.empty(width, width)) / 2
    attention.v_proj.weight.copy_(rotation)
    attention.o_proj.weight.copy_(rotation.T)


def _optimizer(model: Any, options: BaseModelOptions) -> torch.optim.Optimizer:
    """AdamW; the biases, which hold the heads' positions, and the norms do not decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95))


def _rate(step: int, options: BaseModelOptions) -> float:
    """Warm up, hold, and fall to nothing over the second half."""
    rise = (step + 1) / options.warmup_steps
    fall = 2 * (options.steps - step) / options.steps
    return min(1.0, rise, fall)


def _batches(corpus: Corpus, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield batches for ever: ids (m, longest), whether each is the agent's, and whether it is no padding."""
    examples = list(_examples(corpus))
    order = np.random.default_rng(seed)
    while True:
        shuffled = order.permutation(len(examples))
        for start in range(0, len(shuffled) - size + 1, size):
            yield _pad([examples[index] for index in shuffled[start : start + size]])


def _examples(corpus: Corpus) -> Iterator[tuple[Tensor, Tensor]]:
    for shard in corpus.shards():
        for start, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
            tokens = torch.from_numpy(shard.tokens[start:end].astype(np.int64))
            yield tokens, torch.from_numpy(shard.action[start:end].copy())


def _pad(examples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    pad = torch.nn.utils.rnn.pad_sequence
    tokens = pad([tokens for tokens, _ in examples], batch_first=True)
    action = pad([action for _, action in examples], batch_first=True)
    real = pad([torch.ones_like(action) for _, action in examples], batch_first=True)
    return tokens, action, real


def _loss(model: Any, tokens: Tensor, action: Tensor, real: Tensor, others_weight: float) -> Tensor:
    """Mean cross-entropy of the next token, weighted by who wrote it. Padding on the right needs no mask."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    weight = torch.where(action, 1.0, others_weight)[:, 1:] * real[:, 1:]
    losses = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return (losses * weight.flatten()).sum() / weight.sum()
