"""The arguments of calls in the form that a chat template takes."""

import json
from typing import Any

from lar.tokenizer.chat_template import TemplateMessage


def with_arguments(message: TemplateMessage) -> TemplateMessage:
    """Return the message with `{}` for arguments without text, and without the key `weight`.

    No chat has that key: it only decides which text counts as the agent's.
    """
    plain = {key: value for key, value in message.items() if key != "weight"}
    if calls := message.get("tool_calls"):
        plain["tool_calls"] = [_with(call, _object_text(call["function"].get("arguments"))) for call in calls]
    return plain


def parsed_arguments(message: TemplateMessage) -> TemplateMessage:
    """Return the message with arguments as objects; arguments that are no JSON object stay text."""
    if calls := message.get("tool_calls"):
        return {
            **message,
            "tool_calls": [_with(call, _parsed(call["function"]["arguments"])) for call in calls],
        }
    return message


def _object_text(arguments: Any) -> Any:
    empty = arguments is None or (isinstance(arguments, str) and not arguments.strip())
    return "{}" if empty else arguments


def _parsed(text: Any) -> Any:
    try:
        arguments = json.loads(text)
    # Brackets that a model repeats without an end nest too deep.
    except (TypeError, ValueError, RecursionError):
        return text
    return arguments if isinstance(arguments, dict) else text


def _with(call: dict[str, Any], arguments: Any) -> dict[str, Any]:
    return {**call, "function": {**call["function"], "arguments": arguments}}
