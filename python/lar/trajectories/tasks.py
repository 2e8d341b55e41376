"""The task of a trajectory whose format does not name it: by its first user message."""

import hashlib

from lar.trajectories.schema import Message


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def first_user_message(messages: list[Message]) -> str:
    """The first user message that has text; without a user, the first message."""
    asked = [message for message in messages if message["role"] == "user" and message["content"]]
    return (asked[0] if asked else messages[0])["content"]


def first_message_task(messages: list[Message]) -> str:
    """Name the task by a hash of its first user message; without a user, of the first message."""
    return f"first_message:{digest(first_user_message(messages))}"
