"""Forms that a chat template refuses are written in one that it accepts."""

import pytest

from lar.errors import TokenizerError
from lar.tokenizer import render
from lar.tokenizer.spans import speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message, Trajectory
from testing.conversations import TOOL, agent, call, result, user
from testing.lossy_templates import LOSSY

SYSTEM: Message = {"role": "system", "content": "Be good."}


def text(tokenizer: Tokenizer, messages: list[Message], tools=None) -> str:
    return "".join(span.text for span in render(tokenizer, Trajectory("t", "task", messages, tools=tools)))


@pytest.mark.parametrize(
    ("template", "refused"),
    [
        ("harmony", {"bare_tools", "thought_beside_text"}),
        ("nine letters", {"call_ids"}),
        ("alternating", {"system"}),
        ("first round", set()),
        ("one call", set()),
        ("last thought", set()),
        ("no thought", set()),
    ],
)
def test_what_a_template_refuses_is_found(template, refused):
    refusals = speaker(LOSSY[template])[1].refusals
    assert {name for name in refusals.__slots__ if getattr(refusals, name)} == refused


def test_a_system_message_begins_the_first_users():
    tokenizer = LOSSY["alternating"]
    turn = "<|start|>user\nBe good.\n\ngo<|end|>\n<|start|>assistant\ndone<|end|>\n"
    assert text(tokenizer, [SYSTEM, user("go"), agent("done")]) == f"<s>{turn}"
    assert text(tokenizer, [SYSTEM, agent("done")]).startswith("<s><|start|>user\nBe good.<|end|>\n")
    assert "# Tools" in text(tokenizer, [user("go"), agent("done")], [TOOL])


def test_what_cannot_be_written_otherwise_is_still_refused():
    with pytest.raises(TokenizerError, match=r"trajectory t.*roles must alternate"):
        text(LOSSY["alternating"], [user("go"), user("on"), agent("done")])


@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        ("abcdefghi", "abcdefghi"),
        ("call_0123456789", "123456789"),
        ("c1", "0000000c1"),
        ("chatcmpl-tool-a_b-c_d", "ltoolabcd"),
        (None, "000000000"),
    ],
)
def test_ids_of_calls_have_nine_letters_and_digits(identifier, written):
    calls = [{**one, "id": identifier} for one in call()["tool_calls"]]
    answer = {**result("one"), "tool_call_id": identifier}
    messages = [user("go"), agent("", tool_calls=calls), answer, agent("done")]
    whole = text(LOSSY["nine letters"], messages)
    assert f'"id": "{written}"' in whole
    assert f"[RESULT]one {written}[/RESULT]" in whole
    spans = render(LOSSY["nine letters"], Trajectory("t", "task", messages))
    assert [span.text for span in spans if span.agent] == [
        f'[TOOL_CALLS][{{"name": "look", "arguments": {{"at": "x"}}, "id": "{written}"}}]</s>',
        "done</s>",
    ]


def test_a_tool_without_a_description_gets_an_empty_one():
    described = {"type": "function", "function": {"name": "see", "description": "See all."}}
    whole = text(LOSSY["harmony"], [user("go"), agent("done")], [TOOL, described])
    assert "look: see: See all." in whole


@pytest.mark.parametrize("arguments", ["", " \n", None, "{}"])
@pytest.mark.parametrize("template", LOSSY)
def test_empty_arguments_are_an_empty_object(template, arguments):
    messages = [user("go"), call(arguments), result("one"), agent("done")]
    tokenizer = LOSSY[template]
    assert text(tokenizer, messages) == text(tokenizer, [user("go"), call("{}"), *messages[2:]])
    assert ("{}" in text(tokenizer, messages)) is (template != "no thought")
