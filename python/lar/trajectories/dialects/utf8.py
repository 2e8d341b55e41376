"""Texts that UTF-8 cannot hold, of bad bytes or half a character: repaired, but for the agent's."""

import re

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_own, strings_of
from lar.trajectories.schema import Message

_HALVES = re.compile("[\ud800-\udfff]")  # a byte that is not UTF-8 is read as one of these too


def repair_text(messages: list[Message]) -> bool:
    """Repair the texts that are not the agent's in place, as `repaired` does; return whether there was any.

    The agent's texts are learnt, so they must be what it wrote.

    Raises:
        TrajectoryError: a text of the agent cannot be written as UTF-8 (bad bytes, half a character).
    """
    found = False
    for number, message in enumerate(messages, start=1):
        if len(message) == 2 and message["content"].isascii():
            continue
        if all(repaired(text) is text for text in strings_of(message)):
            continue
        if is_own(message):
            raise TrajectoryError(f"message {number}: a text of the agent that is not valid UTF-8")
        _repair(message)
        found = True
    return found


def _repair(message: Message) -> None:
    for key in ("content", "name", "tool_call_id", "reasoning_content"):
        if key in message:
            message[key] = repaired(message[key])
    for call in message.get("tool_calls", ()):
        call["id"] = call["id"] and repaired(call["id"])
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        call["function"] = {"name": repaired(name), "arguments": repaired(arguments)}


def is_utf8(text: str) -> bool:
    """Whether `text` has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def repaired(text: str) -> str:
    """`text` with U+FFFD for each byte or half a character that UTF-8 cannot hold."""
    return text if text.isascii() or is_utf8(text) else _HALVES.sub("\ufffd", text)
