"""A conversation piece by piece is the text that the chat template renders for all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.agents.chat_text import ChatText
from benches.agents.worlds.world import Opening
from lar.tokenizer import ChatTemplate
from testing import toy

WORDS = st.text(alphabet="abc <>|\né", max_size=12)


@given(
    opening=st.lists(st.tuples(st.sampled_from(["system", "user"]), WORDS), min_size=1, max_size=3),
    turns=st.lists(st.tuples(WORDS, WORDS, st.booleans()), max_size=4),
)
def test_the_pieces_and_the_replies_are_the_whole_text(opening, turns):
    tokenizer = toy.tokenizer()
    messages = [{"role": role, "content": content} for role, content in opening]
    chat = ChatText(tokenizer, Opening(messages))
    text = chat.heard
    for reply, observation, ended in turns:
        end = "<|im_end|>" if ended else ""
        heard = {"role": "user", "content": observation}
        chat.hear(heard, end)
        text += reply + end + chat.heard
        messages = [*messages, {"role": "assistant", "content": reply}, heard]
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    assert text == template.render(messages, add_generation_prompt=True)


def test_a_template_that_rewrites_earlier_turns_is_refused():
    template = "{{ messages | length }}" + toy.CHATML
    chat = ChatText(toy.tokenizer(template), Opening([{"role": "user", "content": "a"}]))
    with pytest.raises(ValueError, match="rewrites earlier turns"):
        chat.hear({"role": "user", "content": "b"}, "<|im_end|>")


def test_a_template_that_ends_turns_otherwise_is_refused():
    chat = ChatText(toy.tokenizer(), Opening([{"role": "user", "content": "a"}]))
    with pytest.raises(ValueError, match="does not end a turn as the model did"):
        chat.hear({"role": "user", "content": "b"}, "</s>")
