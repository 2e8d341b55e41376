"""Which files of a folder are logs, where a program keeps more beside them.

A dataset that `datasets` saved has Arrow files, `state.json`, which names them, and `dataset_info.json`; a
`DatasetDict` has such a folder for each split. A folder of the package's cache has no `state.json`. In both,
`map` leaves `cache-*.arrow`. In OpenCode's storage the files of a session make one log (`opencode_storage`),
and so do OpenHands' files of events (`openhands_storage`). A trial of Harbor has notes beside its trajectory
(`beside`).
"""

import json
from pathlib import Path

from lar.trajectories.inputs import beside, opencode_storage, openhands_storage

# Logs whose name begins with a dot; other hidden files of a folder are none.
HIDDEN_LOGS = (".aider.chat.history.md",)
# What SQLite writes beside a database (`session_databases`).
_JOURNALS = ("-wal", "-shm")
_NOTES = ("state.json", "dataset_info.json", "dataset_dict.json")


def logs_among(files: list[Path]) -> list[Path]:
    """The logs among the `files` below a folder.

    A session of OpenCode's storage is there as the folder of its messages, a conversation of OpenHands as the
    folder of its events.
    """
    folders = {file.parent for file in files}
    events = [folder for folder in folders if openhands_storage.is_events(folder)]
    noted = {file.parent for file in files if file.name in _NOTES}
    written = {folder: _data_files(folder) for folder in noted}
    storages = {folder: opencode_storage.storage_of(folder) for folder in folders}
    found = [
        file
        for file in files
        if storages[file.parent] is None
        and not file.name.endswith(_JOURNALS)
        and file.parent not in events
        and not openhands_storage.is_note(file)
        and not beside.is_note(file)
        and (file.parent not in noted or _holds_rows(file, written[file.parent]))
    ]
    sessions = {storage: opencode_storage.find_sessions(storage) for storage in storages.values() if storage}
    return sorted(found + events + [session for of_storage in sessions.values() for session in of_storage])


def _data_files(folder: Path) -> list[str] | None:
    """The names of the files with the rows of the dataset in `folder`; None without a list of them."""
    try:
        state = json.loads((folder / "state.json").read_bytes())
        return [str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holds_rows(file: Path, written: list[str] | None) -> bool:
    if file.suffix != ".arrow":
        return file.name not in _NOTES
    return file.name in written if written is not None else not file.name.startswith("cache-")
