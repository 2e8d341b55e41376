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
# What SQLite writes beside a database, and reads with it (`session_databases`).
_JOURNALS = ("-wal", "-shm")
_NOTES = ("state.json", "dataset_info.json", "dataset_dict.json")


def logs_among(files: list[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The logs among the `files` below a folder, sorted, and what is no log: each file with what it is.

    A session of OpenCode's storage is there as the folder of its messages, a conversation of OpenHands as the
    folder of its events. Their files are in neither.
    """
    folders = {file.parent for file in files}
    events = {folder for folder in folders if openhands_storage.is_events(folder)}
    storages = {folder: opencode_storage.storage_of(folder) for folder in folders}
    notes, trials = _notes_of_datasets(files), beside.Trials(files, Path.is_file)
    logs = [*events]
    for at in {at for at in storages.values() if at is not None}:
        logs += opencode_storage.find_sessions(at)
    for file in files:
        storage = storages[file.parent]
        if _is_part(file, storage, events):
            continue
        if what := _kind_of_note(file, storage, trials):
            notes[file] = what
        elif file not in notes:
            logs.append(file)
    return sorted(logs), notes


def _is_part(file: Path, storage: Path | None, events: set[Path]) -> bool:
    """Whether a file is read with others, as one log."""
    if file.name.endswith(_JOURNALS) and file.with_name(file.name[: -len(_JOURNALS[0])]).is_file():
        return True
    if storage is not None and opencode_storage.is_part(storage, file):
        return True
    return file.parent in events and openhands_storage.is_event(file)


def _kind_of_note(file: Path, storage: Path | None, trials: beside.Trials) -> str | None:
    """What a file beside logs is; None for one that may be a log."""
    if storage is not None and opencode_storage.is_note(storage, file):
        return "OpenCode's notes"
    if openhands_storage.is_note(file):
        return "OpenHands' notes"
    return beside.NOTES if trials.have_note(file) else None


def _notes_of_datasets(files: list[Path]) -> dict[Path, str]:
    """The files of datasets that hold no rows, or the rows of other files once more.

    Other programs have logs with such names (AutoGen: `state.json`); then no Arrow file stands beside.
    """
    arrow = {file.parent for file in files if file.suffix == ".arrow"}
    named = [file for file in files if file.name in _NOTES]
    found = [file for file in named if file.parent in arrow or file.name == _NOTES[-1]]
    written = {folder: _data_files(folder) for folder in {file.parent for file in found} & arrow}
    of_datasets = [file for file in files if file.parent in written]
    found += [file for file in of_datasets if not _holds_rows(file, written[file.parent])]
    return dict.fromkeys(found, "notes and caches of datasets")


def _data_files(folder: Path) -> list[str] | None:
    """The names of the files with the rows of the dataset in `folder`; None without a list of them."""
    try:
        state = json.loads((folder / "state.json").read_bytes())
        return [str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _holds_rows(file: Path, written: list[str] | None) -> bool:
    if file.suffix != ".arrow":
        return True
    return file.name in written if written is not None else not file.name.startswith("cache-")
