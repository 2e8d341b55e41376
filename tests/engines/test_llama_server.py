"""llama.cpp's server with an export's GGUF: distilled SmolLM2, whose tokenizer llama.cpp supports."""

import json
import urllib.request

import pytest

from testing.engines.engines import client, llama_server
from testing.engines.expected import Reference

SYSTEM = "# Retail agent policy\n\nAs a retail agent, you can help users cancel or modify pending orders."
MESSAGES = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "Hi, my email is fatima_taylor_3452@example.com. Please update my address."},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_user_id_by_email",
            "description": "Find user id by email.",
            "parameters": {
                "type": "object",
                "properties": {"email": {"type": "string"}},
                "required": ["email"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def server(pretrained, tmp_path_factory):
    if not (pretrained / "model.gguf").is_file():
        pytest.fail(f"{pretrained}: no model.gguf (make engine-models with LAR_LLAMA_CPP)")
    with llama_server(pretrained, tmp_path_factory.mktemp("llama") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def reference(pretrained):
    return Reference(pretrained)


def post(server, path, body):
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def prompt(server):
    """The server's ids of the prompt. It matches the longest latents first, unlike transformers."""
    text = post(server, "/apply-template", {"messages": MESSAGES})["prompt"]
    return post(server, "/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]


@pytest.fixture(scope="module")
def reply(reference, prompt):
    return reference.continued(prompt, 48)


def ask(server, pretrained, **request):
    return client(server).chat.completions.create(
        model=pretrained.name, **{"messages": MESSAGES, "temperature": 0, "max_tokens": 48, **request}
    )


def test_the_prompt_is_the_same_text(reference, prompt):
    assert reference.tokenizer.decode(prompt) == reference.tokenizer.decode(reference.prompt(MESSAGES))


def test_a_chat_equals_the_reply_of_transformers(server, pretrained, prompt, reply):
    done = ask(server, pretrained)
    assert done.choices[0].message.content == reply.text
    assert done.usage.prompt_tokens == len(prompt)
    assert done.usage.completion_tokens in (len(reply.ids), len(reply.ids) + 1)


def test_a_stream_is_the_same_text_in_pieces(server, pretrained, reply):
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in ask(server, pretrained, stream=True)
        if chunk.choices
    ]
    assert "".join(pieces) == reply.text
    assert len([piece for piece in pieces if piece]) > 3


def test_a_tool_outside_the_request_is_not_called(server, pretrained):
    """The server masks what follows the marker of a call, so no latent may contain a tool's name."""
    function = {**TOOLS[0]["function"], "name": "search_mailbox"}
    done = ask(server, pretrained, tools=[{"type": "function", "function": function}], max_tokens=96)
    [call] = done.choices[0].message.tool_calls
    assert call.function.name == "search_mailbox"
    assert set(json.loads(call.function.arguments)) == {"email"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_required_tool_call_parses(server, pretrained, stream):
    done = ask(server, pretrained, tools=TOOLS, tool_choice="required", stream=stream, max_tokens=96)
    if stream:
        deltas = [chunk.choices[0].delta for chunk in done if chunk.choices]
        parts = [part.function for delta in deltas for part in delta.tool_calls or []]
        name = "".join(part.name or "" for part in parts)
        arguments = "".join(part.arguments or "" for part in parts)
    else:
        call = done.choices[0].message.tool_calls[0]
        name, arguments = call.function.name, call.function.arguments
    assert name == "find_user_id_by_email"
    assert set(json.loads(arguments)) == {"email"}
