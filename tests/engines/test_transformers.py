"""Unmodified transformers: generate, its streamers, and `transformers serve` with the openai client."""

import json
from threading import Thread

import pytest
import torch
from transformers import LogitsProcessorList, TextIteratorStreamer

from lar.serving.latent_control import LatentControl
from lar.serving.transformers import LatentsProcessor
from testing.engines import toy_export
from testing.engines.engines import client, transformers_serve
from testing.engines.expected import Reference
from testing.engines.toy_export import assert_is_call


@pytest.fixture(scope="module")
def reference(toy):
    return Reference(toy)


@pytest.fixture(scope="module")
def latents(toy):
    record = json.loads((toy / "lar_export.json").read_text())
    return range(record["first_latent"], record["first_latent"] + record["latents"])


def test_the_toy_student_writes_latents_and_a_call(reference, latents):
    reply = reference.reply(toy_export.QUESTION)
    assert sum(unit in latents for unit in reply.ids) >= 3
    call = reply.text.split("<tool_call>\n")[1].split("\n</tool_call>")[0]
    assert_is_call(json.loads(call))


def test_a_streamer_gives_the_same_text_in_pieces(reference):
    reply = reference.reply(toy_export.QUESTION)
    streamer = TextIteratorStreamer(reference.tokenizer, skip_prompt=True, skip_special_tokens=True)
    ids = torch.tensor([reference.prompt(toy_export.QUESTION)])
    arguments = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 64, "do_sample": False}
    thread = Thread(target=reference.model.generate, args=(ids,), kwargs={"streamer": streamer, **arguments})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == reply.text
    assert len([piece for piece in pieces if piece]) > 3


@pytest.mark.parametrize(("mode", "expects"), [("forbid", False), ("agent", True)])
def test_latents_are_forbidden_in_one_call(toy, reference, latents, mode, expects):
    processor = LatentsProcessor(LatentControl.of_export(toy), mode)
    reply = reference.reply(toy_export.QUESTION, logits_processor=LogitsProcessorList([processor]))
    assert any(unit in latents for unit in reply.ids) is expects


def test_serve_chats_and_streams(toy, reference, tmp_path):
    reply = reference.reply(toy_export.QUESTION)
    with transformers_serve(toy, tmp_path / "log") as server:
        request = {"model": str(toy), "messages": toy_export.QUESTION, "temperature": 0, "max_tokens": 64}
        done = client(server).chat.completions.create(**request)
        assert done.choices[0].message.content == reply.text
        assert done.usage.completion_tokens in (len(reply.ids), len(reply.ids) + 1)
        chunks = client(server).chat.completions.create(**request, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(pieces) == reply.text
        assert len([piece for piece in pieces if piece]) > 3


def test_serve_takes_tools(toy, tmp_path):
    with transformers_serve(toy, tmp_path / "log") as server:
        done = client(server).chat.completions.create(
            model=str(toy), messages=toy_export.QUESTION, tools=toy_export.TOOLS, temperature=0, max_tokens=64
        )
        message = done.choices[0].message
        text = message.content or ""
        if message.tool_calls:  # versions that parse this family's calls
            function = message.tool_calls[0].function
            assert_is_call({"name": function.name, "arguments": json.loads(function.arguments)})
        else:
            assert '<tool_call>\n{"name": "get_weather"' in text
