"""Read the tables of an SQLite database that have a column which the user has named: a record a row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.session_databases import open_database


def read_rows(path: Path, field: str) -> Iterator[Record]:
    """Yield each row {column: value} of the tables in which the dotted path `field` may lead somewhere.

    Raises:
        BrokenRecordError: the database cannot be read, or has no such table.
    """
    number = 0
    try:
        with closing(open_database(path)) as database:
            columns = _columns(database)
            wanted = {field, field.partition(".")[0]}
            tables = [table for table, names in columns.items() if not wanted.isdisjoint(names)]
            if not tables:
                shown = "; ".join(f"{table}: {', '.join(names)}" for table, names in columns.items())
                raise BrokenRecordError(f"no table has the column {field!r} ({shown or 'no tables'})", None)
            for table in tables:
                for row in database.execute(f"SELECT * FROM {_quoted(table)}"):
                    number += 1
                    yield Record(row, number)
    except sqlite3.Error as error:
        raise BrokenRecordError(f"not a readable database: {error}", None, number + 1) from None


def _columns(database: sqlite3.Connection) -> dict[str, list[str]]:
    """The names of the columns of each table, in the order in which they were made."""
    found = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    )
    names = [row["name"] for row in found]
    return {
        name: [row["name"] for row in database.execute(f"PRAGMA table_info({_quoted(name)})")]
        for name in names
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
