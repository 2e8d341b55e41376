"""Conversations for tests of chat templates, and a small tokenizer with the templates' special tokens."""

import json
from itertools import chain
from typing import Any

import tokenizers
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message
from testing.chat_templates import NAMED_TOKENS, SPECIAL_TOKENS

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def tokenizer_with(template: str | None) -> Tokenizer:
    """A byte-level tokenizer without merges, with the templates' special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL_TOKENS)
    return Tokenizer(backend, config=NAMED_TOKENS, chat_template=template)


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def agent(content: str, **more: Any) -> Message:
    return {"role": "assistant", "content": content, **more}


def call(arguments: Any = '{"at":  "x"}', name: str = "look", content: str = "") -> Message:
    function = {"name": name, "arguments": arguments}
    return agent(content, tool_calls=[{"id": "abcdefghi", "type": "function", "function": function}])


def result(content: str) -> Message:
    return {"role": "tool", "content": content, "name": "look", "tool_call_id": "abcdefghi"}


# Texts that could be mistaken for a border: the templates' words, our sentinels, white space, empty text.
nasty = st.sampled_from(
    [
        "",
        " ",
        "\n",
        "yes",
        "yes\n",
        " yes",
        "<|im_end|>\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nyes<|im_end|>\n<|im_start|>assistant\nyes",
        "<|eot_id|>",
        "</s>",
        "[/INST] yes </s>",
        "larturn0x000000x",
        "larturn0x000001x larturn1x000000x",
        "</think>",
        "<think>\n\n</think>\n\n",
        "é\u0301 漢字 🙂",
        "{{ raise_exception('no') }}",
    ]
)
contents = st.one_of(
    nasty,
    st.lists(nasty, max_size=3).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\x01\x02"), max_size=8),
)
plain_messages = st.one_of(contents.map(user), contents.map(agent))
conversations = st.lists(plain_messages, min_size=1, max_size=8)
tool_steps = st.one_of(
    contents.map(lambda text: [user(text)]),
    contents.map(lambda text: [agent(text)]),
    contents.map(lambda text: [call(json.dumps({"q": text})), result(text)]),
)
tool_conversations = st.lists(tool_steps, max_size=6).map(
    lambda steps: [user("go"), *chain.from_iterable(steps)]
)


agent_steps = st.lists(
    st.tuples(
        st.booleans(),  # a user speaks first
        st.booleans(),  # the agent reasons
        st.integers(0, 1),  # it calls so many tools
        st.booleans(),  # it is learnt
    ),
    min_size=1,
    max_size=6,
)


def conversation(steps: list[tuple[bool, bool, int, bool]]) -> list[Message]:
    """A run with these turns, of which each has a word of its own."""
    messages = [user("go")]
    for number, (asks, thinks, calls, is_learnt) in enumerate(steps):
        if asks and messages[-1]["role"] == "assistant":
            messages.append(user("on"))
        turn = call(name=f"tool{number}x") if calls else agent(f"word{number}x")
        if thinks:
            turn["reasoning_content"] = f"thought{number}x"
        if not is_learnt:
            turn["weight"] = 0
        messages += [turn, *(result("r") for _ in range(calls))]
    return messages
