"""OpenAI chat in its many wrappings, and the package's own records.

Read are `{"messages": [...]}` with or without tools (fine-tuning lines too, calls as `tool_calls` or as
`function_call`), a bare list of messages, request and response as a proxy logs them, prompt and completion
(as messages or as text), preference pairs (the chosen answer), and the package's own fields (`id, task,
success, model, source, tools, messages`, with `split_key` before `task`).
"""

import re
from dataclasses import replace
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.masked import is_told, without_masks
from lar.trajectories.dialects.messages import is_conversation, normalize_messages, plain_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.continued import continued, is_agents
from lar.trajectories.formats.interfaces.exchange import exchanges_of, reply_id
from lar.trajectories.formats.interfaces.fields import MESSAGE_KEYS, TOOLS, success_of, task_of, with_system
from lar.trajectories.formats.interfaces.reply import REPLIES, reply_messages, reply_of
from lar.trajectories.formats.interfaces.streams import is_cut
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, from_json_text, has, identifier, text_or_none
from lar.trajectories.schema import PARQUET_SCHEMA, Message, Tool

# Where a log keeps the request.
_REQUESTS = ("request", "body", "input", "inputs", "kwargs", "prompt")
# How templates begin a turn: ChatML, Llama 3, Llama 2 and Mistral, Gemma, Phi, GLM, DeepSeek.
_TURNS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|\[INST\]|\[/INST\]|<start_of_turn>|<\|turn>"
    r"|<\|(?:system|user|assistant|observation|start)\|>|<\uff5c(?:User|Assistant)\uff5c>"
)
_STATUSES = ("status", "status_code", "statusCode", "http_status", "response_status")

# A record with no other keys, and plain messages, is of no other format.
_OWN = frozenset(("messages", "tools", "id", "task", "split_key", "model", "success", "source"))
_WRITTEN = frozenset(PARQUET_SCHEMA.names)


def plain(value: Any) -> list[Message] | None:
    """The messages of a record in OpenAI's form that no other format need be asked for; None for others."""
    if type(value) is not dict or not value.keys() <= _OWN:
        return None
    messages = plain_messages(value.get("messages"))
    # Several speakers may have names; a record that this package wrote has their roles already.
    if messages is None or value.keys() >= _WRITTEN or not any(map(_has_speaker, messages)):
        return messages
    return None


def _has_speaker(message: Message) -> bool:
    return len(message) > 2 and "name" in message and message["role"] in ("user", "assistant")


def _request(value: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Find the raw messages of a record and the object that holds them, wherever this wrapping keeps them."""
    value = from_json_text(value)
    if is_conversation(value):
        return list(value), {}
    if not isinstance(value, dict):
        return None
    if (messages := _listed(value)) is not None:
        return messages, value
    for key in _REQUESTS:
        found = _request(value.get(key)) if isinstance(value.get(key), dict | list | str) else None
        if found is not None:
            return found
    return _pair(value)


def _listed(value: dict[str, Any]) -> list[Any] | None:
    for key in MESSAGE_KEYS:
        messages = from_json_text(value.get(key))
        if is_conversation(messages):
            return list(messages)
    return None


def _pair(value: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """A question and its answer as two texts, or a preference pair whose two sides hold the question too."""
    if is_conversation(value.get("chosen")) and not isinstance(value.get("prompt"), str):
        return [], value
    for key in ("prompt", "instruction", "question", "query", "input"):
        asked = value.get(key)
        if isinstance(asked, str) and asked and _answers(value, key):
            more = value.get("input") if key == "instruction" else None
            text = f"{asked}\n\n{more}" if isinstance(more, str) and more else asked
            return [{"role": "user", "content": text}], value
    return None


def _answers(value: dict[str, Any], asked: str) -> bool:
    """Whether a record has a reply beside a question; a question-answer pair is not a log of a model."""
    keys = ("chosen", *REPLIES) if asked in ("prompt", "instruction", "input") else ("response", "completion")
    return any(reply_messages(value.get(key)) for key in keys)


def _said(value: dict[str, Any], history: list[Any]) -> list[Any]:
    """The messages that follow the history: the chosen answer of a preference pair, or the model's reply."""
    chosen = reply_messages(value.get("chosen")) if "chosen" in value and "rejected" in value else None
    reply = reply_of(value) if chosen is None else chosen
    if len(reply) > len(history) and reply[: len(history)] == history:
        return reply[len(history) :]
    return reply


def _is_error(reply: list[Any], value: dict[str, Any]) -> bool:
    """Whether a reply is the text of an HTTP error, by the status beside it: no model wrote that."""
    is_text = any(value.get(key) == reply[0].get("content") for key in REPLIES)
    statuses = [value[key] for key in _STATUSES if isinstance(value.get(key), int)]
    return len(reply) == 1 and is_text and any(400 <= status < 600 for status in statuses)


def _is_reference(reply: list[Any], value: dict[str, Any]) -> bool:
    """Whether a reply is a text beside whole conversations: data sets keep the right answer so."""
    return reply[0].get("content") in [value[key] for key in REPLIES if isinstance(value.get(key), str)]


def _read(record: Record) -> list[Draft]:
    value = record.value
    if record.plain is not None:
        return [_draft(value, record.plain, value, parse_tools(value.get("tools")))]
    found = _request(value)
    if found is None:
        # Raises the exact error.
        normalize_messages(value.get("messages") if isinstance(value, dict) else value)
        raise TrajectoryError("no list of messages with role and content")
    history, inner = found
    if not isinstance(value, dict):
        return [Draft(normalize_messages(history))]
    reply = _said(value, history)
    if reply and _is_error(reply, value):
        return [no_content()]
    if reply and history and is_agents(history[-1]):
        is_whole = inner is value and _is_reference(reply, value)
        history, reply = (history, []) if is_whole else continued(history, reply)
    messages = normalize_messages(with_system(history + reply, inner or value))
    told = without_masks(messages) if reply else messages
    if len(told) < len(messages) and not any(map(is_told, told)):
        return [no_content()]
    schemas = (parse_tools(at.get(key)) for at in (inner, value) for key in TOOLS)
    raw = _raw_reply(value)
    draft = replace(
        _draft(value, told, inner, next(filter(None, schemas), None)),
        is_call=bool(reply),
        is_unanswered=len(told) < len(messages),
        reply_id=reply_id(raw),
        is_cut=is_cut(raw),
        is_rendered=is_rendered(inner.get("prompt")),
    )
    return [draft]


def is_rendered(prompt: Any) -> bool:
    """Whether a prompt is a conversation that a chat template has rendered: it has the marks of two turns."""
    return isinstance(prompt, str) and len(_TURNS.findall(prompt)) > 1


def _draft(
    value: dict[str, Any],
    messages: list[Message],
    inner: dict[str, Any],
    tools: list[Tool] | None,
) -> Draft:
    return Draft(
        messages,
        id=identifier(value.get("id")),
        task=task_of(value),
        success=success_of(value),
        model=first_text((inner.get("model"), value.get("model"))),
        source=text_or_none(value.get("source")),
        keep_source="source" in value,
        tools=tools,
    )


def _raw_reply(value: dict[str, Any]) -> Any:
    """The body of the reply, which may be the record itself; None where there is no one exchange."""
    found = exchanges_of(value)
    return value if "choices" in value else found[0].reply if len(found) == 1 else None


FORMAT = Format(
    "chat",
    "OpenAI chat, and the package's own JSONL and Parquet",
    lambda value: (
        _request(value) is not None or (has(value, "messages") and isinstance(value["messages"], list))
    ),
    _read,
)
