"""Generated trajectories of a small agent, and a tokenizer for them."""

import json
import random
from collections.abc import Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    '{% for call in message.tool_calls or [] %}\n<tool_call>\n{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments }}}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}'
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CITIES = ["Lima", "Oslo", "Rome", "Cairo", "Delhi", "Kyoto", "Perth", "Quito"]


def trajectory(seed: int, task: int | None = None) -> Trajectory:
    """One run of the agent: it looks a city up, then answers."""
    chance = random.Random(seed)
    city, degrees = chance.choice(CITIES), chance.randrange(40)
    call = {"name": "get_weather", "arguments": json.dumps({"city": city, "unit": "celsius"})}
    messages = [
        {"role": "user", "content": f"How warm is it in {city}?"},
        {
            "role": "assistant",
            "content": f"I will look up the weather in {city}.",
            "tool_calls": [{"id": None, "type": "function", "function": call}],
        },
        {"role": "tool", "content": json.dumps({"degrees": degrees})},
        {
            "role": "assistant",
            "content": f"The temperature in {city} is {degrees} degrees Celsius. Anything else?",
        },
    ]
    return Trajectory(id=f"toy-{seed}", task=f"toy/{seed if task is None else task}", messages=messages)


def trajectories(number: int, first: int = 0) -> list[Trajectory]:
    """One run at each of `number` tasks."""
    return [trajectory(seed) for seed in range(first, first + number)]


def tokenizer(template: str = CHATML, size: int = 400) -> Tokenizer:
    """A byte-level tokenizer trained on 50 runs, with ChatML's special tokens."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(), trainer)
    config = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return Tokenizer(backend, config=config, chat_template=template)


def metaspace_tokenizer() -> Tokenizer:
    """A tokenizer of the Llama 2 kind for the same runs, whose decoder drops the first space of a text."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=["\n", "▁", *map(chr, range(ord("!"), ord("~") + 1))],
        show_progress=False,
    )
    backend.train_from_iterator(_texts(), trainer)
    return Tokenizer(backend, config={"eos_token": "<|im_end|>"}, chat_template=CHATML)


def _texts() -> Iterator[str]:
    for run in trajectories(50):
        yield from (message["content"] for message in run.messages)
