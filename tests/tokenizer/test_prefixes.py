"""The prefixes of a run: each turn is learnt once, as it was written when the agent wrote it."""

import pytest
from hypothesis import given

from lar.errors import TokenizerError
from lar.tokenizer.prefixes import Prefixes, prefixes
from lar.tokenizer.spans import render, rendering
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message, Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import TOOL, agent, agent_steps, call, conversation, result, tokenizer_with, user
from testing.lossy_templates import LOSSY
from testing.prompting_templates import prompts_of

TOKENIZERS = {**LOSSY, "chatml": tokenizer_with(without_tags(TEMPLATES["chatml"]))}
QWEN3 = LOSSY["last thought"]


def run(messages: list[Message]) -> Trajectory:
    return Trajectory("t", "task", messages, tools=[TOOL])


def learnt(found: Prefixes) -> list[list[str]]:
    return [[span.text for span in spans if span.agent] for spans in found.spans]


def test_each_turn_keeps_its_reasoning_and_is_learnt_once():
    messages = [
        user("one"),
        agent("1", reasoning_content="I think of one."),
        user("two"),
        {**call(), "reasoning_content": "I look for two."},
        result("2"),
        agent("2", reasoning_content="I have found two."),
        user("three"),
        agent("3"),
    ]
    found = prefixes(QWEN3, run(messages))
    assert learnt(found) == [
        ["<think>\nI think of one.\n</think>\n\n1<|im_end|>"],
        [
            "<think>\nI look for two.\n</think>\n\n"
            '\n<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call><|im_end|>',
            "<think>\nI have found two.\n</think>\n\n2<|im_end|>",
        ],
        ["3<|im_end|>"],
    ]
    assert not found.unwritten.losses
    assert found.unwritten.reasoning == sum(len(turn.get("reasoning_content", "")) for turn in messages)


def test_reasoning_in_the_text_is_kept_in_the_same_way():
    thoughts = [f"<think>\nI think of {n}.\n</think>\n\n" for n in range(3)]
    messages = [m for n in range(3) for m in (user(f"q{n}"), agent(f"{thoughts[n]}a{n}"))]
    found = prefixes(QWEN3, run(messages))
    assert learnt(found) == [[f"{thought}a{n}<|im_end|>"] for n, thought in enumerate(thoughts)]
    assert not found.unwritten.losses


def test_a_turn_of_weight_0_is_learnt_in_no_prefix():
    messages = [user("a"), agent("1", reasoning_content="Why?", weight=0), user("b"), agent("2")]
    found = prefixes(QWEN3, run(messages))
    assert learnt(found) == [["2<|im_end|>"]]
    assert not found.unwritten.losses  # an engine has read it when it was written


@pytest.mark.parametrize("weight", [0, 1])
def test_a_turn_without_reasoning_is_learnt_beside_that_which_was_there(weight):
    first = [user("a"), {**call(), "reasoning_content": "I look.", "weight": weight}, result("r"), agent("1")]
    messages = [*first, user("b"), agent("2", reasoning_content="So.")]
    found = prefixes(QWEN3, run(messages))
    one, two = ["".join(span.text for span in spans) for spans in found.spans]
    assert one == rendering(QWEN3, run(first)).text
    assert "I look." in one
    assert two == rendering(QWEN3, run(messages)).text
    assert [texts[-1] for texts in learnt(found)] == ["1<|im_end|>", "<think>\nSo.\n</think>\n\n2<|im_end|>"]
    assert len(learnt(found)[0]) == 1 + weight


def test_reasoning_that_recurs_in_the_answer_is_restored():
    answer = "The capital of France is Paris."
    messages = [user("a"), agent(answer, reasoning_content="Paris"), user("b"), agent("2")]
    found = prefixes(QWEN3, run(messages))
    assert learnt(found) == [[f"<think>\nParis\n</think>\n\n{answer}<|im_end|>"], ["2<|im_end|>"]]
    assert not found.unwritten.losses


def test_long_runs_are_rendered_once_for_each_prefix(monkeypatch):
    rendered = []

    def counted(tokenizer, trajectory, end=None):
        rendered.append(end)
        return rendering(tokenizer, trajectory, end)

    monkeypatch.setattr("lar.tokenizer.prefixes.rendering", counted)
    turns = [[user(f"q{n}"), agent(f"a{n}", reasoning_content=f"I think of {n}.")] for n in range(30)]
    messages = [message for turn in turns for message in turn]
    assert len(prefixes(QWEN3, run(messages)).spans) == 30
    assert len(rendered) == 1 + 30  # and whether the first that was looked for is in a longer one
    rendered.clear()
    assert len(prefixes(TOKENIZERS["chatml"], run(messages)).spans) == 1
    assert len(rendered) == 3  # a template that never writes it is tried twice


def test_what_follows_the_last_turn_is_left_out_where_it_drops_the_reasoning():
    messages = [user("a"), agent("1", reasoning_content="Why?"), user("b")]
    found = prefixes(QWEN3, run(messages))
    assert found.spans == [render(QWEN3, run(messages[:2]))]


def test_what_no_prefix_has_is_counted_and_costs_no_rows():
    messages = [
        user("a"),
        agent("1", reasoning_content="Why?"),
        user("b"),
        agent("2", reasoning_content="So!"),
    ]
    found = prefixes(TOKENIZERS["chatml"], run(messages))
    assert found.spans == [render(TOKENIZERS["chatml"], run(messages))]
    assert sum(loss.characters for loss in found.unwritten.losses) == len("Why?So!")


@pytest.mark.parametrize("template", sorted(TOKENIZERS))
@given(steps=agent_steps)
def test_each_turn_is_learnt_once_as_the_template_writes_it_at_that_time(template, steps):
    tokenizer, messages = TOKENIZERS[template], conversation(steps)
    try:
        found = prefixes(tokenizer, run(messages))
    except TokenizerError:
        assert template == "alternating"
        return
    check_texts(tokenizer, messages, found)
    written = [text for texts in learnt(found) for text in texts]
    turns = [message for message in messages if message["role"] == "assistant"]
    ends = [place + 1 for place, message in enumerate(messages) if message["role"] == "assistant"]
    for number, (turn, end) in enumerate(zip(turns, ends, strict=True)):
        holding = [text for text in written if f"word{number}x" in text or f"tool{number}x" in text]
        assert len(holding) == (turn.get("weight") != 0)
        if holding and turn.get("reasoning_content"):
            assert (f"thought{number}x" in holding[0]) is could_hold(tokenizer, messages, end, number)


def check_texts(tokenizer: Tokenizer, messages: list[Message], found: Prefixes) -> None:
    """The rows are renderings of the first messages, or a prompt and a turn; the longest of them is last."""
    texts = ["".join(span.text for span in spans) for spans in found.spans]
    known = [
        one.text for end in range(len(messages) + 1) if (one := rendered_or_none(tokenizer, messages, end))
    ]
    behind = prompts_of(tokenizer, messages)
    alone = [text for text, spans in zip(texts, found.spans, strict=True) if text not in known]
    assert set(alone) <= {
        prompt + spans[-1].text for spans in found.spans for prompt in behind if len(spans) == 2
    }
    places = [known.index(text) for text in texts if text in known]
    assert places == sorted(set(places))
    if len(texts) == 1 and not any(learnt(found)):
        assert texts == known[-1:]


def rendered_or_none(tokenizer: Tokenizer, messages: list[Message], end: int):
    try:
        return rendering(tokenizer, run(messages), end)
    except TokenizerError:
        return None


def could_hold(tokenizer: Tokenizer, messages: list[Message], end: int, number: int) -> bool:
    """Whether the turn has its reasoning in the whole run, or in the prefix that ends with it."""
    found = [rendering(tokenizer, run(messages)), rendered_or_none(tokenizer, messages, end)]
    return any(one is not None and f"thought{number}x" in one.written[number] for one in found)
