"""The files in an inspect_ai `.eval` archive -> records of samples.

`header.json` holds the task and the model; an archive of a run that was interrupted has them in
`_journal/start.json` alone. A sample is one file, `samples/ID_epoch_N.json`, or a folder of that name: its
own fields in `sample.json`, and its messages, events and attachments in numbered pieces.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from lar.trajectories.layouts.record import BrokenRecordError, Record

_HEADERS = ("header.json", "_journal/start.json")
_SAMPLES = "samples/"
_SEQUENCES = {"messages": "message_pool", "events": "events", "attachments": "attachments"}

Load = Callable[[str], Any]
"""Reads a file of an archive by its name; raises BrokenRecordError where it is no JSON."""


def is_eval(names: Iterable[str]) -> bool:
    """Whether an archive with the files `names` is a log of inspect_ai."""
    known = set(names)
    return any(name in known for name in _HEADERS) and any(name.startswith(_SAMPLES) for name in known)


def read_samples(names: Iterable[str], load: Load) -> Iterator[Record | BrokenRecordError]:
    """Yield a record for each sample of an archive, with the log's header as its context.

    Its summaries and journals repeat what the samples hold, and are not read.
    """
    listed = list(names)
    header: Any = next((load(name) for name in _HEADERS if name in listed), {})
    context = header if isinstance(header, dict) else {}
    pieces: dict[str, list[str]] = defaultdict(list)
    for name in listed:
        if name.startswith(_SAMPLES) and name.endswith(".json"):
            pieces[name[len(_SAMPLES) :].removesuffix(".json").partition("/")[0]].append(name)
    for number, (key, files) in enumerate(pieces.items(), start=1):
        try:
            yield Record(_sample(files, load), number, None, key, context)
        except BrokenRecordError as error:
            yield BrokenRecordError(f"{key}: {error}", error.line, number)


def _sample(files: list[str], load: Load) -> Any:
    """A sample out of its one file, or out of its pieces."""
    if len(files) == 1 and files[0].count("/") == 1:
        return load(files[0])
    paths = [PurePosixPath(name) for name in files]
    shell = next((load(str(path)) for path in paths if path.name == "sample.json"), None)
    if not isinstance(shell, dict):
        raise BrokenRecordError("a sample in pieces without its sample.json", None)
    found = dict(shell)
    for folder, member in _SEQUENCES.items():
        numbered = [path for path in paths if path.parent.name == folder and path.stem.isdecimal()]
        numbered.sort(key=lambda path: int(path.stem))
        found[member] = [item for path in numbered for item in load(str(path))]
    return found
