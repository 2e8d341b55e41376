"""The export of a toy agent's student, whose greedy replies have large margins."""

from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from lar import distill
from lar.corpus import Corpus
from lar.distillation import DistillOptions
from lar.mining.mine import mine
from lar.serving.export import export
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

QUESTION = [{"role": "user", "content": "How warm is it in Lima?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "How warm it is in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
                "required": ["city", "unit"],
            },
        },
    }
]
_HEAD = 32  # CPU kernels of engines need head sizes that are multiples of 32


def assert_is_call(call: dict[str, Any]) -> None:
    """Assert that the call is the agent's; the city may be wrong, since the model is small."""
    assert call["name"] == "get_weather"
    assert call["arguments"]["unit"] == "celsius"
    assert call["arguments"]["city"] in toy.CITIES


def make(folder: Path) -> Path:
    """Train a teacher, mine, distil and export (half a minute); returns the export's folder."""
    corpus = Corpus.build(toy.trajectories(60), toy.tokenizer(), folder / "corpus")
    with tiny.one_thread():
        teacher = _teacher(corpus)
        teacher.save_pretrained(folder / "teacher")
        corpus.tokenizer.save(folder / "teacher")
        options = DistillOptions(
            loss="sft", max_steps=80, max_length=256, learning_rate=3e-3, row_learning_rate=3e-2, device="cpu"
        )
        distill(corpus, folder / "teacher", _vocabulary(corpus), options, folder / "student")
        return export(folder / "student", folder / "toy").folder


def _vocabulary(corpus: Corpus) -> LatentVocabulary:
    """Latents shorter than a turn; otherwise each of the agent's few turns would be one latent."""
    return mine(corpus, size=8, max_length=24)


def _teacher(corpus: Corpus) -> LlamaForCausalLM:
    set_seed(0)
    end = corpus.tokenizer.backend.token_to_id("<|im_end|>")
    config = LlamaConfig(
        vocab_size=corpus.tokenizer.base_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=_HEAD,
        max_position_embeddings=4096,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    return tiny.trained(LlamaForCausalLM(config), corpus, steps=240)
