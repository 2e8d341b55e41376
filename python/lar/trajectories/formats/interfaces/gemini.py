"""Gemini's API: `contents`, `candidates`, and the files that hold them.

Read are requests, responses (streamed ones in chunks), pairs of both as a proxy, Vertex AI's batch jobs and
its request log write them, tuning lines (`systemInstruction`, `contents`, `tools`; of several `completions`
the best), checkpoints (`history`), prompts saved by AI Studio, and bare lists of contents.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.exchange import reply_id
from lar.trajectories.formats.interfaces.streams import is_cut, whole_reply
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, either, first_object, first_text, from_json_text, has
from lar.trajectories.schema import Message
from lar.trajectories.tasks import first_message_task

_REQUESTS = ("request", "full_request", "request_payload", "requestBody", "request_body", "body", "input")
_RESPONSES = (
    "response",
    "full_response",
    "response_payload",
    "responseBody",
    "response_body",
    "output",
    "body",
)
_MEMBERS = frozenset((*_REQUESTS, *_RESPONSES, "contents", "history", "chunkedPrompt"))
_AGENT = ("model", "gemini", "assistant")
# What the Gemini CLI writes before the user's first request.
_BOILERPLATE = ("This is the Gemini CLI", "<session_context>", "<hook_context>")
_PLAIN = ("output", "result", "content", "text")
_CODE = "code_execution"  # the name of the tool that runs the model's code on the server


def raw_messages(contents: Iterable[Any]) -> list[dict[str, Any]]:
    """Turn contents {role, parts} into raw messages of parts; contents of the model in a row are one turn."""
    messages: list[dict[str, Any]] = []
    for content in contents:
        if isinstance(content, str):
            content = {"parts": [content]}
        role = "assistant" if content.get("role") in _AGENT else content.get("role") or "user"
        parts = raw_parts(content.get("parts"))
        if role == "assistant" and messages and messages[-1]["role"] == role:
            messages[-1]["content"] += parts
        else:
            messages.append({"role": role, "content": parts})
    return messages


def raw_parts(parts: Any) -> list[dict[str, Any]]:
    """Turn the parts of a content, which may be one text or one part, into parts of Anthropic's form."""
    return [raw for part in as_list(parts) for raw in _raw_part(part)]


def _raw_part(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, str):
        return [{"type": "text", "text": part}]
    if not isinstance(part, dict):
        raise TrajectoryError("a part is neither text nor an object")
    text, thought = part.get("text"), part.get("thought")
    said = []
    if isinstance(text, str) and text:
        said = [{"type": "thinking", "thinking": text} if thought is True else {"type": "text", "text": text}]
    elif isinstance(thought, str) and thought:
        said = [{"type": "thinking", "thinking": thought}]
    for name, read in _KINDS.items():
        if isinstance(item := either(part, name), dict):
            return [*said, read(item)]
    # A part of a new kind gets a placeholder with its name; a signature is for the server.
    names = [name for name, item in part.items() if isinstance(item, dict | list) and item]
    return said or [{"type": name} for name in names[:1]]


def _media(item: dict[str, Any]) -> dict[str, Any]:
    kind = str(either(item, "mime_type") or "").partition("/")[0]
    return {"type": kind if kind in ("image", "audio", "video") else "file"}


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    """A function's response; where it holds nothing but one text, that text."""
    response = answer.get("response")
    if isinstance(response, dict) and len(response) == 1:
        key, value = next(iter(response.items()))
        response = value if key in _PLAIN and isinstance(value, str) else response
    media = raw_parts(answer.get("parts"))
    content = (
        [{"type": "text", "text": response}, *media] if media and isinstance(response, str) else response
    )
    return {"type": "tool_result", "id": answer.get("id"), "name": answer.get("name"), "content": content}


_KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "function_call": lambda call: {
        "type": "tool_use",
        "id": call.get("id"),
        "name": call["name"],
        "input": call.get("args"),
    },
    "function_response": _result,
    "executable_code": lambda code: {"type": "tool_use", "name": _CODE, "input": code},
    "code_execution_result": lambda ran: {
        "type": "tool_result",
        "name": _CODE,
        "content": ran.get("output") or ran.get("outcome"),
    },
    "inline_data": _media,
    "file_data": _media,
}


def system_messages(instruction: Any) -> list[dict[str, Any]]:
    """The system instruction, a text or a content, as a raw message; none where there is no text."""
    parts = instruction.get("parts", instruction) if isinstance(instruction, dict) else instruction
    raw = raw_parts(parts)
    return [{"role": "system", "content": raw}] if raw else []


def request_task(messages: list[Message]) -> str:
    """The task by the first message of the user that the program itself did not write."""
    own = [
        message
        for message in messages
        if message["role"] == "user" and not message["content"].lstrip().startswith(_BOILERPLATE)
    ]
    return first_message_task(own or messages)


def _contents(value: Any) -> list[Any] | None:
    """The contents of a request, of a checkpoint, or of a prompt saved by AI Studio."""
    if not isinstance(value, dict):
        return None
    chunks = value["chunkedPrompt"].get("chunks") if has(value.get("chunkedPrompt"), "chunks") else None
    if isinstance(chunks, list):
        return [_chunk_content(chunk) for chunk in chunks if isinstance(chunk, dict)]
    for key in ("contents", "history"):
        found = value.get(key)
        found = [found] if has(found, "parts") else found
        if isinstance(found, list) and has(first_object(found), "parts"):
            return found
    return None


def _chunk_content(chunk: dict[str, Any]) -> dict[str, Any]:
    parts = chunk.get("parts")
    parts = (
        parts if isinstance(parts, list) and parts else [{"text": chunk["text"]}] if "text" in chunk else []
    )
    if chunk.get("isThought"):
        parts = [{**part, "thought": True} if isinstance(part, dict) else part for part in parts]
    code = [{key: chunk[key]} for key in ("executableCode", "codeExecutionResult") if key in chunk]
    return {"role": chunk.get("role"), "parts": parts + code}


def _inside(value: Any, names: tuple[str, ...], depth: int = 3) -> Iterator[Any]:
    """Yield `value` and what its members `names` hold, also one in the other; JSON text is opened."""
    value = from_json_text(value)
    yield value
    if isinstance(value, dict) and depth:
        for name in names:
            if name in value:
                yield from _inside(value[name], names, depth - 1)


def _request(value: dict[str, Any]) -> dict[str, Any] | None:
    """The object that holds the contents."""
    return next((part for part in _inside(value, _REQUESTS) if _contents(part) is not None), None)


def _response(value: dict[str, Any]) -> dict[str, Any]:
    """The response, the chunks of a stream put together; empty where there is none."""
    for found in _inside(value, _RESPONSES):
        response = whole_reply(found) if isinstance(found, str | list) else found
        if _candidate(response):
            inner = response.get("response", response)
            return dict(inner)
    return {}


def _candidate(response: Any) -> Any:
    response = response.get("response", response) if isinstance(response, dict) else None
    first = first_object(dig(response, "candidates"))
    return first if has(first, "content") or has(first, "finishReason") else None


def _reply(value: dict[str, Any], response: dict[str, Any]) -> list[Any]:
    """The contents that answer the request: of a response, else the best of a preference tuning line."""
    ranked = value.get("completions")
    if not response and isinstance(ranked, list) and ranked:
        best = max(ranked, key=lambda item: item.get("score") or 0)
        return [{"role": "model", "parts": best["completion"]["parts"]}]
    content = (_candidate(response) or {}).get("content")
    return [{**content, "role": "model"}] if isinstance(content, dict) else []


def _recognises(value: Any) -> bool:
    """Whether `value` holds contents or, in a member, a response. A chunk of a stream alone is no record."""
    if not isinstance(value, dict) or _MEMBERS.isdisjoint(value):
        return False
    return _request(value) is not None or ("candidates" not in value and bool(_response(value)))


def _read(record: Record) -> list[Draft]:
    value = record.value
    request, response = _request(value) or {}, _response(value)
    contents = [*(_contents(request) or []), *_reply(value, response)]
    instruction = system_messages(either(request, "system_instruction"))
    messages = normalize_messages(instruction + raw_messages(contents))
    settings = request.get("runSettings") or request.get("meta") or {}
    version = either(response, "model_version")
    names = (request.get("model"), value.get("model"), version, settings.get("model"))
    return [
        Draft(
            messages,
            id=first_text(map(value.get, ("id", "key", "request_id"))),
            task=request_task(messages),
            success=solved(value.get("reward")),
            model=first_text(names),
            tools=parse_tools(request.get("tools")),
            is_call=bool(response),
            reply_id=reply_id(response),
            is_cut=is_cut(response),
        )
    ]


def _read_list(record: Record) -> list[Draft]:
    messages = normalize_messages(raw_messages(record.value))
    return [Draft(messages, task=request_task(messages))]


GEMINI = Format("gemini", "Gemini API (contents, candidates; Vertex AI)", _recognises, _read)
CONTENTS = Format(
    "gemini_contents",
    "Gemini contents, one a line or a bare list (older checkpoints)",
    lambda value: has(value, "role", "parts") and isinstance(value["parts"], list),
    _read_list,
    whole_file=True,
)
