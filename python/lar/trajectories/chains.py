"""Digests of conversations: by them one that repeats the beginning of another is found."""

import hashlib
from collections.abc import Callable

from lar.trajectories.dialects.messages import bare_calls
from lar.trajectories.dialects.parts import THOUGHT_IN_TEXT
from lar.trajectories.schema import Message

DIGEST = 16  # bytes

Links = list[tuple[int, bytes]]
"""The place of each message but the system's, with a digest of the conversation up to it."""


def chain(messages: list[Message], most: int | None = None) -> Links:
    """The links of a conversation, `most` of them.

    Two conversations with the same digest differ at most in what clients change when they send a history
    again: the system's text, reasoning, white space at the ends, names and ids.
    """
    return _chain(messages, _repeated, most)


def chain_without_results(messages: list[Message]) -> Links:
    """The links of a conversation of which clients may have replaced tools' results, to make it shorter."""
    return _chain(messages, lambda message: b"tool" if message["role"] == "tool" else _repeated(message))


def exact_chain(messages: list[Message], seed: str = "") -> Links:
    """The links by all that messages hold but their weight, after `seed`: for files that are copied."""
    return _chain(messages, _whole, seed=digest_of(seed))


def _chain(
    messages: list[Message], said: Callable[[Message], bytes], most: int | None = None, seed: bytes = b""
) -> Links:
    digest, links = seed, []
    for place, message in enumerate(messages):
        if message["role"] != "system":
            digest = hashlib.blake2b(said(message), key=digest, digest_size=DIGEST).digest()
            links.append((place, digest))
            if len(links) == most:
                break
    return links


def _repeated(message: Message) -> bytes:
    return _joined([message["role"], repeated_text(message)])


def repeated_text(message: Message) -> str:
    """What of a message a later request repeats: its text without reasoning, and its calls."""
    parts = [message["content"].strip()]
    if message["role"] == "assistant":
        if parts[0].startswith("<think>"):
            parts[0] = THOUGHT_IN_TEXT.sub("", parts[0], count=1).strip()
        parts += [text for call in bare_calls(message) for text in call]
    return "\0".join(parts)


def _whole(message: Message) -> bytes:
    parts = [f"{key}={value}" for key, value in sorted(message.items()) if isinstance(value, str)]
    for call in message.get("tool_calls", ()):
        parts += [str(call["id"]), call["function"]["name"], call["function"]["arguments"]]
    return _joined(parts)


def system_of(messages: list[Message]) -> str:
    """The system's text."""
    return "\0".join([message["content"] for message in messages if message["role"] == "system"])


def thought_of(message: Message) -> str:
    """The reasoning of a turn of the agent."""
    content = message["content"].strip()
    marked = THOUGHT_IN_TEXT.match(content) if message["role"] == "assistant" else None
    return message.get("reasoning_content", "") + (marked.group() if marked else "")


def digest_of(text: str, size: int = DIGEST) -> bytes:
    """A digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _joined(parts: list[str]) -> bytes:
    return "\0".join(parts).encode("utf-8", "surrogatepass")
