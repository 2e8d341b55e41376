"""Trajectories out of files of any known format, or out of what a program holds, one after the other."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.batches import with_joined_batches
from lar.trajectories.draft import NO_AGENT, Keys
from lar.trajectories.formats import NO_LIST, ONE_MESSAGE, REPLY_ELSEWHERE, SMALLEST, WHERE_LISTED
from lar.trajectories.formats.keyed import format_of
from lar.trajectories.given import Given, paths_or_rows
from lar.trajectories.inputs.files import (
    Source,
    find_sources,
)
from lar.trajectories.inputs.own_results import result_among
from lar.trajectories.long_turns import LongTurns, long_turns
from lar.trajectories.openings import opening
from lar.trajectories.problems import BadRecordWarning
from lar.trajectories.reader import Item, Reader
from lar.trajectories.redact import Redactor
from lar.trajectories.repeats import Repeats
from lar.trajectories.report import Report
from lar.trajectories.rereading import Trajectories
from lar.trajectories.schema import Trajectory
from lar.trajectories.waiting import WaitingRows
from lar.utils.files import temporary_files, temporary_folder
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)

_REPORT_EVERY = 32  # trajectories between two calls of `progress`


def read_trajectories(
    source: StrPath | Iterable[StrPath] | Given,
    *,
    format: str = "auto",  # noqa: A002 (the word that users expect)
    task_key: str | None = None,
    success_key: str | None = None,
    messages_key: str | None = None,
    reply_key: str | None = None,
    strict: bool = False,
    redact: Redactor | None = None,
    report: Report | None = None,
    progress: Progress = silent,
) -> Trajectories:
    """The trajectories in files and folders, or in what a program holds in memory, to iterate over.

    One record is in memory at a time. Each iteration reads the logs again: put `list(...)` around it to keep
    the trajectories. All is read before the first trajectory comes, and waits in a temporary file: a log of
    single model calls repeats the history at each call, and of such records only the longest is kept. Records
    that this package has written come at once.

    Args:
        source: one path or several: a file, compressed or not, a folder, a pattern, a zip archive, or "-" for
            standard input. A path may be a URL (`s3://bucket/logs/`, `gs://`, `hf://`), which fsspec reads
            with the package that its protocol needs. Or records in memory: an iterable of dicts or of lists
            of messages, a pandas frame, an Arrow table, or a dataset of Hugging Face.
        format: a name of `FORMATS`, by which every record is read; "auto" recognizes each by its content.
        task_key: the dotted path of the field of a raw record that names its task (a text log has
            `question` and `index`). None takes the task that the format gives, else a hash of what the first
            user message asks, without boilerplate (times, folders, project rules). In a file with one message
            a line, messages of different tasks are different trajectories.
        success_key: the dotted path of the field of a raw record that tells whether the run succeeded: a
            truth value or a number (1 or more is success), perhaps as text, or a word such as "yes", "failed"
            or "success". Where it is missing or null, the outcome is unknown; another value is a bad record.
            None takes the outcome that the format gives.
        messages_key: for logs of no known format, the dotted path of the field of a raw record that holds the
            conversation: a list of messages of any interface, a request that holds one, these as JSON text,
            or a text, which is one message of the user. A record without it is a bad record.
        reply_key: the dotted path of the field with the model's reply to it: a text, a message, a choice, a
            response, parts of content, or these as JSON text. It becomes the agent's last turn. An empty
            one is a call without content, a record without the field is a bad record. None: the
            conversation has its last turn.
        strict: raise at the first record that cannot be read.
        redact: replaces private values (e-mail addresses, phone numbers, keys, tokens) by placeholders.
        report: collects what was read, what was left out and which records cannot be read; the first complete
            iteration is counted. None: a `BadRecordWarning` at the end of each counts the records that cannot
            be read.
        progress: called with the bytes read of all bytes; with the records read where there are no files.

    Raises:
        FileNotFoundError: a path is not there. Raised at once.
        OptionError: an unknown format, a format beside a messages key, or a reply key without one. Raised at
            once.
        MissingExtraError: the protocol of a URL needs a package. Raised at once.
        TrajectoryError: a URL cannot be listed, or a path is neither a file nor a folder, at once. While
            iterating: no trajectory at all could be read; or one could not, if `strict`.

    >>> logs = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}]
    >>> list(lar.read_trajectories(logs))
    [Trajectory(id='given:1', task='first_message:3639efcd08abb273', 2 messages)]
    """
    keys = Keys(task_key, success_key, messages_key, reply_key)
    forced = format_of(format, keys)
    paths, rows = paths_or_rows(source)
    beside = Report()
    sources = find_sources(paths, beside.pass_over)

    def read(rows: Iterator[Any], found: Report) -> Iterator[Trajectory]:
        found.merge(beside)
        reader = Reader(forced, keys, strict, found, redact)
        return _read_all(paths, sources, rows, reader, progress, warn=report is None)

    return Trajectories(sources, rows, source, report, read)


def _read_all(
    paths: list[StrPath],
    sources: list[Source],
    rows: Iterator[Any],
    reader: Reader,
    progress: Progress,
    *,
    warn: bool,
) -> Iterator[Trajectory]:
    report, count = reader.report, 0
    with closing(WaitingRows()) as rows_read, temporary_folder() as folder:
        if reader.forced is None:
            with temporary_files():
                sources = with_joined_batches(sources, reader.note, folder)
        openings = bytearray()
        for item in _items(sources, rows, reader, progress):
            count += 1
            if item.is_own:
                yield item.found.trajectory
            else:
                rows_read.add(item.found.trajectory, item.place)
                openings += opening(item.found)
        repeats, turns = Repeats(rows_read, bytes(openings), report), LongTurns()
        for number, repeated in enumerate(repeats.repeated):
            trajectory, place = rows_read.read(number)
            if repeated:
                report.repeat(place)
            else:
                kept = repeats.restored(number, trajectory, place)
                turns.add(long_turns(kept) if repeats.is_call(number) else [])
                yield kept
        turns.count(report)
    problems = report.problems
    check_count(count, report, paths)
    logger.info("read %d trajectories; %s", count - report.repeated, problems.summary())
    if warn and problems.count:
        warnings.warn(problems.summary(), BadRecordWarning, stacklevel=3)
    for doubt in report.doubts() if warn else ():
        logger.warning("%s", doubt)


def check_count(count: int, report: Report, paths: Iterable[StrPath]) -> None:
    """Raise TrajectoryError where the `count` of trajectories is 0: with the first problem in `paths`."""
    problems = report.problems
    if count == 0:
        if result := result_among(paths):
            raise TrajectoryError(f"no trajectory could be read: {result}")
        first = next(chain(problems.records, report.doubts()), "there is nothing to read")
        more = f" (and {problems.count - 1} more)" if problems.count > 1 else ""
        hint = f"; {ONE_MESSAGE}" if NO_LIST in str(first) else ""
        hint += f"; {SMALLEST}" if WHERE_LISTED in str(first) else ""
        hint = f"; {REPLY_ELSEWHERE}" if str(first).endswith(NO_AGENT) else hint
        raise TrajectoryError(f"no trajectory could be read: {first}{more}{hint}")


def _items(sources: list[Source], rows: Iterator[Any], reader: Reader, progress: Progress) -> Iterator[Item]:
    before, total, count = 0, sum(source.size for source in sources), 0
    for item in reader.given(rows):
        count += 1
        if count % _REPORT_EVERY == 0:
            progress(count, None)
        yield item
    for source in sources:
        for item, position in reader.read(source):
            count += 1
            if count % _REPORT_EVERY == 0:
                progress(before + position, total)
            yield item
        before += source.size
        progress(before, total)
