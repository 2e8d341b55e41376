"""Replies to a history whose last turn is the agent's: those that go on with this turn, or have it too."""

from typing import Any

from lar.trajectories.dialects.messages import bare_calls, normalize_messages
from lar.trajectories.dialects.parts import THOUGHT_IN_TEXT

_UNLIKELY = 20  # characters that two turns do not both end with by chance
_ENDS = (".", "!", "?", "…", "\u3002", "\uff01", "\uff1f")


def is_agents(message: Any) -> bool:
    """Whether a raw message is a turn of the agent."""
    return isinstance(message, dict) and message.get("role", message.get("from")) in ("assistant", "gpt")


def continued(history: list[Any], reply: list[Any]) -> tuple[list[Any], list[Any]]:
    """A history whose last turn is the agent's, and a reply: one that goes on with this turn is joined to it.

    Some logs have the reply in the history already: then it is there once. Some servers repeat the beginning
    of the turn in the reply: then none is left in the history. A reply to a finished turn is another turn.
    """
    begun, said = history[-1], reply[0]
    (before, calls_before), (after, calls_after) = _text_and_calls(begun), _text_and_calls(said)
    if is_agents(said) and calls_before == calls_after and _is_same(before, after):
        return (history[:-1], reply) if len(after) > len(before) else (history, reply[1:])
    if calls_before or not is_agents(said) or (not _is_prefix(begun) and _is_finished(before, after)):
        return history, reply
    if not after.lstrip().startswith(before.strip()):
        said = {**begun, **said, "content": [*parts_of(begun), *parts_of(said)]}
    return history[:-1], [said, *reply[1:]]


def _text_and_calls(message: Any) -> tuple[str, list[tuple[str, str]]]:
    messages = normalize_messages([message])
    calls = [call for one in messages for call in bare_calls(one)]
    return "".join(one["content"] for one in messages), calls


def _is_same(before: str, after: str) -> bool:
    """Whether two texts are one turn, without the thoughts in them, or the one ends with all of the other."""
    before, after = (THOUGHT_IN_TEXT.sub("", text).strip() for text in (before, after))
    return before == after or (len(after) >= _UNLIKELY and before.endswith(after))


def _is_prefix(message: dict[str, Any]) -> bool:
    """Whether the request says that the model goes on with this turn (DeepSeek, Mistral; Moonshot)."""
    return bool(message.get("prefix") or message.get("partial"))


def _is_finished(before: str, after: str) -> bool:
    """Whether a turn ends as a sentence does, and the reply begins one."""
    goes_on = after.startswith(before.strip()) or after[:1].isspace() or after[:1].islower()
    return before.rstrip("\r\n").endswith(_ENDS) and not goes_on


def parts_of(message: dict[str, Any]) -> list[Any]:
    """The content of a raw message as a list of parts."""
    content = message.get("content", message.get("value"))
    return content if isinstance(content, list) else [content] if content else []
