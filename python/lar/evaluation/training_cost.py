"""What distilling would take on a model of a given shape: arithmetic, not a measurement."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.corpus.windows import windows

# Floating-point operations a second in bfloat16, as the maker of the H100 SXM states them (the H200 has the
# same), and the share of them that plain LoRA reached on an H200 with Qwen3-8B's shape: 6,216 tokens a second
# (docs/results/training.md, "The cost of training").
PEAK = 989e12
UTILISATION = 0.31
# For each token and parameter: the forward pass 2, the same once more for gradient checkpointing, the
# backward pass through frozen weights 2 (activations alone) and through the new ones almost nothing. A loss
# with a teacher takes 2 more for the teacher's pass.
OPERATIONS = 6
RANK = 16  # of LoRA, the default of distilling
# Of each parameter that is trained, in float32: itself, its gradient and Adam's two moments.
TRAINED_BYTES = 16

# Any of these in a configuration is a mixture of experts, with more matrices in a layer than a dense model.
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size")


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """parameters: of the model. hours: on one GPU of `PEAK` for `tokens` tokens.

    weights_gib: of the frozen model in bfloat16. trained_gib: of the new rows and LoRA, with gradients and
    moments. Activations come on top.
    """

    parameters: int
    tokens: int
    hours: float
    weights_gib: float
    trained_gib: float

    def to_dict(self) -> dict[str, Any]:
        """The cost as JSON-ready values."""
        return asdict(self)


def tokens_read(corpus: Corpus, max_length: int) -> int:
    """The base tokens of one pass of training, which reads windows of at most `max_length`.

    A long run is read in several windows that repeat its head and some context (see `lar.corpus.windows`).
    With 2,048, runs of 20,000 tokens are read 1.5 times. Text that is far from the agent's next turn is left
    out, and so is all text of a run without a turn of the agent.
    """
    return sum(
        len(window)
        for shard in corpus.shards()
        for begin, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True)
        for window in windows(shard.action[begin:end], max_length)
    )


def training_cost(folder: Path, tokens: int, latents: int) -> TrainingCost | None:
    """The cost of distilling `latents` latents, for which `tokens` tokens are read.

    None where `folder` has no config.json of a known shape, which is that of a dense decoder.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = {**config, **config.get("text_config", {})}
        layers, matrices = config["num_hidden_layers"], _matrices(config)
        width, tied = config["hidden_size"], bool(config.get("tie_word_embeddings"))
        parameters = layers * sum(a * b for a, b in matrices) + config["vocab_size"] * width * (2 - tied)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    if any(config.get(name) for name in EXPERTS):
        return None
    # A latent has a row in the embedding and one in the output layer, also where the base ties the two.
    trained = 2 * latents * width + layers * sum(RANK * (a + b) for a, b in matrices)
    hours = OPERATIONS * parameters * tokens / (PEAK * UTILISATION) / 3600
    return TrainingCost(parameters, tokens, hours, 2 * parameters / 2**30, TRAINED_BYTES * trained / 2**30)


def _matrices(config: dict[str, Any]) -> list[tuple[int, int]]:
    """Inputs and outputs of a layer's matrices, for a dense decoder as Llama and Qwen are."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    shared = config.get("num_key_value_heads") or heads
    attention = [
        (hidden, heads * head),
        (hidden, shared * head),
        (hidden, shared * head),
        (heads * head, hidden),
    ]
    return [*attention, (hidden, inner), (hidden, inner), (inner, hidden)]
