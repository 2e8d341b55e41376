"""What a chat template leaves out of the agent's text is counted: characters in are those kept and lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TokenizerError
from lar.tokenizer.spans import Rendering, rendering
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten, unwritten
from lar.trajectories.schema import Message, Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import TOOL, agent, call, result, tokenizer_with, user
from testing.lossy_templates import LOSSY

CHATML = tokenizer_with(without_tags(TEMPLATES["chatml"]))
DESCRIBED = {"type": "function", "function": {"name": "look", "description": "Look."}}


def rendered(tokenizer: Tokenizer, messages: list[Message], tools=None) -> Rendering:
    return rendering(tokenizer, Trajectory("t", "task", messages, tools=tools))


def lost_in(whole: Rendering) -> Unwritten:
    return unwritten("t", whole.turns, whole.written, whole.dialect)


def agent_texts(tokenizer: Tokenizer, messages: list[Message], tools=None) -> list[str]:
    return [span.text for span in rendered(tokenizer, messages, tools).spans() if span.agent]


def losses(tokenizer: Tokenizer, messages: list[Message], tools=None) -> dict[str, int]:
    found = lost_in(rendered(tokenizer, messages, tools))
    assert [
        line.partition(":")[0].removeprefix("the chat template leaves out ") for line in found.lines()
    ] == [loss.kind for loss in found.losses]
    return {loss.kind: loss.characters for loss in found.losses}


def two_calls(*arguments: str, content: str = "") -> Message:
    calls = [one["tool_calls"][0] for one in map(call, arguments)]
    return agent(content, tool_calls=calls)


THOUGHT = "I must count, before I can answer."
BESIDE = "I look."


@pytest.mark.parametrize("template", LOSSY)
def test_reasoning_before_a_call_is_kept_or_counted(template):
    messages = [user("go"), {**call(), "reasoning_content": THOUGHT}, result("one"), agent("done")]
    texts, lost = agent_texts(LOSSY[template], messages), losses(LOSSY[template], messages)
    kept = template in ("last thought", "no thought")
    assert (THOUGHT in texts[0]) is kept
    assert lost == ({} if kept else {"reasoning of earlier turns": len(THOUGHT)})
    assert len(texts) == 2
    header = "<|channel|>final<|message|>" if template == "harmony" else ""
    assert texts[1].startswith(f"{header}done")


@pytest.mark.parametrize("template", LOSSY)
def test_text_beside_a_call_is_kept_or_counted(template):
    messages = [user("go"), call(content=BESIDE), result("one"), agent("done")]
    kept = template not in ("harmony", "one call", "nine letters")
    assert (BESIDE in agent_texts(LOSSY[template], messages)[0]) is kept
    assert losses(LOSSY[template], messages) == ({} if kept else {"text beside a call": len(BESIDE)})


@pytest.mark.parametrize("template", sorted({*LOSSY} - {"one call"}))  # it refuses two calls
@pytest.mark.parametrize("second", ['{"at": "y"}', '{"at": "x"}'], ids=["another", "the same"])
def test_a_second_call_is_kept_or_counted(template, second):
    messages = [user("go"), two_calls('{"at": "x"}', second), result("one"), result("two"), agent("done")]
    lost = losses(LOSSY[template], messages)
    assert lost == ({"calls after the first of a turn": 15} if template == "harmony" else {})
    assert agent_texts(LOSSY[template], messages)[0].count("look") == (1 if template == "harmony" else 2)


def test_both_text_and_reasoning_beside_a_call_are_accepted():
    messages = [
        user("go"),
        {**call(content=BESIDE), "reasoning_content": THOUGHT},
        result("one"),
        agent("done"),
    ]
    assert losses(LOSSY["harmony"], messages) == {
        "reasoning of earlier turns": len(THOUGHT),
        "text beside a call": len(BESIDE),
    }
    without_answer = messages[:-1]
    assert losses(LOSSY["harmony"], without_answer) == {"reasoning of the last turn": len(THOUGHT)}
    assert BESIDE in agent_texts(LOSSY["harmony"], without_answer)[0]


def test_each_round_of_tools_is_the_agents():
    rounds = [[call(json.dumps({"at": n}), content=f"Round {n}."), result(str(n))] for n in range(3)]
    messages = [user("go"), *rounds[0], *rounds[1], agent("so far"), user("on"), *rounds[2], agent("done")]
    texts = agent_texts(LOSSY["first round"], messages)
    assert texts == [
        'Round 0.<|calls|><|call|>look\n{"at": 0}<|/call|><|/calls|></s>',
        '<|call|>look\n{"at": 1}<|/call|><|/calls|></s>',
        "so far</s>",
        '<|call|>look\n{"at": 2}<|/call|><|/calls|></s>',
        "done</s>",
    ]
    assert losses(LOSSY["first round"], messages) == {"text beside a call": 2 * len("Round 1.")}


def test_a_call_without_a_header_of_its_own_is_the_agents_in_each_place():
    messages = [user("go"), call(), result("one"), call(name="more"), result("two"), agent("done")]
    written = '<|channel|>commentary json<|message|>{"at": "x"}<|call|>'
    assert agent_texts(LOSSY["harmony"], messages, [DESCRIBED]) == [
        f" to=functions.look{written}",
        f" to=functions.more{written}",
        "<|channel|>final<|message|>done<|return|>",
    ]


def test_reasoning_that_replaces_an_empty_block_is_the_agents():
    messages = [user("go"), agent("well", reasoning_content="so"), user("on"), agent("done")]
    assert agent_texts(LOSSY["no thought"], messages) == [
        "so\n</think>\n\nwell<|im_end|>",
        "done<|im_end|>",
    ]


def test_reasoning_of_earlier_and_of_the_last_turn_are_apart():
    turns = [[user(f"q{n}"), agent(f"a{n}", reasoning_content=f"I think of {n}.")] for n in range(4)]
    messages = [message for turn in turns for message in turn]
    assert losses(LOSSY["last thought"], messages) == {"reasoning of earlier turns": 3 * 13}
    found = lost_in(rendered(CHATML, messages))
    assert [(loss.kind, loss.characters, loss.turns, loss.first_turn) for loss in found.losses] == [
        ("reasoning of earlier turns", 39, 3, 1),
        ("reasoning of the last turn", 13, 1, 4),
    ]
    assert (found.reasoning, found.text, found.calls) == (52, 8, 0)
    assert next(found.lines()) == (
        "the chat template leaves out reasoning of earlier turns: 39 of 52 characters of the agent's "
        "reasoning (75.0%), in 3 turns; the first: trajectory t, agent turn 1"
    )


@pytest.mark.parametrize("thought", ["<think>\nI think of it\n</think>\n\n", "<think>I think of it</think>"])
def test_reasoning_within_the_text_is_apart(thought):
    messages = [user("go"), agent(f"{thought}well"), user("on"), agent(f"{thought}done")]
    assert losses(LOSSY["last thought"], messages) == {"reasoning within the text": len("I think of it")}
    assert losses(CHATML, messages) == {}


@pytest.mark.parametrize("template", LOSSY)
def test_white_space_is_not_a_loss(template):
    thought = " I must\n\n count.\n"
    messages = [user("go"), agent("\n\n a \n", reasoning_content=thought), user("on"), agent("\nb  c\n\n\n")]
    lost = losses(LOSSY[template], messages)
    expected = 0 if template == "no thought" else len("I must\n\n count.")
    assert sum(lost.values()) == expected


@pytest.mark.parametrize("template", sorted({*LOSSY} - {"one call"}))
@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":1,   "b": [ ]}',
        '{"a": 1.50, "b": 1e3, "c": true, "d": null, "e": false}',
        '{"text": "two\\nlines \\u00e9 \\ud83d\\ude42 \\"quoted\\" <b>", "é": "x"}',
        '{"deep": {"list": [1, "two", {"three": [null, {}]}]}}',
        '{"path": "C:\\\\new", "empty": "", "space": "  ", "edges": "  x "}',
        "{}",
        "",
        "  ",
    ],
)
def test_arguments_in_another_form_are_not_a_loss(template, arguments):
    messages = [user("go"), two_calls(arguments, arguments), result("one"), result("two"), agent("done")]
    lost = losses(LOSSY[template], messages)
    assert lost.keys() == ({"calls after the first of a turn"} if template == "harmony" else set())


@pytest.mark.parametrize("template", sorted({*LOSSY} - {"no thought"}))  # it refuses what is no object
@pytest.mark.parametrize("arguments", ["{broken", '"text"', '["a", 1]', '{"a": 1} {"b": 2}'])
def test_arguments_that_are_no_object_are_not_lost(template, arguments):
    messages = [user("go"), call(arguments), result("one"), agent("done")]
    assert losses(LOSSY[template], messages) == {}


def test_arguments_that_are_left_out_are_counted():
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
        "<call name={{ c.function.name }}>{% for k, v in c.function.arguments | items %}"
        "{% if k != 'secret' %}{{ k }}={{ v | tojson }} {% endif %}{% endfor %}</call>"
        "{% endfor %}<|im_end|>\n{% endfor %}"
    )
    arguments = '{"at": "home", "secret": "abcdef", "list": [1, 2]}'
    messages = [user("go"), two_calls(arguments, '{"at": 5}'), result("one"), agent("done")]
    assert losses(tokenizer_with(source), messages) == {"arguments of calls": len("secretabcdef")}


def test_a_duplicate_key_is_counted():
    messages = [user("go"), call('{"at": "first", "at": "other"}'), result("one"), agent("done")]
    assert losses(LOSSY["one call"], messages) == {"arguments of calls": len("first")}


def test_a_name_is_not_found_in_the_templates_own_words():
    calls = [one["tool_calls"][0] for one in (call(), call(name="call"), call(name="x"))]
    messages = [user("go"), agent("", tool_calls=calls), result("one"), agent("done")]
    lost = losses(LOSSY["harmony"], messages)
    assert lost == {"calls after the first of a turn": len("call" + "x") + 2 * len('{"at":  "x"}')}


def test_a_turn_that_is_left_out_is_counted_whole():
    source = (
        "{% for m in messages %}{% if m.role == 'user' or loop.last %}<|im_start|>{{ m.role }}\n"
        "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    )
    messages = [user("go"), agent("first", reasoning_content="why"), user("on"), agent("last")]
    assert agent_texts(tokenizer_with(source), messages) == ["last<|im_end|>"]
    assert losses(tokenizer_with(source), messages) == {
        "reasoning of earlier turns": 3,
        "text without a call": 5,
    }


def test_a_part_that_is_missing_within_a_text_is_counted_alone():
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.replace('the secret', '') }}"
        "<|im_end|>\n{% endfor %}"
    )
    content = "A long beginning of a text, the secret and the long end of it."
    assert losses(tokenizer_with(source), [user("go"), agent(content)]) == {
        "text without a call": len("the secret")
    }


steps = st.lists(
    st.tuples(
        st.booleans(),  # a user speaks first
        st.booleans(),  # the agent reasons
        st.booleans(),  # it writes text
        st.integers(0, 2),  # it calls so many tools
    ),
    min_size=1,
    max_size=5,
)


def conversation(steps) -> tuple[list[Message], dict[str, int]]:
    """A conversation, and a word of each part of the agent's turns with the characters of that part."""
    messages, parts = [user("go")], {}

    def part(more: int = 0) -> str:
        word = f"word{len(parts):03d}x"  # it occurs nowhere else, so that it can be found without `lar`
        parts[word] = len(word) + more
        return word

    for asks, thinks, writes, calls in steps:
        if asks and messages[-1]["role"] == "assistant":
            messages.append(user("on"))
        turn = agent(part() if writes else "")
        if thinks:
            turn["reasoning_content"] = part()
        if calls:
            arguments = '{"at": "home"}'
            names = [part(len(arguments)) for _ in range(calls)]
            turn["tool_calls"] = [call(arguments, name=name)["tool_calls"][0] for name in names]
        messages += [turn, *(result("r") for _ in range(calls))]
    return messages, parts


@pytest.mark.parametrize("template", [*LOSSY, "chatml"])
@given(steps=steps)
def test_characters_in_are_characters_kept_and_lost(template, steps):
    if template == "one call":
        steps = [(*step[:3], min(step[3], 1)) for step in steps]
    messages, parts = conversation(steps)
    tokenizer = {**LOSSY, "chatml": CHATML}[template]
    try:
        found = rendered(tokenizer, messages, [TOOL])
    except TokenizerError:
        assert template == "alternating"
        return
    written = "".join(span.text for span in found.spans() if span.agent)
    lost = sum(count for word, count in parts.items() if word not in written)
    counted = lost_in(found)
    assert sum(loss.characters for loss in counted.losses) == lost
    assert counted.reasoning + counted.text + counted.calls == sum(parts.values())
