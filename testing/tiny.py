"""Models of about 100,000 parameters, and a teacher trained on the toy agent's text."""

import shutil
from contextlib import contextmanager
from copy import deepcopy as copied
from pathlib import Path

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from lar.corpus import Corpus
from lar.distillation.data import Examples
from lar.models.hidden_states import hidden_states
from lar.vocabulary.vocabulary import LatentVocabulary


def model(rows: int, *, tied: bool = False, family: str = "llama", seed: int = 0):
    """A model with random weights in float32."""
    set_seed(seed)
    shape = _shape(rows, tied=tied)
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=12)).eval()
    return LlamaForCausalLM(LlamaConfig(**shape)).eval()


def _shape(rows: int, *, tied: bool = False):
    return {
        "vocab_size": rows,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.1,
        "tie_word_embeddings": tied,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


# What the configurations of other families need for a small model.
_LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32}
FAMILIES = {
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "gemma3_text": {"head_dim": 16, "sliding_window": 8},
    "qwen2_moe": {"num_experts": 4, **_EXPERTS},
    "bloom": {"n_layer": 2, "n_head": 4},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8, "head_dim": 16},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 6, "head_dim": 16, "state_size": 16, "n_groups": 1, "chunk_size": 16},
    "qwen3_5_text": {"head_dim": 16, **_LINEAR},
    "qwen3_next": {"head_dim": 16, "num_experts": 4, **_EXPERTS, **_LINEAR},
}


def of_family(family: str, rows: int, **others):
    """A model of one of FAMILIES, with random weights in float32; skips what this transformers has not.

    Another family needs `others`, further fields of its configuration.
    """
    if family not in CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {family}")
    set_seed(0)
    config = AutoConfig.for_model(family, **{**_shape(rows), **FAMILIES.get(family, {}), **others})
    return AutoModelForCausalLM.from_config(config).float().eval()


def with_vision(rows: int):
    """A model whose language model stands beside a vision tower, with random weights in float32."""
    set_seed(0)
    text = {**_shape(rows, tied=True), "head_dim": 16, "sliding_window": 64}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model(
        "gemma3",
        text_config=text,
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=rows - 1,
    )
    return AutoModelForCausalLM.from_config(config).float().eval()


@torch.no_grad()
def padded(narrow, rows: int):
    """The same model with `rows` embedding rows; those of the padding would win nearly every argmax."""
    wide = copied(narrow)
    wide.resize_token_embeddings(rows, mean_resizing=False)
    count = narrow.config.vocab_size
    for matrix in (wide.get_input_embeddings().weight, wide.get_output_embeddings().weight):
        matrix[count:] = 20 * torch.randn(rows - count, matrix.shape[1], generator=torch.manual_seed(0))
    return wide


@contextmanager
def one_thread():
    """Compute on one thread within the block: matrices this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def no_latents(corpus: Corpus) -> LatentVocabulary:
    return LatentVocabulary((), corpus.tokenizer)


def teacher(corpus: Corpus, steps: int = 60):
    """A model whose weights are all trained for `steps` steps: it predicts the text fairly well."""
    return trained(model(corpus.tokenizer.base_size), corpus, steps)


def trained(student, corpus: Corpus, steps: int):
    """The model after `steps` steps of all its weights, on one conversation each."""
    rows = [torch.from_numpy(e.tokens)[None] for e in Examples(corpus, no_latents(corpus), 512)]
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for step in range(steps):
        ids = rows[step % len(rows)]
        logits = student.lm_head(hidden_states(student, ids))[0, :-1]
        torch.nn.functional.cross_entropy(logits, ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return student.eval()


def copy(corpus: Corpus, folder: Path) -> Corpus:
    """A copy of the corpus in `folder`, for tests that write to it."""
    shutil.copytree(corpus.path, folder)
    return Corpus.load(folder)


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
