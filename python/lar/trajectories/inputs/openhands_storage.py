"""OpenHands' folders of events, one event a file -> the events of a conversation, one a line.

The agent SDK writes `CONVERSATION/events/event-00007-ID.json`, the first generation `SESSION/events/7.json`.
"""

import io
import json
import re
from pathlib import Path

_FOLDER = "events"
_EVENT = re.compile(r"(?:event-)?(\d+)(?:-[\w-]+)?\.json")
# What stands beside the folder: the state of the program, and pages of the same events (`0-25.json`).
_NOTES = ("base_state.json", "metadata.json", "meta.json", "agent_state.pkl", "conversation_stats.pkl")
_CACHE, _PAGE = "event_cache", re.compile(r"\d+-\d+\.json")


def is_events(folder: Path) -> bool:
    """Whether a folder holds the events of a conversation, one a file."""
    return folder.name == _FOLDER and any(map(is_event, folder.glob("*.json")))


def is_event(file: Path) -> bool:
    """Whether a file in such a folder is one of the events, by its name."""
    return _EVENT.fullmatch(file.name) is not None


def is_note(file: Path) -> bool:
    """Whether a file stands beside a folder of events and holds no conversation of its own."""
    cached = file.parent.name == _CACHE and _PAGE.fullmatch(file.name) is not None
    if not cached and file.name not in _NOTES:
        return False
    return is_events((file.parent.parent if cached else file.parent) / _FOLDER)


def open_events(folder: Path) -> io.BufferedReader:
    """The events of a conversation in their order, one a line.

    A file that is no JSON becomes a line as it is, and is refused with that line.

    Raises:
        OSError: a file cannot be read.
    """
    named = ((_EVENT.fullmatch(file.name), file) for file in folder.glob("*.json"))
    ordered = sorted((int(name[1]), file.name, file) for name, file in named if name is not None)
    return io.BufferedReader(io.BytesIO(b"".join(_line(file) for _, _, file in ordered)))


def _line(file: Path) -> bytes:
    data = file.read_bytes()
    try:
        return json.dumps(json.loads(data)).encode() + b"\n"
    except (ValueError, RecursionError):
        return data.replace(b"\n", b" ") + b"\n"
