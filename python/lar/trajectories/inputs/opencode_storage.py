"""OpenCode's storage folder -> its sessions, each as OpenCode exports it: {info, messages: [{info, parts}]}.

A session lies in many files: `session/PROJECT/SESSION.json`, `message/SESSION/MESSAGE.json` and
`part/MESSAGE/PART.json`; older versions have a folder more, or the parts of a message in its own file.
"""

import io
import json
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import Any

from lar.trajectories.raw import dig

_FOLDERS = ("message", "part", "session")
_NEW = 3 * 10**9  # nanoseconds; some file systems have times of two seconds


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
    loose = _loose_parts(storage / "part")
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


def _message(storage: Path, session: str, file: Path, loose: dict[str, list[Path]]) -> dict[str, Any]:
    info = _value(file)
    own = dig(info, "parts")
    name = str(info.get("id", file.stem) if isinstance(info, dict) else file.stem)
    folders = (storage / "part" / name, storage / "part" / session / name)
    files = [part for folder in folders for part in sorted(folder.glob("*.json"))]
    return {"info": info, "parts": (own or []) + [_value(part) for part in files + loose.get(name, [])]}


def _loose_parts(parts: Path) -> dict[str, list[Path]]:
    """The files that lie in `part/` itself, by the message that they name.

    All are read to find those of one session, so what they name is kept until a file comes or goes. The time
    of the folder shows that, unless it is so new that another file may come at the same time.
    """
    state = parts.stat()
    is_settled = abs(time_ns() - state.st_mtime_ns) > _NEW
    return (_named if is_settled else _named.__wrapped__)(parts, (state.st_ino, state.st_mtime_ns))


@lru_cache(maxsize=4)
def _named(parts: Path, _: tuple[int, int]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in sorted(parts.glob("*.json")):
        part = _value(file)
        if isinstance(part, dict):
            found.setdefault(str(part.get("messageID")), []).append(file)
    return found


def _time(message: dict[str, Any]) -> tuple[float, str]:
    created = dig(message, "info", "time", "created")
    return created if isinstance(created, int | float) else 0, str(dig(message, "info", "id"))
