"""Read the SQLite databases in which OpenCode (and Kilo), Goose and Crush keep their sessions: a record each.

A session of OpenCode or Goose becomes what the program exports; one of Crush is {crush_session, messages}.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lar.trajectories.layouts.record import BrokenRecordError, Record

_SQLITE = b"SQLite format 3\0"

_Row = dict[str, Any]


def is_database(head: bytes) -> bool:
    """Whether `head`, the first bytes of a file, begins an SQLite database."""
    return head.startswith(_SQLITE)


def read_rows(path: Path) -> Iterator[Record | BrokenRecordError]:
    """Yield each session of the database as a record; one that is malformed gives an error.

    Raises:
        BrokenRecordError: the database cannot be read, or is none of these programs.
    """
    number = 0
    try:
        with closing(open_database(path)) as database:
            read_session, names = _layout(database)
            for number, name in enumerate(names, start=1):
                try:
                    yield Record(read_session(database, name), number)
                except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
                    yield BrokenRecordError(f"session {name}: not well-formed: {error}", None, number)
    except sqlite3.Error as error:
        raise BrokenRecordError(f"not a readable database: {error}", None, number + 1) from None


def open_database(path: Path) -> sqlite3.Connection:
    """A database to read, whose rows are dicts."""
    # Without a journal beside it, nobody is writing, and the folder need not be writable.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
    database.row_factory = _as_dict
    database.text_factory = _text
    return database


def _text(data: bytes) -> str:
    """Invalid bytes become lone surrogates, and are repaired or refused with the text that holds them."""
    return data.decode("utf-8", "surrogateescape")


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> _Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _layout(database: sqlite3.Connection) -> tuple[Callable[[sqlite3.Connection, str], _Row], list[str]]:
    """How a session of this database is read, and the names of its sessions."""
    for table, column, read_session in (
        ("part", "data", _opencode),
        ("messages", "content_json", _goose),
        ("messages", "parts", _crush),
    ):
        if column in {row["name"] for row in database.execute(f"PRAGMA table_info({table})")}:
            rows = database.execute(f"SELECT DISTINCT session_id AS id FROM {table} ORDER BY session_id")
            return read_session, [row["id"] for row in rows]
    raise BrokenRecordError(
        "an SQLite database, but none of OpenCode, Goose or Crush: name the column of the conversation"
        " (--messages-key)",
        None,
    )


def _session(database: sqlite3.Connection, table: str, name: str) -> _Row:
    found: _Row | None = database.execute(f"SELECT * FROM {table} WHERE id = ?", (name,)).fetchone()
    return found or {"id": name}


def _opencode(database: sqlite3.Connection, name: str) -> _Row:
    parts: dict[str, list[_Row]] = {}
    for row in database.execute(
        "SELECT id, message_id, data FROM part WHERE session_id = ? ORDER BY id", (name,)
    ):
        parts.setdefault(row["message_id"], []).append({"id": row["id"], **json.loads(row["data"])})
    rows = database.execute(
        "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id", (name,)
    )
    messages = [{"info": {"id": row["id"], **json.loads(row["data"])}} for row in rows]
    whole = [{**message, "parts": parts.pop(message["info"]["id"], [])} for message in messages]
    return {"info": _session(database, "session", name), "messages": whole, "parts_alone": parts}


def _goose(database: sqlite3.Connection, name: str) -> _Row:
    session = _session(database, "sessions", name)
    model = json.loads(session.get("model_config_json") or "{}").get("model_name")
    rows = database.execute(
        "SELECT role, content_json FROM messages WHERE session_id = ? ORDER BY created_timestamp, id", (name,)
    )
    messages = [{"role": row["role"], "content": json.loads(row["content_json"])} for row in rows]
    return {**session, "model": model, "conversation": messages}


def _crush(database: sqlite3.Connection, name: str) -> _Row:
    rows = database.execute(
        "SELECT role, model, parts FROM messages WHERE session_id = ? ORDER BY created_at, rowid", (name,)
    )
    messages = [{**row, "parts": json.loads(row["parts"])} for row in rows]
    return {"crush_session": _session(database, "sessions", name), "messages": messages}
