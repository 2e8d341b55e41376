"""Scaffolds of tools: what every call to a tool has in common, as the chat template writes it."""

import json
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lar import _core
from lar.errors import OptionError, TokenizerError
from lar.mining.tool_scaffolds import tool_scaffolds
from lar.mining.tool_schemas import ToolSchema, read_tools
from lar.tokenizer import render
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory
from lar.vocabulary.segments import Segments
from testing import toy
from testing.chat_templates import CHATML, TEMPLATES, without_tags
from testing.conversations import tokenizer_with

TOKENIZERS = {"toy": toy.tokenizer()} | {
    name: tokenizer_with(without_tags(template)) for name, template in TEMPLATES.items()
}
ALPHANUMERIC = string.ascii_letters + string.digits
TEXT = {"type": "string"}


@pytest.fixture(scope="module", params=["qwen3", *TOKENIZERS])
def written_by(request) -> Tokenizer:
    """A tokenizer with a chat template."""
    if request.param != "qwen3":
        return TOKENIZERS[request.param]
    folder = request.getfixturevalue("shared") / "tokenizers" / "qwen3"
    if not folder.is_dir():
        pytest.skip("no shared/tokenizers/qwen3")
    return Tokenizer.load(folder)


def turn(tokenizer, name, arguments, content="", before=(), after=()):
    """The agent's text in a turn that calls a tool; `arguments` as JSON text."""
    named = [*before, (name, arguments), *after]
    calls = [
        {"id": f"abcdefgh{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(named)
    ]
    results = [
        {"role": "tool", "content": "ok", "name": call["function"]["name"], "tool_call_id": call["id"]}
        for call in calls
    ]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": "done"},
    ]
    return next(s.text for s in render(tokenizer, Trajectory("a", "a", messages)) if s.agent)


def parsed(tokenizer, pieces, text):
    """The pieces that the parse of `text` uses, in order, and the text that it leaves as base tokens."""
    segments = Segments.of(dict.fromkeys(pieces))
    units = _core.Vocabulary(tokenizer.base_size, segments.tokens, segments.offsets).encode(
        tokenizer.encode(text)
    )
    used = [tuple(segments[u - tokenizer.base_size].tolist()) for u in units if u >= tokenizer.base_size]
    barriers = set(tokenizer.barriers.tolist())
    left = [u for u in units.tolist() if u < tokenizer.base_size and u not in barriers]
    return used, tokenizer.decode(left)


def alphanumeric(text):
    return "".join(character for character in text if character in ALPHANUMERIC)


def remains(schema, value, may_remain):
    """A pattern of the letters and digits that latents of the pieces leave: of values that a call decides.

    Those of a key for which `may_remain` holds may be left too.
    """
    if "const" in schema:
        return ""
    if schema.get("type") == "object" and "required" in schema:
        return "".join(
            (f"(?:{alphanumeric(key)})?" if may_remain(key) else "")
            + remains(schema["properties"][key], inner, may_remain)
            for key, inner in value.items()
        )
    if schema.get("type") == "array" and "items" in schema:
        return "".join(remains(schema["items"], item, may_remain) for item in value)
    return alphanumeric(json.dumps(value))


words = st.text(ALPHANUMERIC, min_size=1, max_size=8)
names = st.from_regex(r"[a-z][a-z_]{0,15}[a-z0-9]", fullmatch=True)
keys = st.one_of(names, st.sampled_from(["a key", "naïve", "数", 'quo"te', "x-y", "A"]))


def pairs_of(kind, values, **schema):
    return st.tuples(st.just({"type": kind, **schema}), values)


def objects(values, fewest=1):
    """Pairs of an object's schema with required keys and a value of it."""
    members = st.dictionaries(keys, values, min_size=fewest, max_size=4)
    return members.map(
        lambda pairs: (
            {
                "type": "object",
                "properties": {key: schema for key, (schema, _) in pairs.items()} | {"optional": TEXT},
                "required": sorted(pairs),
            },
            {key: value for key, (_, value) in pairs.items()},
        )
    )


def one_item(pairs):
    schema, value = pairs
    return {"type": "array", "items": schema}, [value]


# No value ends in a bracket, or in a quote that is not the schema's: the parse could find the piece of
# another place there, one token early.
plain = st.one_of(
    pairs_of("string", words),
    pairs_of("integer", st.integers(0, 10**9)),
    pairs_of("number", st.integers(0, 999).map(lambda number: number + 0.5)),
    pairs_of("boolean", st.booleans()),
    pairs_of("array", st.lists(words, min_size=1, max_size=3), items=TEXT),
    pairs_of(["string", "null"], words),
    st.tuples(st.just({}), st.one_of(st.integers(0, 9), st.booleans())),
    st.lists(words, min_size=2, max_size=4, unique=True).flatmap(
        lambda choices: st.tuples(st.just({"enum": choices}), st.sampled_from(choices))
    ),
    words.map(lambda word: ({"const": word}, word)),
)
nested = st.recursive(plain, lambda v: st.one_of(objects(v), objects(v).map(one_item)), max_leaves=5)
parameters = objects(nested, fewest=0)
# As an agent writes JSON: with spaces and without.
spaces = st.sampled_from([False, True])


def written(value, compact):
    separators = (",", ":") if compact else (", ", ": ")
    return json.dumps(value, ensure_ascii=False, separators=separators)


def stands_for(taken, piece):
    """Whether the parse took the piece, or one of another place that begins a token earlier.

    Where two places have the same keys, the piece of one may begin with the comma after a number, which that
    of the other leaves to the number; the parse then takes the first in both. It may also leave the last
    token of the other, the quote of a text.
    """
    return taken[-len(piece) :] == piece or taken[1:] == piece[:-1]


def object_of(pairs):
    """The pair of an object with these keys, all required."""
    properties = {key: schema for key, (schema, _) in pairs.items()}
    values = {key: value for key, (_, value) in pairs.items()}
    return {"type": "object", "properties": properties, "required": list(pairs)}, values


# A number whose schema tells it, before another key, and one whose schema does not, before the same key.
FLAG = ({"type": "boolean"}, False)
TWO_PLACES = object_of(
    {
        "x": object_of({"a": ({"type": "integer"}, 0), "b": FLAG}),
        "y": object_of({"a": ({}, 0), "b": FLAG}),
    }
)
# Values of unknown types on both sides of a key.
UNKNOWN = object_of({"a0": object_of({"a key": ({}, 0), "aa": ({}, 0)})})
# The two places with a text as the second key of the second one.
TEXT_LATER = object_of(
    {
        "x": object_of({"a": ({"type": "integer"}, 0), "b": FLAG}),
        "y": object_of({"a": ({}, 0), "b": (TEXT, "0")}),
    }
)


@settings(max_examples=15)
@example(name="a0", pair=TWO_PLACES, compact=False)
@example(name="a0", pair=TEXT_LATER, compact=False)
@example(name="a0", pair=UNKNOWN, compact=True)
@given(name=names, pair=parameters, compact=spaces)
def test_latents_of_the_pieces_leave_only_the_values(written_by, name, pair, compact):
    schema, value = pair
    [scaffold] = tool_scaffolds([ToolSchema(name, schema)], written_by, compact=compact)
    text = turn(written_by, name, written(value, compact))
    used, left = parsed(written_by, scaffold.pieces, text)
    for taken, piece in zip(used, scaffold.pieces, strict=True):
        assert taken in scaffold.pieces
        assert stands_for(taken, piece)
    # Without spaces, the tokens around a key depend on values of unknown types. A key of one token may be all
    # that is sure, and no latent has one token.
    is_open = compact and ": {}" in json.dumps(schema)
    pattern = remains(schema, value, lambda key: is_open and len(written_by.encode(key)) == 1)
    assert re.fullmatch(pattern, alphanumeric(left))


@settings(max_examples=15)
@example(name="a0", pair=TWO_PLACES, compact=False, content="")
@example(name="a0", pair=TEXT_LATER, compact=False, content="")
@given(name=names, pair=parameters, compact=spaces, content=st.sampled_from(["", "I look.", "Now:\n", "`a`"]))
def test_the_pieces_are_those_of_a_call_anywhere_in_a_turn(written_by, name, pair, compact, content):
    schema, value = pair
    [scaffold] = tool_scaffolds([ToolSchema(name, schema)], written_by, compact=compact)
    others = [("other_tool", written({"x": "y"}, compact))]
    for before, after in [((), ()), (others, ()), ((), others), (others, others)]:
        text = turn(written_by, name, written(value, compact), content, before, after)
        used = iter(parsed(written_by, scaffold.pieces, text)[0])
        for piece in scaffold.pieces:  # in their order
            assert any(stands_for(taken, piece) for taken in used)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="utf-8"), max_size=6)),
    lambda v: st.one_of(st.lists(v, max_size=2), st.dictionaries(words, v, max_size=2)),
    max_leaves=3,
)


@settings(max_examples=15)
@given(st.text(st.characters(codec="utf-8"), max_size=6), anything, spaces)
def test_the_texts_of_the_pieces_stand_around_any_value(written_by, place, other, compact):
    tool = ToolSchema("look_up", {"properties": {"other": {}, "at": TEXT}, "required": ["at", "other"]})
    [scaffold] = tool_scaffolds([tool], written_by, compact=compact)
    text = turn(written_by, tool.name, written({"other": other, "at": place}, compact))
    for piece in scaffold.pieces:
        _, found, text = text.partition(written_by.decode(piece))
        assert found


@settings(max_examples=15)
@given(st.lists(names, min_size=1, max_size=4, unique=True), spaces, st.booleans())
def test_an_opening_is_in_each_call_to_its_tool_and_in_no_other(written_by, tools, compact, required):
    schema = {"properties": {"at": TEXT}, "required": ["at"] if required else []}
    scaffolds = tool_scaffolds([ToolSchema(name, schema) for name in tools], written_by, compact=compact)
    barriers = set(written_by.barriers.tolist())
    for scaffold in scaffolds:
        assert not barriers & set(scaffold.opening).union(*scaffold.pieces)
        opening = written_by.decode(scaffold.opening)
        for name in tools:
            for arguments in ({}, {"at": "x"}, {"other": [1]}):
                text = turn(written_by, name, written(arguments, compact))
                used, _ = parsed(written_by, [scaffold.opening], text)
                assert (used == [scaffold.opening]) == (opening in text) == (name == scaffold.name)


def test_the_pieces_are_in_the_templates_own_spelling():
    tool = ToolSchema("look", {"properties": {"at": TEXT, "n": {"type": "integer"}}, "required": ["at", "n"]})
    texts = {}
    for name in ("llama3", "mistral", "chatml"):
        [scaffold] = tool_scaffolds([tool], TOKENIZERS[name], compact=True)
        texts[name] = [TOKENIZERS[name].decode(piece) for piece in scaffold.pieces]
    assert texts == {
        # These write the arguments themselves; the last one has no calls and takes the agent's own text.
        "llama3": ['{"name": "look", "parameters": {"at": "', '", "n": ', "}}"],
        "mistral": ['{"name": "look", "arguments": {"at": "', '", "n": ', "}}"],
        "chatml": ['<tool_call>\n{"name": "look", "arguments": {"at":"', '","n":', "}}\n</tool_call>"],
    }


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('no agents here') }}", "cannot write a tool call: .*no agents here"),
        (CHATML.replace("message['content'] + '<|im_end|>'", "'<|im_end|>'"), "the name of the tool"),
        (
            toy.CHATML.replace(
                "{{ call.function.arguments }}", "{% for k in call.function.arguments %}{{ k }} {% endfor %}"
            ),
            "cannot write a tool call: a value of its arguments is missing",
        ),
    ],
)
def test_templates_that_cannot_write_calls_are_refused(template, message):
    tokenizer = tokenizer_with(without_tags(template) if template else None)
    tool = ToolSchema("look", {"properties": {"at": TEXT}, "required": ["at"]})
    with pytest.raises(TokenizerError, match=message) as error:
        tool_scaffolds([tool], tokenizer)
    assert "\n" not in str(error.value)


SCHEMA = {"type": "object", "properties": {"at": TEXT}, "required": ["at"]}


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "function", "function": {"name": "look", "description": "-", "parameters": SCHEMA}},
        {"name": "look", "parameters": SCHEMA},
        {"name": "look", "input_schema": SCHEMA},
        {"name": "look", "inputSchema": SCHEMA, "description": None},
        {"type": "function", "name": "look", "parameters": SCHEMA, "strict": True},
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_tools_are_read_as_the_interfaces_write_them(tmp_path, entry, wrapped):
    file = tmp_path / "tools.json"
    listed = [entry, {"name": "wait"}, entry]  # equal tools are one
    file.write_text(json.dumps({"tools": listed} if wrapped else listed))
    assert read_tools(file) == [ToolSchema("look", SCHEMA), ToolSchema("wait", {})]


def tool_with(schema):
    """A file with one tool, whose only argument has this schema."""
    parameters = f'{{"properties": {{"at": {schema}}}, "required": ["at"]}}'
    return f'[{{"name": "look", "parameters": {parameters}}}]'


def nested(levels):
    """A schema of objects in objects, each required."""
    opening = '{"type": "object", "required": ["at"], "properties": {"at": '
    return opening * levels + "{}" + "}}" * levels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "not a list of tools"),
        ("[]", "not a list of tools"),
        ('{"name": "look"}', "not a list of tools"),
        ('["look"]', "tool 1: not an object with a name"),
        ('[{"name": "look"}, {"function": {}}]', "tool 2: not an object with a name"),
        ('[{"name": ""}]', "tool 1: not an object with a name"),
        (r'[{"name": "\ud800"}]', "tool 1: not an object with a name"),
        ('[{"name": "look", "parameters": []}]', "tool 1: the schema of 'look' is not an object"),
        ('[{"name": "look", "parameters": {"properties": []}}]', ""),
        ('[{"name": "look", "parameters": {"properties": [1]}}]', "tool 1: properties is not an object"),
        ('[{"name": "look", "parameters": {"required": "at"}}]', "tool 1: required is not a list of keys"),
        ('[{"name": "look", "parameters": {"required": [1]}}]', "tool 1: required is not a list of keys"),
        ('[{"name": "a"}, {"name": "a", "parameters": {"required": ["x"]}}]', "tool 2: another tool has"),
        (tool_with(r'{"enum": ["\ud800", "b"]}'), "tool 1: a value of an enum or a const is no text"),
        (tool_with(r'{"const": {"\ud800": 1}}'), "tool 1: a value of an enum or a const is no text"),
        (tool_with(nested(100)), "tool 1: the schema of 'look' is nested deeper than 100 levels"),
        (
            tool_with('{"const": ' + "[" * 300 + "]" * 300 + "}"),
            "tool 1: the schema of 'look' is nested deeper",
        ),
    ],
)
def test_what_is_no_list_of_tools_is_refused_in_one_line(tmp_path, content, message):
    file = tmp_path / "tools.json"
    file.write_bytes(content.encode("latin-1"))
    if not message:  # an empty list of properties, as PHP writes an empty object
        assert read_tools(file) == [ToolSchema("look", {"properties": []})]
        return
    with pytest.raises(OptionError, match=message) as error:
        read_tools(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tools(tmp_path / "none.json")
