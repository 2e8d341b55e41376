"""What the readers of streams share: how an interface streams, and calls that have not come whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lar.trajectories.raw import from_json_text

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one interface streams: which events only it has, and the reply that all events add up to.

    is_end: whether an event ends the reply. assemble: the reply, by the events and whether one of them is the
    end; without it, calls whose arguments are not complete are left out.
    """

    is_mine: Callable[[Event], bool]
    is_end: Callable[[Event], bool]
    assemble: Callable[[list[Event], bool], dict[str, Any]]


def is_complete(arguments: Any) -> bool:
    """Whether the arguments of a call are a whole object; empty text may be the beginning of one."""
    return bool(arguments) and isinstance(from_json_text(arguments), dict)


def without_begun_calls(items: dict[Any, Event], ended: set[Any], is_whole: bool) -> list[Event]:
    """The items of a stream, by their indices, without calls whose end has not come; all if it `is_whole`."""
    return [item for at, item in items.items() if is_whole or at in ended or not _is_begun_call(item)]


def _is_begun_call(item: Event) -> bool:
    kind = str(item.get("type"))
    if kind.endswith("tool_use"):  # Anthropic
        return not is_complete(item.get("input"))
    return kind.endswith("_call") and not is_complete(item.get("arguments"))


def is_typed(*prefixes: str) -> Callable[[Event], bool]:
    """Whether an event's type begins with one of `prefixes`."""
    return lambda event: str(event.get("type")).startswith(prefixes)
