"""Tasks of Cline and Roo Code: `api_conversation_history.json`, a list of Anthropic's messages.

Cline's newer sessions (`SESSION.messages.json`) hold such a list, the system prompt and the session's name.
Calls that stand in the text as XML stay there, character for character. Roo's entries of type `reasoning`
belong to the turn after them. The task is what the user asked, without the details of the editor, which hold
the time. What Cline itself writes as the agent is context: that there was no answer, and behind the text of a
turn what interrupted it. `ui_messages.json` beside it holds the same task for the screen, and is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_conversation, normalize_messages
from lar.trajectories.dialects.parts import texts_of
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, first_text, has, text_or_none
from lar.trajectories.tasks import question_task

_DETAILS = "<environment_details>"
_NO_ANSWER = "Failure: I did not provide a response."
_INTERRUPTED = re.compile(r"\s*(\[Response interrupted by [^\]]+\])\s*$")
_ASKED = re.compile(r"<(task|user_message)>\s*(.*?)\s*</\1>", re.DOTALL)


def _recognises(value: Any) -> bool:
    if not is_conversation(value):
        return False
    texts = [text for message in value[:3] for text in texts_of(dig(message, "content"))]
    return any(_DETAILS in text for text in texts) or (
        has(value[0], "ts") and any(_ASKED.search(text) for text in texts)
    )


def _read(record: Record) -> list[Draft]:
    return [_draft(record.value)]


def _read_session(record: Record) -> list[Draft]:
    value = record.value
    prompt = value.get("system_prompt")
    system = [{"role": "system", "content": prompt}] if prompt else []
    return [replace(_draft(value["messages"], system), id=text_or_none(value.get("sessionId")))]


def _draft(messages: list[Any], system: Iterable[dict[str, Any]] = ()) -> Draft:
    raw: list[dict[str, Any]] = []
    thoughts: list[Any] = []
    for message in messages:
        if message.get("type") == "reasoning":
            thoughts.append(message.get("summary") or message.get("text"))
            continue
        if thoughts and message.get("role") == "assistant":
            message = {"reasoning_content": thoughts, **message}
            thoughts = []
        raw += _turns(_with_files(message))
    asked = next((found for text in texts_of(raw[0].get("content")) if (found := _ASKED.search(text))), None)
    task = question_task(asked[2]) if asked else None
    model = first_text(map(_model, raw))
    return Draft(normalize_messages([*system, *raw]), task=task, model=model)


def _turns(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The message; as context what no model wrote in it.

    Nothing may stand between calls and their results, so a notice beside calls is left out, and counted.
    """
    texts = texts_of(message.get("content"))
    if message.get("role") != "assistant" or not texts:
        return [message]
    if "".join(texts).strip() == _NO_ANSWER:
        return [{**message, "weight": 0}]
    notice = _INTERRUPTED.search(texts[-1])
    if notice is None:
        return [message]
    parts = as_list(message["content"])
    at = max(at for at, part in enumerate(parts) if texts_of([part]))
    said = texts[-1][: notice.start()]
    parts = [*parts[:at], *([{"type": "text", "text": said}] if said else []), *parts[at + 1 :]]
    turns = [{**message, "content": parts}] if parts or message.get("reasoning_content") else []
    if any(has(part, "type") and part["type"] == "tool_use" for part in parts):
        return turns
    return [*turns, {"role": "assistant", "content": notice[1], "weight": 0}]


def _with_files(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its files, which Cline gives as text, as text."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [
        {"type": "text", "text": part["content"]} if has(part, "path", "content") else part
        for part in content
    ]
    return {**message, "content": parts}


def _model(message: dict[str, Any]) -> Any:
    return dig(message, "modelInfo", "modelId") or dig(message, "modelInfo", "id")


def _refuse(_: Record) -> NoReturn:
    raise TrajectoryError(
        "Cline's messages for the screen: the same task is in api_conversation_history.json beside this file"
    )


TASK = Format("cline", "Cline or Roo Code task (api_conversation_history.json)", _recognises, _read)
SESSION = Format(
    "cline_session",
    "Cline session (SESSION.messages.json)",
    lambda value: has(value, "version", "updated_at", "messages") and is_conversation(value["messages"]),
    _read_session,
)
SCREEN = Format(
    "cline_screen",
    "Cline's ui_messages.json, which is refused: a copy of the task for the screen",
    lambda value: has(value, "ts", "type") and value["type"] in ("say", "ask"),
    _refuse,
    whole_file=True,
)
