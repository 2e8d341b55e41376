"""Chat templates are rendered as by transformers, and the agent's text is found exactly."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TokenizerError
from lar.tokenizer import ChatTemplate, TemplateRefusalError, render
from lar.tokenizer import spans as spans_module
from lar.tokenizer import turns as turns_module
from lar.tokenizer.generation_prompt import (
    agent_header,
    answer_openings,
    generation_prompts,
    other_openings,
)
from lar.tokenizer.spans import end_of_turn, writes_ends
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tool_call_opener import tool_call_opener
from lar.trajectories.schema import Message, Trajectory
from testing.chat_templates import NAMED_TOKENS, SMOLLM2, TEMPLATES, WITH_TOOLS, with_marks, without_tags
from testing.conversations import (
    TOOL,
    agent,
    call,
    conversations,
    result,
    tokenizer_with,
    tool_conversations,
    user,
)
from testing.toy import CHATML

PLAIN = {name: tokenizer_with(without_tags(source)) for name, source in TEMPLATES.items()}
TAGGED = {name: tokenizer_with(source) for name, source in TEMPLATES.items()}
MARKED = {name: ChatTemplate(with_marks(source), NAMED_TOKENS) for name, source in TEMPLATES.items()}


def agent_texts(tokenizer: Tokenizer, messages: list[Message], tools: Any = None) -> list[str]:
    spans = render(tokenizer, Trajectory("t", "task", messages, tools=tools))
    return [span.text for span in spans if span.agent]


def oracle(name: str, messages: list[Message], tools: Any = None) -> tuple[str, list[str]]:
    """The rendering and the agent's turns, from the `{% generation %}` tags."""
    marked = MARKED[name].render(messages, tools)
    turns = [turn for turn in re.findall("\x01(.*?)\x02", marked, flags=re.DOTALL) if turn]
    return marked.replace("\x01", "").replace("\x02", ""), turns


def parsed(messages: list[Message]) -> list[Message]:
    """The conversation with arguments as objects, as the templates of the tests need them."""
    copies = json.loads(json.dumps(messages))
    for message in copies:
        for one in message.get("tool_calls", ()):
            one["function"]["arguments"] = json.loads(one["function"]["arguments"])
    return copies


@pytest.mark.parametrize("tokenizers_of", [PLAIN, TAGGED], ids=["plain", "tagged"])
@pytest.mark.parametrize("name", ["chatml", "llama3", "llama2", "phi3"])
@given(messages=conversations)
def test_agent_text_is_what_the_generation_tags_hold(name, tokenizers_of, messages):
    text, turns = oracle(name, messages)
    spans = render(tokenizers_of[name], Trajectory("t", "task", messages))
    assert "".join(span.text for span in spans) == text
    assert [span.text for span in spans if span.agent] == turns


@given(messages=conversations)
def test_turns_without_any_border_are_still_found(messages):
    text, turns = oracle("bare", messages)
    spans = render(PLAIN["bare"], Trajectory("t", "task", messages))
    assert "".join(span.text for span in spans) == text
    assert [span.text for span in spans if span.agent] == turns


@pytest.mark.parametrize("name", WITH_TOOLS)
@pytest.mark.parametrize("tools", [None, [TOOL]], ids=["no tools", "tools"])
@given(messages=tool_conversations)
def test_tool_calls_are_the_agents_text(name, tools, messages):
    """Turns are exact or refused: a template that moves the tools can make equal turns ambiguous."""
    text, turns = oracle(name, parsed(messages), tools)
    try:
        spans = render(PLAIN[name], Trajectory("t", "task", messages, tools=tools))
    except TokenizerError:
        assert name == "mistral"
        assert tools
        return
    assert "".join(span.text for span in spans) == text
    assert [span.text for span in spans if span.agent] == turns


def test_mistral_with_tools_and_several_questions_is_exact():
    steps = [
        [user(f"question {i}"), call(json.dumps({"q": i})), result(f"r{i}"), agent("ok")] for i in range(5)
    ]
    messages = [message for step in steps for message in step]
    _, turns = oracle("mistral", parsed(messages), [TOOL])
    assert agent_texts(PLAIN["mistral"], messages, [TOOL]) == turns


@pytest.mark.parametrize(("name", "renderings"), [("chatml", 2), ("phi3", 2), ("llama3", 3), ("mistral", 3)])
def test_few_renderings_are_enough(monkeypatch, name, renderings):
    count = 0
    original = ChatTemplate.render

    def counting(self, *args, **kwargs):
        nonlocal count
        count += 1
        return original(self, *args, **kwargs)

    messages = [user("a"), agent("b"), user("b"), call(), result("b"), agent("b"), agent("c")] * 20
    render(PLAIN[name], Trajectory("t", "task", messages))  # finds the dialect of the template
    monkeypatch.setattr(ChatTemplate, "render", counting)
    render(PLAIN[name], Trajectory("t", "task", messages, tools=[TOOL]))
    assert count == renderings


def test_arguments_stay_verbatim_where_the_template_takes_text():
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}:{{ c.function.arguments if c.function.arguments is string else "
        "c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    )
    assert agent_texts(tokenizer_with(source), [user("go"), call('{"a":1,   "b": [ ]}')]) == [
        'look:{"a":1,   "b": [ ]}<|im_end|>'
    ]


def test_arguments_that_are_no_json_are_not_lost():
    (text,) = agent_texts(PLAIN["llama3"], [user("go"), call("{broken")])
    assert "{broken" in text


@pytest.mark.parametrize(
    "loop", ['{"x": ' + "[" * 3000, '{"a":' * 3000, '{"x": ' + "[" * 3000 + "]" * 3000 + "}"]
)
def test_arguments_that_nest_without_an_end_stay_text(loop):
    (text,) = agent_texts(PLAIN["llama3"], [user("go"), call(loop)])
    assert json.dumps(loop) in text


def test_calls_tools_and_results_are_written_for_templates_without_them():
    messages = [user("go"), call(content="Well."), result("one"), result("two"), agent("done")]
    spans = render(PLAIN["chatml"], Trajectory("t", "task", messages, tools=[TOOL]))
    text = "".join(span.text for span in spans)
    assert [span.text for span in spans if span.agent] == [
        'Well.\n<tool_call>\n{"name": "look", "arguments": {"at":  "x"}}\n</tool_call><|im_end|>',
        "done<|im_end|>",
    ]
    assert "<tools>\n" + json.dumps(TOOL) + "\n</tools>" in text
    assert (
        "user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response><|im_end|>"
        in text
    )


def test_smollm2_takes_tools_in_place_of_its_default_system_message():
    messages = [user("go"), call(), result("one"), agent("done")]
    tokenizer = tokenizer_with(SMOLLM2)
    written = '<tool_call>\n{"name": "look", "arguments": {"at":  "x"}}\n</tool_call><|im_end|>'
    assert agent_texts(tokenizer, messages) == [written, "done<|im_end|>"]
    for tools, is_default in ((None, True), ([TOOL], False)):
        text = "".join(
            span.text for span in render(tokenizer, Trajectory("t", "task", messages, tools=tools))
        )
        assert ("named SmolLM" in text) is is_default
        assert ("# Tools" in text) is not is_default


@pytest.mark.parametrize(("name", "tokenizer"), PLAIN.items())
def test_the_end_of_a_turn_is_what_follows_the_last_answer(name, tokenizer):
    text = ChatTemplate(tokenizer.chat_template, NAMED_TOKENS).render(
        [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    )
    expected = {"llama3": "<|eot_id|>", "phi3": "<|end|>", "chatml": "<|im_end|>", "bare": None}
    found = end_of_turn(tokenizer)
    assert found == expected.get(name, "</s>")
    assert found is None or text.rpartition("two")[2].lstrip().startswith(found)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_turn_of_weight_0_is_the_environments(name):
    shown = agent("first") if name not in WITH_TOOLS else call()
    before = [user("a"), shown, user("b"), agent("second"), user("c"), agent("third", weight=1)]
    messages = [{**message, "weight": 0} if message == shown else message for message in before]
    spans = [render(PLAIN[name], Trajectory("t", "task", turns)) for turns in (before, messages)]
    texts = [[span.text for span in one if span.agent] for one in spans]
    assert texts[1] == texts[0][1:]
    assert "".join(span.text for span in spans[0]) == "".join(span.text for span in spans[1])


def test_no_template_reads_the_weight():
    source = "{% for m in messages %}<|im_start|>{{ m.keys() | list }}{{ m.content }}<|im_end|>{% endfor %}"
    spans = render(tokenizer_with(source), Trajectory("t", "task", [user("a"), agent("b", weight=0)]))
    assert [span.agent for span in spans] == [False]
    assert "weight" not in spans[0].text


def test_a_refusal_names_the_trajectory_and_the_reason():
    with pytest.raises(TokenizerError, match=r"trajectory t.*a tool result must follow a tool call"):
        agent_texts(PLAIN["mistral"], [user("go"), result("one")])


def test_what_cannot_be_told_apart_names_the_turn():
    # The template writes the whole conversation twice, so no turn has a single place.
    twice = tokenizer_with(
        "{% for i in [1, 2] %}{% for m in messages %}{{ m.content }}|{% endfor %}{% endfor %}"
    )
    with pytest.raises(TokenizerError, match=r"trajectory t, agent turn 1"):
        agent_texts(twice, [user("a"), agent("b")])


def test_a_missing_or_broken_template_is_one_clear_line():
    with pytest.raises(TokenizerError, match="no chat template"):
        agent_texts(tokenizer_with(None), [user("a")])
    with pytest.raises(TokenizerError, match="chat template, line 2"):
        agent_texts(tokenizer_with("x\n{% for %}"), [user("a")])


def test_templates_cannot_reach_the_interpreter():
    with pytest.raises(TemplateRefusalError):
        ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}").render([user("a")])
    template = ChatTemplate("{{ messages.append(1) }}")
    for _ in range(2):  # what a type's attributes allow is asked once
        with pytest.raises(TemplateRefusalError):
            template.render([user("a")])
    assert ChatTemplate("{{ messages.index(messages[0]) }}").render([user("a")]) == "0"


@pytest.fixture(scope="module")
def transformers_tokenizer():
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=PLAIN["chatml"].backend, **NAMED_TOKENS)


@pytest.mark.parametrize("source", [*TEMPLATES.values(), SMOLLM2], ids=[*TEMPLATES, "smollm2"])
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_same_text_as_transformers(transformers_tokenizer, source, prompt, tools):
    template = ChatTemplate(source, NAMED_TOKENS)
    for messages in examples():
        try:
            ours = template.render(messages, tools, add_generation_prompt=prompt)
        except TemplateRefusalError:
            ours = None
        try:
            theirs = transformers_tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=source,
                tokenize=False,
                add_generation_prompt=prompt,
            )
        except Exception:
            theirs = None
        assert ours == theirs


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages | tojson }} {{ tools | tojson(indent=2) }} {{ {'é': '<&>'} | tojson }}",
        "{{ messages | tojson(sort_keys=true, separators=(',', ':')) }}",
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
        "  {% if true %}\n  a\n  {% endif %}\n b",
        "{{ strftime_now('%Y') }} {{ bos_token }}{{ unk_token }}{{ nothing }}",
        "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
        "{% set n = namespace(a=1) %}{% generation %}{% set n.a = 2 %}{% endgeneration %}{{ n.a }}",
        "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}",
    ],
)
def test_same_template_language_as_transformers(transformers_tokenizer, source):
    messages = [agent("a é <b>", reasoning_content="why"), user("ü")]

    def theirs(source, messages):
        return transformers_tokenizer.apply_chat_template(
            messages, tools=[TOOL], chat_template=source, tokenize=False
        )

    # From 5.21 on, transformers adds reasoning under gpt-oss's key; before, callers had to.
    given = messages
    if not theirs("{{ messages[0].thinking }}", messages):
        given = [{"thinking": "why", **messages[0]}, messages[1]]
    assert ChatTemplate(source, NAMED_TOKENS).render(messages, [TOOL]) == theirs(source, given)


def examples() -> list[list[Message]]:
    return [
        [user("hi")],
        [agent("hello"), user("hi "), agent(" é <&>\n")],
        [{"role": "system", "content": "be"}, user("hi"), call({"a": "é"}), result("ok"), agent("done")],
        [user("hi"), agent("", reasoning_content="hm"), user("and?"), agent("well", reasoning_content="so")],
        [user("hi"), result("orphan")],
    ]


# Qwen3's own template: reasoning, an empty reasoning block, native tool calls.


@pytest.fixture(scope="module")
def qwen3(shared):
    if not (shared / "tokenizers/qwen3").is_dir():
        pytest.skip("no shared/tokenizers/qwen3")
    return Tokenizer.load(shared / "tokenizers/qwen3")


def test_an_empty_scaffold_is_the_templates(qwen3):
    assert agent_texts(qwen3, [user("a"), agent("b")]) == ["b<|im_end|>"]


def test_reasoning_is_the_agents(qwen3):
    messages = [user("a"), agent("b", reasoning_content="why"), user("c"), agent("d", reasoning_content="so")]
    # The template leaves out the reasoning of turns before the last question.
    assert agent_texts(qwen3, messages) == ["b<|im_end|>", "<think>\nso\n</think>\n\nd<|im_end|>"]


def test_reasoning_written_into_the_content(qwen3):
    messages = [user("a"), agent("<think>\nso\n</think>\n\nd")]
    assert agent_texts(qwen3, messages) == ["<think>\nso\n</think>\n\nd<|im_end|>"]


def test_reasoning_between_tool_calls(qwen3):
    one = {**call(), "reasoning_content": "first"}
    messages = [user("a"), one, result("r"), {**call(), "reasoning_content": "second"}]
    written = '<tool_call>\n{"name": "look", "arguments": {"at":  "x"}}\n</tool_call><|im_end|>'
    assert agent_texts(qwen3, messages) == [
        f"<think>\nfirst\n</think>\n\n{written}",
        f"<think>\nsecond\n</think>\n\n{written}",
    ]


def test_written_tools_are_those_of_the_template(qwen3):
    """ChatML with tools in the text equals the rendering of Qwen3's template."""
    plain = Tokenizer(qwen3.backend, config={"eos_token": "<|im_end|>"}, chat_template=TEMPLATES["chatml"])
    system = {"role": "system", "content": "be good"}
    middle = [call(content="Well."), result("one"), result("two"), call(), result("three")]
    for messages in ([system, user("go"), *middle, user("more")], [user("go"), *middle, user("more")]):
        for tools in (None, [TOOL], [TOOL, TOOL]):
            trajectory = Trajectory("t", "task", messages, tools=tools)
            assert render(plain, trajectory) == render(qwen3, trajectory)


def test_qwen3_is_rendered_as_transformers_does(qwen3, shared):
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(shared / "tokenizers/qwen3")
    for messages in examples():
        for tools in (None, [TOOL]):
            spans = render(qwen3, Trajectory("t", "task", messages, tools=tools))
            expected = theirs.apply_chat_template(messages, tools=tools, tokenize=False)
            # No prompt has the empty block of reasoning before a last turn.
            assert "".join(span.text for span in spans) == expected.replace("<think>\n\n</think>\n\n", "")


# A template for conversations with tools alone, as Hermes 2 Pro's and Command-R's: it reads the tools.
FOR_TOOLS = (
    "{% if not tools %}{{ raise_exception('no tools') }}{% endif %}"
    "{% for tool in tools %}{{ tool.function.name }} {% endfor %}" + CHATML
)


def with_templates(templates: str | dict[str, str]) -> Tokenizer:
    return Tokenizer(PLAIN["chatml"].backend, config=NAMED_TOKENS, chat_template=templates)


DEFAULT = with_templates(without_tags(TEMPLATES["llama2"]))
WITH_TOOL_USE = with_templates(FOR_TOOLS)
BOTH = with_templates({"default": DEFAULT.chat_template, "tool_use": FOR_TOOLS})


@given(messages=tool_conversations, tools=st.sampled_from([None, [TOOL]]))
def test_a_conversation_with_tools_takes_the_template_for_tools(messages, tools):
    trajectory = Trajectory("t", "task", messages, tools=tools)

    def rendered_by(tokenizer):
        try:
            return render(tokenizer, trajectory)
        except TokenizerError as error:
            return str(error)

    assert rendered_by(BOTH) == rendered_by(WITH_TOOL_USE if tools else DEFAULT)
    if tools:
        assert render(WITH_TOOL_USE, trajectory)[0].text.startswith("look ")


def test_what_templates_write_around_turns_is_found_in_each():
    assert tool_call_opener(BOTH) == tool_call_opener(WITH_TOOL_USE) == '<tool_call>\n{"name": "'
    assert (end_of_turn(BOTH), end_of_turn(BOTH, [TOOL])) == ("</s>", "<|im_end|>")
    assert agent_header(BOTH) == agent_header(WITH_TOOL_USE) == "<|im_start|>assistant\n"
    for texts in (generation_prompts, answer_openings, other_openings):
        assert texts(BOTH) == [*texts(DEFAULT), *texts(WITH_TOOL_USE)] != []


# The beginning of a template that needs a system message.
NEEDS_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('a system message is needed') }}{% endif %}"
)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in ("mistral", "llama2")])
@given(messages=tool_conversations)
def test_a_template_that_needs_a_system_message_is_probed_with_one(name, messages):
    plain = without_tags(TEMPLATES[name])
    free, strict = with_templates(plain), with_templates(NEEDS_SYSTEM + plain)
    trajectory = Trajectory("t", "task", [{"role": "system", "content": "Help."}, *messages])
    assert render(strict, trajectory) == render(free, trajectory)
    assert (end_of_turn(strict), writes_ends(strict)) == (end_of_turn(free), writes_ends(free))
    assert tool_call_opener(strict) == tool_call_opener(free)
    assert agent_header(strict) == agent_header(free)
    for texts in (generation_prompts, answer_openings):
        assert texts(strict) == texts(free)


@pytest.mark.parametrize(("name", "tokenizer"), PLAIN.items())
def test_a_template_without_an_end_of_turn_is_known(name, tokenizer):
    assert writes_ends(tokenizer) is (name != "bare")
    assert not writes_ends(tokenizer_with(None))


def test_the_dialect_is_found_once_for_each_tokenizer():
    tokenizer = tokenizer_with(without_tags(TEMPLATES["chatml"]))
    assert spans_module.speaker(tokenizer) is spans_module.speaker(tokenizer)


def cut_by_definition(rendered: str, sentinels: list[str]) -> list[str] | None:
    pieces = []
    if any(rendered.count(sentinel) != 1 for sentinel in sentinels):
        return None
    for sentinel in sentinels:
        piece, found, rendered = rendered.partition(sentinel)
        if not found:
            return None
        pieces.append(piece)
    return [*pieces, rendered]


@given(st.lists(st.one_of(st.integers(0, 3), st.sampled_from(["", "x", "m0x", "m0x0000", "1x"])), max_size=8))
def test_a_rendering_is_cut_where_each_sentinel_is(parts: list[int | str]) -> None:
    mark = "m0x"
    sentinels = [f"{mark}{number:06d}x" for number in range(4)]
    text = "".join(part if isinstance(part, str) else sentinels[part] for part in parts)
    for number in range(1, 5):
        if not any(f"{other}" in text for other in sentinels[number:]):
            found = turns_module._split_at(text, mark, sentinels[:number])
            assert found == cut_by_definition(text, sentinels[:number])
