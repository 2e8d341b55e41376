"""OpenCode's storage folder -> its sessions, each as OpenCode exports it: {info, messages: [{info, parts}]}.

A session lies in many files: `session/PROJECT/SESSION.json`, `message/SESSION/MESSAGE.json` and
`part/MESSAGE/PART.json`; older versions have a folder more, or the parts of a message in its own file.
"""

import io
import json
from pathlib import Path
from typing import Any

_FOLDERS = ("message", "part", "session")


def storage_of(inner: Path) -> Path | None:
    """The storage to which the folder `inner` belongs, or None."""
    folders = (inner, *inner.parents[:3])
    return next((at for at in folders if all((at / name).is_dir() for name in _FOLDERS)), None)


def find_sessions(storage: Path) -> list[Path]:
    """The folder with the messages of each session of the storage, sorted."""
    return sorted(folder for folder in (storage / "message").iterdir() if folder.is_dir())


def is_part(storage: Path, file: Path) -> bool:
    """Whether a file of the storage is read as part of a session."""
    folder, *rest = file.relative_to(storage).parts
    return file.suffix == ".json" and folder in _FOLDERS and (folder != "message" or len(rest) == 2)


def is_note(storage: Path, file: Path) -> bool:
    """Whether a file is one that OpenCode keeps beside the sessions, such as its lists of things to do."""
    return file.suffix in (".json", "") and file.relative_to(storage).parts[0] not in _FOLDERS


def open_session(messages: Path) -> io.BufferedReader:
    """A session as JSON, from the folder of its messages.

    Raises:
        OSError: a file cannot be read.
    """
    storage, session = messages.parent.parent, messages.name
    infos = [_value(file) for file in sorted((storage / "session").glob(f"**/{session}.json"))]
    info = next((value for value in infos if isinstance(value, dict)), {"id": session})
    loose = _loose_parts(storage)
    found = [_message(storage, session, file, loose) for file in sorted(messages.glob("*.json"))]
    found.sort(key=_time)
    exported = {"info": info, "messages": found}
    return io.BufferedReader(io.BytesIO(json.dumps(exported, ensure_ascii=False).encode()))


def _value(file: Path) -> Any:
    """The value in a file; text that is not JSON stays text, and the record that holds it is refused."""
    text = file.read_text("utf-8", "surrogateescape")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _message(storage: Path, session: str, file: Path, loose: dict[str, list[Any]]) -> dict[str, Any]:
    info = _value(file)
    own = info.get("parts") if isinstance(info, dict) else None
    name = info.get("id", file.stem) if isinstance(info, dict) else file.stem
    folders = (storage / "part" / str(name), storage / "part" / session / str(name))
    parts = [_value(part) for folder in folders for part in sorted(folder.glob("*.json"))]
    return {"info": info, "parts": (own or []) + parts + loose.get(str(name), [])}


def _loose_parts(storage: Path) -> dict[str, list[Any]]:
    """The parts that lie in `part/` itself, by the message that they name."""
    parts: dict[str, list[Any]] = {}
    for file in sorted((storage / "part").glob("*.json")):
        part = _value(file)
        if isinstance(part, dict):
            parts.setdefault(str(part.get("messageID")), []).append(part)
    return parts


def _time(message: dict[str, Any]) -> tuple[float, str]:
    info = message["info"] if isinstance(message["info"], dict) else {}
    time = info.get("time")
    created = time.get("created") if isinstance(time, dict) else None
    return created if isinstance(created, int | float) else 0, str(info.get("id"))
