"""ShareGPT: `{"conversations": [{"from": "human", "value": "..."}, ...]}`. Read as OpenAI chat is."""

from typing import Any

from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces import chat
from lar.trajectories.raw import from_json_text

_KEYS = ("conversations", "conversation", "messages")


def _recognises(value: Any) -> bool:
    turns = next((value[key] for key in _KEYS if key in value), None) if isinstance(value, dict) else value
    turns = from_json_text(turns)
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and "from" in first and "value" in first


FORMAT = Format("sharegpt", "ShareGPT conversations (from, value)", _recognises, chat.FORMAT.read)
