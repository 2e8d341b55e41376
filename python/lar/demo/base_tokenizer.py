"""The demo's tokenizer: byte-level BPE with a common pre-tokenizer, and ChatML."""

from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from lar.demo.expert import text_of
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory

END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"

# The pre-tokenizer of GPT-4 and Llama 3: merges stay within words, and a token has at most three digits.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)

# ChatML, with tool calls in the format of Hermes and Qwen.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def train_tokenizer(trajectories: Iterable[Trajectory], *, size: int = 2048) -> Tokenizer:
    """Train a tokenizer of at most `size` ids on the text of `trajectories`."""
    backend = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, letters])
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(_texts(trajectories), _trainer(size))
    return Tokenizer(
        backend,
        config={
            "eos_token": END_OF_TURN,
            "pad_token": END_OF_TEXT,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
        chat_template=CHAT_TEMPLATE,
    )


def _trainer(size: int) -> trainers.BpeTrainer:
    names = (END_OF_TEXT, START_OF_TURN, END_OF_TURN)
    return trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(name, special=True) for name in names],
        show_progress=False,
    )


def _texts(trajectories: Iterable[Trajectory]) -> Iterator[str]:
    """Yield the text that the template writes, without special tokens, which the trainer would merge."""
    for trajectory in trajectories:
        for message in trajectory.messages:
            yield f"{message['role']}\n{text_of(message)}"
