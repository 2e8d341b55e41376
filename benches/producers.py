"""Runs as logs of producers other than plain OpenAI chat, for `benches.importing`.

LiteLLM, Langfuse and OpenTelemetry write a record for each call of the model, with the whole conversation
before it. Claude Code writes a file for each session, with an entry for each message.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

Message = dict[str, Any]
Record = dict[str, Any]


def with_tools(run: Record) -> Record | None:
    """A run with a list of the tools that it calls; None for one that some producer could not write."""
    tools: dict[str, Record] = {}
    for message in run["messages"]:
        if not isinstance(message["content"], str | None):
            return None
        if message["role"] == "tool" and "tool_call_id" not in message:
            return None
        for call in message.get("tool_calls") or []:
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            if not isinstance(arguments, str) or not isinstance(values := json.loads(arguments), dict):
                return None
            tools[name] = _tool(name, values)
    return {**run, "tools": list(tools.values())}


def _tool(name: str, arguments: Record) -> Record:
    properties = {key: {"type": "string", "description": f"The {key}."} for key in arguments}
    parameters = {"type": "object", "properties": properties}
    function = {"name": name, "description": f"Calls {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


def calls_of(run: Record) -> Iterator[tuple[int, list[Message], Message]]:
    """Each call of the model in a run: its number, what it read, what it wrote."""
    for place, message in enumerate(run["messages"]):
        if message["role"] == "assistant" and place:
            yield place, run["messages"][:place], message


def litellm(run: Record) -> Iterator[Record]:
    """Lines of LiteLLM's standard logging payload."""
    for number, read, written in calls_of(run):
        choices = [{"index": 0, "finish_reason": "stop", "message": written}]
        yield {
            "id": f"{run['id']}-{number}",
            "trace_id": run["id"],
            "call_type": "acompletion",
            "status": "success",
            "model": "demo",
            "messages": read,
            "response": {"id": f"{run['id']}-{number}", "object": "chat.completion", "choices": choices},
            "model_parameters": {"tools": run["tools"], "temperature": 0},
            "metadata": {"user_api_key_hash": "x"},
        }


def langfuse(run: Record) -> Iterator[Record]:
    """Langfuse's observations, whose inputs and outputs are JSON as text."""
    for number, read, written in calls_of(run):
        yield {
            "id": f"{run['id']}-{number}",
            "trace_id": run["id"],
            "project_id": "p",
            "environment": "default",
            "type": "GENERATION",
            "parent_observation_id": None,
            "start_time": f"2026-01-01 00:{number // 60:02}:{number % 60:02}.000",
            "name": "llm",
            "metadata": "{}",
            "provided_model_name": "demo",
            "input": _json({"messages": read, "tools": run["tools"]}),
            "output": _json(written),
        }


def otel(run: Record) -> Iterator[Record]:
    """Lines of an OpenTelemetry collector's file exporter, by the conventions for generative AI."""
    for number, read, written in calls_of(run):
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "demo",
            "gen_ai.conversation.id": run["id"],
            "gen_ai.tool.definitions": _json([tool["function"] for tool in run["tools"]]),
            "gen_ai.input.messages": _json([_in_parts(message) for message in read]),
            "gen_ai.output.messages": _json([_in_parts(written) | {"finish_reason": "stop"}]),
        }
        span = {
            "traceId": md5(run["id"].encode()).hexdigest(),
            "spanId": f"{number:016x}",
            "name": "chat demo",
            "kind": 3,
            "startTimeUnixNano": str(1_760_000_000_000_000_000 + number),
            "endTimeUnixNano": str(1_760_000_000_000_000_001 + number),
            "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in attributes.items()],
        }
        yield {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


def claude_code(run: Record) -> Iterator[Record]:
    """The entries of a session of Claude Code."""
    for number, message in enumerate(run["messages"]):
        role, content = _in_blocks(message)
        entry = {
            "parentUuid": _uuid(run["id"], number - 1) if number else None,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/w",
            "sessionId": _uuid(run["id"]),
            "version": "2.1.40",
            "gitBranch": "main",
            "type": role,
            "uuid": _uuid(run["id"], number),
            "timestamp": "2026-01-01T00:00:00.000Z",
        }
        if role == "assistant":
            whole = {"id": f"msg_{number:024}", "type": "message", "model": "demo", "stop_reason": None}
            message = whole | {"role": role, "content": content}
            yield entry | {"requestId": f"req_{number:024}", "message": message}
        else:
            yield entry | {"message": {"role": role, "content": content}}


def _in_parts(message: Message) -> Message:
    """A message in OpenTelemetry's form."""
    if message["role"] == "tool":
        part = {"type": "tool_call_response", "id": message["tool_call_id"], "response": message["content"]}
        return {"role": "tool", "parts": [part]}
    parts: list[Record] = [{"type": "text", "content": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls") or []:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        parts.append(
            {"type": "tool_call", "id": call["id"], "name": function["name"], "arguments": arguments}
        )
    return {"role": message["role"], "parts": parts}


def _in_blocks(message: Message) -> tuple[str, Any]:
    """The role and the content of a message in Anthropic's form."""
    if message["role"] == "tool":
        block = {
            "type": "tool_result",
            "tool_use_id": message["tool_call_id"],
            "content": message["content"],
        }
        return "user", [block]
    if message["role"] != "assistant":
        return "user", message["content"]
    blocks: list[Record] = [{"type": "text", "text": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls") or []:
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": name, "input": arguments})
    return "assistant", blocks


def _uuid(*parts: object) -> str:
    return str(uuid5(NAMESPACE_OID, repr(parts)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


LINES: dict[str, Callable[[Record], Iterator[Record]]] = {
    "litellm": litellm,
    "langfuse": langfuse,
    "otel": otel,
}
"""Producers of one file with a record a line."""

SESSIONS: dict[str, Callable[[Record], Iterator[Record]]] = {"claude_code": claude_code}
"""Producers of a folder with a file for each run."""


def write(runs: Iterable[Record], producer: str, megabytes: int, target: Path) -> None:
    """Write runs as `producer` does, up to the run that reaches so many megabytes."""
    if target.exists():
        raise SystemExit(f"{target}: is there already")
    if producer in SESSIONS:
        target.mkdir(parents=True)
    written = 0
    for run in runs:
        if (whole := with_tools(run)) is None:
            continue
        make = LINES.get(producer) or SESSIONS[producer]
        lines = "".join(_json(record) + "\n" for record in make(whole)).encode()
        file = target / f"{run['id'].replace('/', '-')}.jsonl" if producer in SESSIONS else target
        with file.open("ab") as out:
            written += out.write(lines)
        if written >= megabytes * 1_000_000:
            return
