"""A turn begins where its prompt ends, for templates that write more there than the header of a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.tokenizer.prefixes import Prefixes, prefixes
from lar.tokenizer.prompt_rows import can_replace
from lar.tokenizer.spans import Rendering, moves_text, prompts_are_plain, speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message, Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import (
    TOOL,
    agent,
    agent_steps,
    call,
    conversation,
    result,
    tokenizer_with,
    user,
)
from testing.lossy_templates import LOSSY
from testing.prompting_templates import PROMPTING, prompts_of

# Those whose prompts are always in a row: by the whole run, or by a prefix of it.
EXACT = {
    "last thought": LOSSY["last thought"],
    "open thought": PROMPTING["open thought"],
    "own thought": PROMPTING["own thought"],
    "harmony": LOSSY["harmony"],
    "last reasoning": PROMPTING["last reasoning"],
    "moved system": PROMPTING["moved system"],
    "mistral": tokenizer_with(without_tags(TEMPLATES["mistral"])),
    "chatml": tokenizer_with(without_tags(TEMPLATES["chatml"])),
}


def turns_of(found: Prefixes) -> list[tuple[str, str]]:
    """Of each learnt turn the text before it, and its own."""
    turns = []
    for spans in found.spans:
        before = ""
        for span in spans:
            if span.agent:
                turns.append((before, span.text))
            before += span.text
    return turns


def found_in(tokenizer: Tokenizer, messages: list[Message]) -> Prefixes:
    return prefixes(tokenizer, Trajectory("t", "task", messages, tools=[TOOL]))


def spoken(steps: list[tuple[bool, bool, int, bool]]) -> list[Message]:
    """A run with a message between any two turns: with none, it is unclear whose the marks are."""
    return conversation(
        [(asks or not place or not steps[place - 1][2], *rest) for place, (asks, *rest) in enumerate(steps)]
    )


@pytest.mark.parametrize("template", EXACT)
@given(steps=agent_steps)
def test_the_text_before_each_turn_is_its_prompt(template, steps):
    messages = spoken(steps)
    found = found_in(EXACT[template], messages)
    assert sorted(before for before, _ in turns_of(found)) == sorted(prompts_of(EXACT[template], messages))
    assert not found.unprompted


@pytest.mark.parametrize("template", ["harmony", "last thought", "no thought", *PROMPTING])
@given(steps=agent_steps)
def test_turns_that_are_not_behind_their_prompt_are_counted(template, steps):
    tokenizer, messages = {**LOSSY, **PROMPTING}[template], spoken(steps)
    found, prompts = found_in(tokenizer, messages), prompts_of(tokenizer, messages)
    ends = tuple(prompt[-len("assistant\n<think>\n\n</think>\n\n") :] for prompt in prompts)
    wrong = sum(not before.endswith(ends) for before, _ in turns_of(found))
    assert len(found.unprompted) == wrong


def test_what_follows_the_prompt_is_the_agents():
    messages = [user("a"), call(), result("r"), agent("1"), user("b"), agent("2")]
    called = '\n<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call><|im_end|>'
    closing = "\n</think>\n\n"
    found = found_in(PROMPTING["open thought"], messages)
    assert [text for _, text in turns_of(found)] == [
        closing + called,
        f"{closing}1<|im_end|>",
        f"{closing}2<|im_end|>",
    ]
    assert len(found.spans) == 2  # what follows a question is one row
    empty = "<think>\n\n</think>\n\n"
    texts = [text for _, text in turns_of(found_in(PROMPTING["own thought"], messages))]
    assert texts == [empty + called, f"{empty}1<|im_end|>", f"{empty}2<|im_end|>"]
    finals = [text for _, text in turns_of(found_in(LOSSY["harmony"], [user("a"), agent("1")]))]
    assert finals == ["<|channel|>final<|message|>1<|return|>"]


def test_an_answer_is_learnt_behind_what_its_agent_read():
    """gpt-oss' template drops what stands beside a call once an answer follows."""
    for beside in ({"content": "I look."}, {"reasoning_content": "I look."}):
        messages = [user("a"), {**call(), **beside}, result("r"), agent("1"), user("b"), agent("2")]
        found = found_in(LOSSY["harmony"], messages)
        turns = turns_of(found)
        assert [before for before, _ in turns] == prompts_of(LOSSY["harmony"], messages)
        assert ["I look." in before for before, _ in turns] == [False, True, False]
        assert "I look." in turns[0][1]
        assert not found.unwritten.losses


def test_a_question_is_a_row_where_the_next_one_takes_the_tools_away():
    """Mistral's templates put them before the last question."""
    messages = [message for n in range(4) for message in (user(f"q{n}"), call(), result("r"), agent(f"a{n}"))]
    found = found_in(EXACT["mistral"], messages)
    assert [before for before, _ in turns_of(found)] == prompts_of(EXACT["mistral"], messages)
    assert len(found.spans) == 4
    without = prefixes(EXACT["mistral"], Trajectory("t", "task", messages))
    assert len(without.spans) == 1


def test_a_turn_is_learnt_behind_the_system_text_that_its_prompt_has():
    """Mistral Nemo's template writes it at the end of a prompt only, so no rendering with answers has it."""
    tokenizer = PROMPTING["moved system"]
    messages = [{"role": "system", "content": "Be brief."}, user("a"), call(), result("r"), agent("1")]
    found = found_in(tokenizer, messages)
    assert [before for before, _ in turns_of(found)] == prompts_of(tokenizer, messages)
    assert ["Be brief." in before for before, _ in turns_of(found)] == [True, False]
    assert len(found_in(tokenizer, messages[1:]).spans) == 1


def test_prompts_of_plain_templates_are_not_rendered(monkeypatch):
    monkeypatch.setattr("lar.tokenizer.run_prompts.RunPrompts.of", None)
    messages = [message for n in range(3) for message in (user(f"q{n}"), agent(f"a{n}"))]
    assert len(found_in(EXACT["chatml"], messages).spans) == 1


def test_white_space_alone_costs_no_rows():
    source = PROMPTING["own thought"].chat_template or ""
    spaced = source.replace("{{- m.content }}", "{{- m.content }}{%- if not loop.last %} {%- endif %}")
    messages = [user("a"), call(content="I look."), result("r"), agent("1", reasoning_content="So.")]
    assert len(found_in(tokenizer_with(spaced), messages).spans) == 1


def test_what_the_prompt_has_already_is_not_the_agents():
    messages = [user("a"), agent("1", reasoning_content="So.")]
    found = found_in(PROMPTING["no empty thought"], messages)
    assert [text for _, text in turns_of(found)] == ["So.\n</think>\n\n1<|im_end|>"]
    assert not found.unprompted


def test_a_block_that_only_the_last_turn_has_is_left_out():
    messages = [user("a"), agent("1"), user("b"), agent("2")]
    (spans,) = found_in(LOSSY["last thought"], messages).spans
    assert "think" not in "".join(span.text for span in spans)


@pytest.mark.parametrize("template", ["no empty thought", "closed thought"])
def test_turns_without_their_prompt_cost_no_rows(template):
    messages = [message for n in range(5) for message in (user(f"q{n}"), agent(f"a{n}"))]
    found = found_in(PROMPTING[template], messages)
    assert found.unprompted == [1, 2, 3, 4, 5]
    assert len(found.spans) == 1


def test_templates_whose_prompts_end_otherwise_are_known():
    for name, source in TEMPLATES.items():
        if name != "bare":
            assert prompts_are_plain(tokenizer_with(without_tags(source))), name
            assert moves_text(tokenizer_with(without_tags(source))) == (name == "mistral"), name
    for name in ("harmony", "last thought"):
        assert not prompts_are_plain(LOSSY[name])
    for name, tokenizer in PROMPTING.items():
        assert prompts_are_plain(tokenizer) == (name in ("last reasoning", "moved system")), name
        assert moves_text(tokenizer) == (name == "moved system"), name


def test_a_call_behind_an_answer_is_not_behind_a_prompt():
    """A prompt of this template adds nothing behind a tool's result, but much behind an answer."""
    messages = [user("a"), call(), result("r"), agent("1"), call()]
    assert found_in(LOSSY["first round"], messages).unprompted == [3]


def test_turns_without_their_prompt_hide_no_lost_text():
    """Two that gained nothing by a prefix say nothing of a turn of the same form that has lost text."""
    source = PROMPTING["closed thought"].chat_template or ""
    later = "m.content if loop.index0 > ns.last else m.content.split('</think>')[-1]"
    tokenizer = tokenizer_with(source.replace("{{- m.content }}", f"{{{{- {later} }}}}"))
    thoughtful = [user("a"), agent("<think>I think of a.</think>1")]
    plain = [message for n in range(3) for message in (user(f"q{n}"), agent(f"a{n}"))]
    found = found_in(tokenizer, [*thoughtful, *plain])
    assert not found.unwritten.losses
    assert len(found.spans) == 2


def test_a_turn_that_has_the_end_of_its_prompt_is_not_put_behind_it():
    _, dialect = speaker(PROMPTING["own thought"], [TOOL])
    found = Rendering("asked:I look. done", [agent("done")], [(6, 18)], [True], dialect)
    assert not can_replace(found, 0, "thought, asked:I look. ")  # the text would be there twice
    assert can_replace(found, 0, "thought, asked:")
    assert not can_replace(found, 0, "asked: ")


@given(st.text("ab", max_size=40), st.text("ab", max_size=40))
def test_what_a_prompt_and_a_turn_share_is_found(prompt, turn):
    _, dialect = speaker(PROMPTING["own thought"], [TOOL])
    found = Rendering(f"-{turn}", [agent(turn)], [(1, 1 + len(turn))], [True], dialect)
    is_shared = any(prompt.endswith(turn[:length]) for length in range(1, len(turn) + 1))
    assert can_replace(found, 0, prompt) is not is_shared


def test_a_long_turn_is_compared_in_time():
    _, dialect = speaker(PROMPTING["own thought"], [TOOL])
    turn = "I look again. " * 100_000
    found = Rendering(f"asked:{turn}", [agent(turn)], [(6, 6 + len(turn))], [True], dialect)
    assert can_replace(found, 0, f"thought, asked:{turn[:-1]}-")
