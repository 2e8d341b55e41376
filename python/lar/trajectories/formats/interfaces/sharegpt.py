"""ShareGPT: `{"conversations": [{"from": "human", "value": "..."}, ...]}`. Read as OpenAI chat is."""

from typing import Any

from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces import chat
from lar.trajectories.raw import first_object, from_json_text, has

_KEYS = ("conversations", "conversation", "messages")


def _recognises(value: Any) -> bool:
    turns = next((value[key] for key in _KEYS if key in value), None) if isinstance(value, dict) else value
    return has(first_object(from_json_text(turns)), "from", "value")


FORMAT = Format("sharegpt", "ShareGPT conversations (from, value)", _recognises, chat.FORMAT.read)
