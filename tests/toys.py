"""A tokenizer, an agent's logs, latents and a model, all small enough to train within a test."""

from pathlib import Path

import numpy as np
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM, set_seed

from lar.corpus import Corpus
from lar.tokenization import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.vocabulary import Latent, LatentVocabulary

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
COLOURS = ("red", "green", "blue", "white")


def trajectories(count: int = 24) -> list[Trajectory]:
    """An agent that looks for things in boxes, always in the same words."""
    return [
        Trajectory(id=f"t{i}", task=f"task{i}", messages=_messages(i), success=True) for i in range(count)
    ]


def _messages(i: int) -> list[dict]:
    colour, number = COLOURS[i % 4], i % 7
    return [
        {"role": "system", "content": "You open boxes."},
        {"role": "user", "content": f"Find the {colour} box, number {number}."},
        {"role": "assistant", "content": f"I will look at the {colour} box now."},
        {"role": "user", "content": f"You see number {number}."},
        {"role": "assistant", "content": f"I will take number {number} and stop."},
    ]


def tokenizer(base_size: int = 320) -> Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [m["content"] for t in trajectories() for m in t.messages]
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return Tokenizer(
        backend,
        config={"eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"},
        chat_template=TEMPLATE,
        model_vocab_size=base_size,
    )


def corpus(path: Path | None = None, count: int = 24) -> Corpus:
    return Corpus.build(trajectories(count), tokenizer(), path, workers=1, shard_tokens=600)


def vocabulary(texts: tuple[str, ...] = ("I will look at", "I will take", " box now.", " and stop.")) -> LatentVocabulary:
    own = tokenizer()
    latents = []
    for index, text in enumerate(texts):
        tokens = tuple(int(i) for i in own.encode(text))
        latents.append(Latent(own.base_size + index, tokens, text, 1, 1, 1))
    return LatentVocabulary(tuple(latents), own.base_size, own)


def model(*, tied: bool = False, family: str = "llama", rows: int = 320, seed: int = 0):
    """About 100,000 parameters, float32."""
    set_seed(seed)
    shape = {
        "vocab_size": rows,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": tied,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=16)).eval()
    return LlamaForCausalLM(LlamaConfig(**shape)).eval()


def sequence(length: int, seed: int = 0, size: int = 300) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, size, (1, length)))
