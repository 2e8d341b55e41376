"""An agent behind an OpenAI-compatible server: what it sends and counts, and what failures look like."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("openai", reason="needs the extra `engines`")

from benches.agents.episodes import run_batch
from benches.agents.server_agent import ServerAgent
from lar.generation.sampling import Sampling
from testing import toy


@contextmanager
def serving(answer):
    """A server that answers each request with `answer(body)`: a status and a JSON value."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            status, value = answer(body)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(body):
    turns = sum(message["role"] == "assistant" for message in body["messages"])
    text = "warm" if turns else "How is it?"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10 * (turns + 1), "completion_tokens": 2, "total_tokens": 0}
    value = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return 200, {**value, "usage": usage}


def test_the_server_gets_the_whole_conversation_and_its_counts_are_kept(world):
    tokenizer = toy.tokenizer()
    with serving(completion) as (url, asked):
        agent = ServerAgent(
            url, "student", tokenizer, Sampling(max_units=7, temperature=0.5, seed=3, stop="x")
        )
        results = run_batch(world, world.tasks("test", 3), agent)
    assert [result.turns for result in results] == [2, 2, 2]
    assert [(result.units, result.sent, result.passes) for result in results] == [(4, 30, None)] * 3
    written = sum(len(tokenizer.encode(text)) + 1 for text in ("How is it?", "warm"))
    assert results[0].base_tokens == written
    assert sorted(len(body["messages"]) for body in asked) == [1, 1, 1, 3, 3, 3]
    last = max(asked, key=lambda body: len(body["messages"]))
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user"]
    sent = {name: last[name] for name in ("model", "max_tokens", "temperature", "seed", "stop")}
    assert sent == {"model": "student", "max_tokens": 7, "temperature": 0.5, "seed": 3, "stop": ["x"]}


def test_a_server_that_is_not_there_is_one_line(world):
    agent = ServerAgent("http://127.0.0.1:9/v1", "student", toy.tokenizer(), Sampling())
    with pytest.raises(
        SystemExit, match=r"http://127\.0\.0\.1:9/v1, model student: Connection error"
    ) as caught:
        run_batch(world, world.tasks("test", 1), agent)
    assert "\n" not in str(caught.value)
    assert world.open == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {"error": {"message": "no model student"}}), "no model student"),
        ((200, {**completion({"messages": []})[1], "usage": None}), "does not count tokens"),
    ],
)
def test_what_a_server_refuses_is_one_line(world, answer, message):
    with serving(lambda _: answer) as (url, _):
        agent = ServerAgent(url, "student", toy.tokenizer(), Sampling())
        with pytest.raises(SystemExit, match=message):
            run_batch(world, world.tasks("test", 1), agent)
