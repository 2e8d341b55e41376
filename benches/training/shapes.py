"""Models of public architectures with random weights, and the number of their floating-point operations."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config

from lar.models.device import choose_dtype


@dataclass(frozen=True)
class Shape:
    """The dimensions of a decoder, from its published configuration."""

    family: str
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    context: int
    rope_theta: float
    tied: bool = False

    def config(self, rows: int) -> PreTrainedConfig:
        """The configuration with `rows` embedding rows (the tokenizer's; checkpoints may have more)."""
        classes = {"qwen3": Qwen3Config, "llama": LlamaConfig}
        return classes[self.family](
            vocab_size=rows,
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            head_dim=self.head_size,
            max_position_embeddings=self.context,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            tie_word_embeddings=self.tied,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )


SHAPES = {
    "qwen3-8b": Shape("qwen3", 4096, 12288, 36, 32, 8, 128, 40960, 1e6),
    "llama-3.1-8b": Shape("llama", 4096, 14336, 32, 32, 8, 128, 131072, 5e5),
    "smollm2-135m": Shape("llama", 576, 1536, 30, 9, 3, 64, 8192, 1e5, tied=True),
    "row-cost": Shape("qwen3", 1024, 3072, 4, 16, 8, 64, 8192, 1e6),
    "small": Shape("qwen3", 512, 1536, 12, 8, 4, 64, 8192, 1e6),
    "tiny": Shape("qwen3", 48, 96, 2, 4, 2, 12, 1024, 1e6),
}


def padded_rows(base_size: int) -> int:
    """Embedding rows of a model for so many ids: published models pad them to a multiple of 128."""
    return -(-base_size // 128) * 128


def random_model(shape: Shape, rows: int, device: torch.device) -> Any:
    """A model of that shape on `device`: in bfloat16 where that is native, else in float32."""
    dtype = choose_dtype("auto", device, 8 * shape.width * shape.inner * shape.layers)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(shape.config(rows), dtype=dtype)
    return model.requires_grad_(False).eval()


def multiplied_parameters(shape: Shape, rows: int) -> tuple[int, int]:
    """Numbers of parameters that multiply a token: in the layers, and in the head."""
    attention = shape.width * shape.head_size * 2 * (shape.heads + shape.key_heads)
    return shape.layers * (attention + 3 * shape.width * shape.inner), rows * shape.width


def forward_operations(shape: Shape, rows: int, lengths: list[int]) -> float:
    """Floating-point operations of a forward pass over causal sequences: 2 per parameter, plus attention.

    A token at position t multiplies its query by t + 1 keys and sums t + 1 values. Operations linear in the
    width, such as norms, are left out.
    """
    tokens = sum(lengths)
    attended = sum(length * (length + 1) / 2 for length in lengths)
    return (
        2.0 * sum(multiplied_parameters(shape, rows)) * tokens
        + 4.0 * shape.layers * shape.heads * shape.head_size * attended
    )
