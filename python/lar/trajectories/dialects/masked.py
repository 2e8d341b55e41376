"""What loggers write in place of a text: where they are told not to record it, or cannot write its object."""

import re

from lar.trajectories.dialects.messages import is_spoken, texts_written
from lar.trajectories.schema import Message

_MARKERS = (
    "redacted-by-litellm",  # LiteLLM, with `turn_off_message_logging`
    "redacted by litellm. 'litellm.turn_off_message_logging=True'",
    "__REDACTED__",  # OpenInference, with `OPENINFERENCE_HIDE_OUTPUTS` and the like
)
_MARKER = f"(?:{'|'.join(map(re.escape, _MARKERS))})"
# Each part of a message has its own, and LiteLLM writes an object in place of a response of an unknown form.
_MASKED = re.compile(rf'\s*(?:(?:{_MARKER}\s*)+|\{{\s*"text"\s*:\s*"{_MARKER}"\s*\}}\s*)')
# A response as Python shows its object; `json.dumps(..., default=str)` writes it so (DSPy's history).
_OBJECT = re.compile(
    r"\s*\[?(?:"
    r"(?:ModelResponse|ChatCompletion|ChatCompletionResponse)\(id=.*\)"
    r"|ChatCompletionMessage\(content=.*role='assistant'.*\)"
    r"|Choices?\(finish_reason=.*message=.*\)"
    r"|Message\(id='msg_.*\)|Response\(id='resp_.*\)|GenerateContentResponse\(\w+=.*\)"
    r"|(?:AIMessage(?:Chunk)?\()?content=.*additional_kwargs=.*response_metadata=.*"
    r")\]?\s*",
    re.DOTALL,
)


def is_marker(text: str) -> bool:
    """Whether `text` is nothing but what a logger writes in place of one.

    >>> [is_marker(text) for text in ("redacted-by-litellm", "I wrote redacted-by-litellm.", "")]
    [True, False, False]
    """
    return _MASKED.fullmatch(text) is not None


def is_object(text: str) -> bool:
    """Whether `text` is a response as Python shows its object.

    >>> is_object("ChatCompletion(id='c1', choices=[Choice(finish_reason='stop', index=0)])")
    True
    """
    return _OBJECT.fullmatch(text) is not None


def is_told(message: Message) -> bool:
    """Whether a message is a turn of the agent whose texts are in the log."""
    return is_spoken(message) and not _is_masked(message)


def without_masks(messages: list[Message]) -> list[Message]:
    """The messages of a call without the masked answer at their end.

    A masked turn of the agent before it becomes context, in place: the agent has not written the mask.
    """
    end = len(messages)
    while end and _is_masked_turn(messages[end - 1]):
        end -= 1
    for message in filter(_is_masked_turn, messages[:end]):
        message["weight"] = 0
    return messages[:end]


def _is_masked_turn(message: Message) -> bool:
    return message["role"] == "assistant" and _is_masked(message)


def _is_masked(message: Message) -> bool:
    """Whether the text of a message, its thought or the arguments of a call are not in the log."""
    return any(map(is_marker, texts_written(message))) or is_object(message["content"])
