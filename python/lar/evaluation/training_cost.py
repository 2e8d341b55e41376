"""What distilling would take on a model of a given shape: arithmetic, not a measurement."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Floating-point operations a second in bfloat16, as the maker of the H100 SXM states them, and the share of
# them that training runs usually reach. Neither was measured with this package.
PEAK = 989e12
UTILISATION = 0.4
# For each token and parameter: the teacher's forward pass 2, the student's 2, its backward pass through
# frozen weights 2 (activations alone) and through the new ones almost nothing.
OPERATIONS = 6


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """parameters: of the model. hours: on one GPU of `PEAK` for `tokens` tokens. weights_gib: in bfloat16."""

    parameters: int
    tokens: int
    hours: float
    weights_gib: float

    def to_dict(self) -> dict[str, Any]:
        """The cost as JSON-ready values."""
        return asdict(self)


def training_cost(folder: Path, tokens: int) -> TrainingCost | None:
    """The cost of distilling on `tokens` tokens; None where `folder` has no config.json of a known shape."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        parameters = _parameters({**config, **config.get("text_config", {})})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    hours = OPERATIONS * parameters * tokens / (PEAK * UTILISATION) / 3600
    return TrainingCost(parameters, tokens, hours, 2 * parameters / 2**30)


def _parameters(config: dict[str, Any]) -> int:
    """The parameters of a dense decoder as Llama and Qwen are: attention, gated feed-forward, embeddings."""
    hidden, layers, inner = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    shared = config.get("num_key_value_heads") or heads
    attention = 2 * hidden * heads * head + 2 * hidden * shared * head
    embeddings = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return int(layers * (attention + 3 * hidden * inner) + embeddings)
