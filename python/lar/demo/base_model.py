"""The demo's base model: a tiny Llama trained from scratch on the expert's trajectories.

Such a model learns last to copy (a name from the ticket into a call). With the usual random weights it did
not copy after 400 steps of eight trajectories. With attention layers initialized near the identity ("mimetic
initialization", arXiv 2305.09828) it solved 98 of 100 unseen tickets after 300 steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from lar.corpus import Corpus
from lar.models.causal_lm import no_bar
from lar.utils.progress import Progress, silent


@dataclass(frozen=True)
class BaseModelOptions:
    """The model's shape and its training: `batch` trajectories a step, with loss on the agent's tokens."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    feed_forward: int = 384
    context: int = 1024
    steps: int = 300
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 20


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
    model = new_model(corpus.tokenizer.base_size, options)
    optimizer = _optimizer(model, options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, options))
    batches = _batches(corpus, options.batch, seed)
    model.train()
    for step in range(options.steps):
        loss = _loss(model, *next(batches))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(step + 1, options.steps)
    model.eval()
    with no_bar():
        model.save_pretrained(folder)
    corpus.tokenizer.save(folder)


def new_model(vocabulary_size: int, options: BaseModelOptions) -> Any:
    """Return a model with random weights, whose attention layers copy (see the module's docstring)."""
    config = LlamaConfig(
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
    model = LlamaForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.05)
    for layer in model.model.layers:
        _start_copying(layer.self_attn, options.width)
        for part in (layer.mlp.gate_proj, layer.mlp.up_proj):
            torch.nn.init.normal_(part.weight, std=options.width**-0.5)
        torch.nn.init.normal_(layer.mlp.down_proj.weight, std=0.01)
    return model


@torch.no_grad()
def _start_copying(attention: Any, width: int) -> None:
    """Initialize the layer so that equal tokens attend to each other, and attended tokens are copied.

    The output matrix is the transposed value matrix. Queries and keys are the same rotation, halved.
    """
    value = torch.nn.init.orthogonal_(torch.empty(width, width))
    attention.v_proj.weight.copy_(value)
    attention.o_proj.weight.copy_(value.T)
    query = torch.nn.init.orthogonal_(torch.empty(width, width)) / 2
    attention.q_proj.weight.copy_(query)
    attention.k_proj.weight.copy_(query)


def _optimizer(model: Any, options: BaseModelOptions) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, betas=(0.9, 0.95), weight_decay=options.weight_decay
    )


def _rate(step: int, options: BaseModelOptions) -> float:
    """The learning rate's factor: warm up, hold, and fall to 0 over the second half."""
    rise = (step + 1) / options.warmup_steps
    fall = 2 * (options.steps - step) / options.steps
    return min(1.0, rise, fall)


def _batches(corpus: Corpus, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield batches endlessly: ids (m, longest), the mask of the agent's tokens, and the mask of tokens.

    m is `size`, or the number of all trajectories where these are fewer.
    """
    examples = list(_examples(corpus.training))
    size = min(size, len(examples))
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


def _loss(model: Any, tokens: Tensor, action: Tensor, real: Tensor) -> Tensor:
    """Mean cross-entropy of the agent's tokens. Padding on the right needs no mask."""
    supervised = (action & real)[:, 1:]
    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]
    return cross_entropy(model.lm_head(hidden[supervised]), tokens[:, 1:][supervised])
