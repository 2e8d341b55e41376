"""One turn of an OpenClaw agent, with a scripted model and with a real server's model.

The second model is the first one listed at `LAR_OPENAI_BASE_URL` (http://HOST:PORT/v1). With
`LAR_OPENCLAW_LEAN=1` both prompts have 3,000 tokens instead of 13,000, for slow servers.
"""

import json
import os
import urllib.request
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from testing.engines.openclaw_agent import new_agent
from testing.engines.recording_server import (
    Exchange,
    RecordingServer,
    Reply,
    ToolCall,
    forwarded,
    in_order,
    scripted,
)

VARIABLE = "LAR_OPENAI_BASE_URL"
LEAN = bool(os.environ.get("LAR_OPENCLAW_LEAN"))
NOTE = "The harbour master is Ines.\n"
MESSAGE = "Read note.txt and tell me who the harbour master is."
SCRIPT = (
    Reply("Let me read it.", (ToolCall("read", {"path": "note.txt"}),)),
    Reply("The harbour master is Ines."),
)


@dataclass(frozen=True)
class Model:
    """A model behind a recording server; `scripted` if its replies are."""

    server: RecordingServer
    name: str
    scripted: bool


@pytest.fixture(params=["scripted", "real"])
def model(request):
    scripted = request.param == "scripted"
    base_url = os.environ.get(VARIABLE)
    if not scripted and not base_url:
        pytest.skip(f"needs a server of a model with tool calls (set {VARIABLE})")
    with RecordingServer(in_order(*SCRIPT) if scripted else forwarded(base_url)) as server:
        yield Model(server, "student" if scripted else first_model(base_url), scripted)


def first_model(base_url: str) -> str:
    """The name of the first model of a server."""
    with urllib.request.urlopen(f"{base_url}/models", timeout=30) as response:
        name: str = json.load(response)["data"][0]["id"]
        return name


def test_one_agent_turn_goes_through(model, openclaw, tmp_path):
    agent = new_agent(openclaw, tmp_path, model.server.base_url, model.name, max_tokens=256, lean=LEAN)
    (agent.workspace / "note.txt").write_text(NOTE)
    turn = agent.turn(MESSAGE)
    exchanges = model.server.exchanges
    assert exchanges, turn.diagnostics
    for exchange in exchanges:
        check_request(exchange, model.name)
        check_reply(exchange)
    for earlier, later in pairwise(exchanges):
        check_results(earlier, later)
    if model.scripted:  # a real model writes and calls what it likes
        assert [exchange.message().get("content") for exchange in exchanges] == [one.text for one in SCRIPT]
        assert results(exchanges[-1].request) == [NOTE]
        assert turn.status == 0
        assert turn.text == SCRIPT[-1].text


def test_processes_that_it_started_are_ended(openclaw, tmp_path):
    seen = []

    def script(request):
        if not results(request):
            return Reply("It runs.", (ToolCall("exec", {"command": "sleep 3600", "background": True}),))
        seen.extend(sleeping(tmp_path))
        return Reply("Started.")

    with RecordingServer(scripted(script)) as server:
        agent = new_agent(openclaw, tmp_path, server.base_url, "student")
        assert agent.turn("Start something that takes long.").text == "Started."
    assert seen
    assert not sleeping(tmp_path)


def check_request(exchange: Exchange, name: str) -> None:
    """Assert that the request is streamed and has the model, the agent's prompt and its tools."""
    request = exchange.request
    assert request["model"] == name
    assert request["stream"]
    assert request["messages"][0]["role"] == "system"
    assert "OpenClaw" in request["messages"][0]["content"]
    assert {"read", "write", "edit", "exec"} <= {tool["function"]["name"] for tool in request["tools"]}


def check_reply(exchange: Exchange) -> None:
    """Assert that the reply came in pieces and was completed."""
    assert exchange.error is None
    assert exchange.complete
    assert len(exchange.chunks) > 2


def check_results(earlier: Exchange, later: Exchange) -> None:
    """Assert that the next request contains the calls of a reply, each with its result."""
    calls = earlier.message().get("tool_calls")
    if not calls:
        return
    turns = [message for message in later.request["messages"] if message["role"] == "assistant"]
    repeated = turns[-1]["tool_calls"]
    assert [called(call) for call in repeated] == [called(call) for call in calls]
    answered = {message.get("tool_call_id") for message in later.request["messages"]}
    assert {call["id"] for call in repeated} <= answered


def called(call) -> tuple[str, object]:
    """A call's name and its parsed arguments."""
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def results(request) -> list[str]:
    """The results of tools in a request."""
    return [message["content"] for message in request["messages"] if message["role"] == "tool"]


def sleeping(folder: Path) -> list[str]:
    """The ids of processes named sleep that run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at, name = (process / "cwd").readlink(), (process / "comm").read_text().strip()
        except OSError:
            continue  # it has ended, or another user owns it
        if name == "sleep" and at.is_relative_to(folder):
            found.append(process.name)
    return found
