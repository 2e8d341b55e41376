"""An OpenAI-compatible server that records requests and replies; replies are scripted or another server's.

It answers what agents request: `POST /v1/chat/completions` with `"stream": true`, and `GET /v1/models`.
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_FRAGMENT = 7  # characters of a scripted reply in one chunk
_UPSTREAM_TIMEOUT = 1800.0  # seconds: a small machine reads a long prompt slowly

Chunk = dict[str, Any]
Answer = Callable[[dict[str, Any]], Iterator[Chunk]]


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, with its arguments as an object."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A scripted reply: a text, calls of tools, or both."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass
class Exchange:
    """One request, and the chunks of its streamed reply.

    error: the error that replaced the reply or ended it early.
    """

    request: dict[str, Any]
    chunks: list[Chunk] = field(default_factory=list)
    error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the reply was completed."""
        return any(choice.get("finish_reason") for chunk in self.chunks for choice in _choices(chunk))

    def message(self) -> dict[str, Any]:
        """The reply as one assistant message, in the format of OpenAI's API without streaming."""
        calls: dict[int, dict[str, Any]] = {}
        text = ""
        for delta in self._deltas():
            text += delta.get("content") or ""
            for part in delta.get("tool_calls") or []:
                _add_call(calls, part)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        return {**message, "tool_calls": [calls[index] for index in sorted(calls)]} if calls else message

    def _deltas(self) -> Iterator[dict[str, Any]]:
        for chunk in self.chunks:
            for choice in _choices(chunk):
                yield choice["delta"]


def _choices(chunk: Chunk) -> list[dict[str, Any]]:
    """The choices of a chunk; empty where the chunk is an error or the usage."""
    choices: list[dict[str, Any]] = chunk.get("choices") or []
    return choices


def _add_call(calls: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    empty = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
    call = calls.setdefault(part["index"], empty)
    call["id"] = call["id"] or part.get("id")
    for key, value in part.get("function", {}).items():
        call["function"][key] += value or ""


class RecordingServer:
    """Answers requests at `base_url` within its `with` block, and records them in `exchanges`."""

    def __init__(self, answer: Answer) -> None:
        """`answer` makes the chunks of a reply from a request."""
        self.exchanges: list[Exchange] = []
        self._answer = answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        """The base URL for a client of the OpenAI API."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def chunks_of(self, exchange: Exchange) -> Iterator[Chunk]:
        """The reply's chunks, recorded as they pass."""
        for chunk in self._answer(exchange.request):
            exchange.chunks.append(chunk)
            if "error" in chunk:
                exchange.error = json.dumps(chunk["error"], ensure_ascii=False)
            yield chunk

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def scripted(script: Callable[[dict[str, Any]], Reply]) -> Answer:
    """Answer each request with the reply that `script` returns for it."""

    def answer(request: dict[str, Any]) -> Iterator[Chunk]:
        yield from _streamed(script(request), request)

    return answer


def in_order(*replies: Reply) -> Answer:
    """Answer requests with `replies` in order; repeat the last reply for further requests."""
    waiting = list(replies)
    return scripted(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])


def forwarded(base_url: str) -> Answer:
    """Answer each request with the reply that the server at `base_url` streams."""

    def answer(request: dict[str, Any]) -> Iterator[Chunk]:
        posted = urllib.request.Request(
            f"{base_url.rstrip('/')}/chat/completions",
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(posted, timeout=_UPSTREAM_TIMEOUT) as lines:
            for line in lines:
                data = line.removeprefix(b"data:").strip()
                if line.startswith(b"data:") and data != b"[DONE]":
                    yield json.loads(data)

    return answer


def _streamed(reply: Reply, request: dict[str, Any]) -> Iterator[Chunk]:
    """The chunks of a reply: the role, fragments of the text and of each call, the end."""
    number = sum(message["role"] == "assistant" for message in request["messages"])
    common = {"id": f"reply-{number}", "object": "chat.completion.chunk", "created": 0}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**common, "model": request["model"], "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for text in _fragments(reply.text):
        yield chunk({"content": text})
    for index, call in enumerate(reply.calls):
        begun = {"index": index, "id": f"call_{number}_{index}", "type": "function"}
        yield chunk({"tool_calls": [{**begun, "function": {"name": call.name, "arguments": ""}}]})
        for text in _fragments(json.dumps(call.arguments, ensure_ascii=False)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    yield chunk({}, "tool_calls" if reply.calls else "stop")
    if (request.get("stream_options") or {}).get("include_usage"):
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        yield {**common, "model": request["model"], "choices": [], "usage": usage}


def _fragments(text: str) -> Iterator[str]:
    return (text[start : start + _FRAGMENT] for start in range(0, len(text), _FRAGMENT))


def _handler(server: RecordingServer) -> type[BaseHTTPRequestHandler]:
    """The class of request handlers of a recording server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send_json(200, {"object": "list", "data": []})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            exchange = Exchange(request)
            server.exchanges.append(exchange)
            if self.path != "/v1/chat/completions" or not request.get("stream"):
                self._refuse(exchange, 400, "only streamed chat completions are supported")
                return
            try:
                self._send_stream(exchange)
            except urllib.error.HTTPError as error:
                self._refuse(exchange, error.code, error.read().decode(errors="replace"))
            except urllib.error.URLError as error:
                self._refuse(exchange, 502, str(error.reason))

        def log_message(self, *_: object) -> None:
            """Requests are recorded; nothing is printed."""

        def _send_stream(self, exchange: Exchange) -> None:
            chunks = server.chunks_of(exchange)
            first = next(chunks)  # an error of the other server is raised before the first header is written
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self._send_event(first)
            for chunk in chunks:
                self._send_event(chunk)
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _send_event(self, chunk: Chunk) -> None:
            self.wfile.write(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")
            self.wfile.flush()

        def _refuse(self, exchange: Exchange, status: int, text: str) -> None:
            exchange.error = f"{status}: {text}"
            self._send_json(status, {"error": {"message": text, "type": "invalid_request_error"}})

        def _send_json(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
