"""Unmodified vLLM: it reads and writes an export's latents, and all else works as with the base."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
import torch

from testing.engines.engines import SPECULATION, VLLM, client, from_environment, speculation, vllm_serve
from testing.engines.expected import Reference
from testing.engines.toy_export import QUESTION, TOOLS, assert_is_call

PACKAGE = Path(__file__).parent.parent.parent / "python"
PROCESSOR = "lar.serving.vllm:LatentsPerRequest"
GREEDY = {"temperature": 0, "max_tokens": 64}


@pytest.fixture(scope="module")
def reference(toy):
    return Reference(toy)


@pytest.fixture(scope="module")
def reply(reference):
    return reference.reply(QUESTION)


@pytest.fixture(scope="module")
def latents(toy):
    record = json.loads((toy / "lar_export.json").read_text())
    return range(record["first_latent"], record["first_latent"] + record["latents"])


@pytest.fixture(scope="module")
def server(toy, tmp_path_factory):
    arguments = [
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "hermes",
        "--logits-processors",
        PROCESSOR,
    ]
    log = tmp_path_factory.mktemp("vllm") / "log"
    with vllm_serve(toy, log, *arguments, environment={"PYTHONPATH": str(PACKAGE)}) as server:
        yield server


def ask(server, **request):
    return client(server).chat.completions.create(model="toy", **{"messages": QUESTION, **GREEDY, **request})


def post(server, path, body):
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_offline_replies_and_logprobs_are_those_of_transformers(toy, reference, reply, latents):
    python = from_environment("LAR_VLLM", "vLLM")
    forbidden = {"messages": QUESTION, "extra_args": {"latents": "forbid"}}
    done = subprocess.run(
        [python, Path(__file__).with_name("vllm_offline.py"), toy],
        input=json.dumps([{"messages": QUESTION, "extra_args": None}, forbidden]),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, **VLLM, "PYTHONPATH": str(PACKAGE)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    output = next(line for line in done.stdout.splitlines() if "REPLIES" in line)
    free, without = json.loads(output.split("REPLIES ")[1])
    assert free["text"] == reply.text
    written = [unit for unit in free["ids"] if unit != reference.tokenizer.eos_token_id]
    assert written == reply.ids
    expected = _logprobs(reference, reference.prompt(QUESTION), free["ids"])
    assert free["logprobs"] == pytest.approx(expected, abs=2e-3)
    assert not any(unit in latents for unit in without["ids"])


def _logprobs(reference, prompt, written):
    with torch.no_grad():
        logits = reference.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.log_softmax(-1)[range(len(written)), written]
    return chosen.tolist()


def test_a_chat_equals_the_reply_of_transformers_and_usage_counts_units(server, reference, reply):
    done = ask(server)
    assert done.choices[0].message.content == reply.text
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.completion_tokens == len(reply.ids) + 1  # the end of the turn
    assert done.usage.prompt_tokens == len(reference.prompt(QUESTION))


def test_a_stream_breaks_no_latent(server, reference, reply, latents):
    chunks = ask(server, stream=True)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    pieces = [piece for piece in pieces if piece]
    assert "".join(pieces) == reply.text
    for unit in reply.ids:
        if unit in latents:
            text = reference.tokenizer.decode([unit])
            assert any(text in piece for piece in pieces)  # a slow client gets several units at once


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_parsed_out_of_latents(server, stream):
    done = ask(server, tools=TOOLS, stream=stream)
    if not stream:
        (call,) = done.choices[0].message.tool_calls
        assert done.choices[0].finish_reason == "tool_calls"
        name, arguments = call.function.name, call.function.arguments
    else:
        deltas = [chunk.choices[0].delta for chunk in done if chunk.choices]
        parts = [part.function for delta in deltas for part in delta.tool_calls or []]
        name = "".join(part.name or "" for part in parts)
        arguments = "".join(part.arguments or "" for part in parts)
    assert_is_call({"name": name, "arguments": json.loads(arguments)})


def test_a_stop_string_within_a_latent_cuts_the_text(server, reference, reply, latents):
    long = max(
        (unit for unit in reply.ids if unit in latents),
        key=lambda unit: len(reference.tokenizer.decode([unit])),
    )
    text = reference.tokenizer.decode([long])
    stop = text[len(text) // 2 : len(text) // 2 + 4]
    done = ask(server, stop=[stop])
    assert done.choices[0].message.content == reply.text[: reply.text.index(stop)]
    assert done.choices[0].finish_reason == "stop"


def test_logprobs_name_latents(server, reference, reply):
    entries = ask(server, logprobs=True, top_logprobs=1).choices[0].logprobs.content
    assert [entry.token for entry in entries[: len(reply.ids)]] == [
        reference.tokenizer.decode([unit]) for unit in reply.ids
    ]


def test_max_tokens_counts_units(server, reference, reply):
    done = ask(server, max_tokens=3)
    assert done.choices[0].message.content == reference.tokenizer.decode(reply.ids[:3])
    assert done.choices[0].finish_reason == "length"


def test_history_is_latents_again(server, reference, reply):
    history = [*QUESTION, {"role": "assistant", "content": reply.text}, *QUESTION]
    ids = post(server, "/tokenize", {"model": "toy", "messages": history})["tokens"]
    assert ids == reference.prompt(history)
    start = len(reference.prompt(QUESTION))
    assert ids[start : start + len(reply.ids)] == reply.ids


def test_latents_are_forbidden_in_one_request(server, reference, latents):
    done = ask(server, extra_body={"vllm_xargs": {"latents": "forbid"}}, logprobs=True)
    written = {entry.token for entry in done.choices[0].logprobs.content}
    assert written.isdisjoint({reference.tokenizer.decode([unit]) for unit in latents})
    kept = ask(server, extra_body={"vllm_xargs": {"latents": "agent"}})
    assert kept.choices[0].message.content == ask(server).choices[0].message.content


def test_an_unknown_mode_is_the_clients_error(server):
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.BadRequestError, match="allow, agent, forbid"):
        ask(server, extra_body={"vllm_xargs": {"latents": "sometimes"}})


@pytest.mark.parametrize("method", SPECULATION)
def test_speculation_changes_no_word(toy, reference, reply, tmp_path, method):
    """The prompt contains a reply's text, so that both methods find drafts in it."""
    if method == "suffix":
        needs_suffix_decoding()
    messages = [{"role": "user", "content": f"{reply.text}\n{QUESTION[0]['content']}"}]
    with vllm_serve(toy, tmp_path / "log", *speculation(method)) as server:
        assert ask(server, messages=messages).choices[0].message.content == reference.reply(messages).text
        assert counted(server, "spec_decode_num_accepted_tokens_total") > 0


def needs_suffix_decoding():
    """Skip where vLLM's environment lacks the package of its method `suffix`."""
    python = from_environment("LAR_VLLM", "vLLM")
    command = [python, "-c", "import arctic_inference.suffix_decoding"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs arctic-inference (tests/engines/install.sh FOLDER suffix)")


def test_prefixes_stay_in_the_cache_from_turn_to_turn(server):
    """A turn's prompt and reply are part of the next prompt: all their whole blocks are cache hits."""
    block = 128  # tokens of a cache block of vLLM for CPUs
    history = [{"role": "user", "content": "How warm is it in Lima, and in Oslo? " * 20}]
    hits = []
    for _ in range(3):
        before = counted(server, "prefix_cache_hits_total")
        done = ask(server, messages=history, max_tokens=32)
        hits.append((counted(server, "prefix_cache_hits_total") - before, done.usage.prompt_tokens))
        history = [*history, {"role": "assistant", "content": done.choices[0].message.content}, *QUESTION]
    assert hits[0][1] >= block  # otherwise no block could be hit
    for (hit, _), (_, prompt_before) in zip(hits[1:], hits, strict=False):
        assert hit >= prompt_before // block * block


def counted(server, name):
    """The value of a counter of vLLM's metrics."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"vllm:{name}"))
