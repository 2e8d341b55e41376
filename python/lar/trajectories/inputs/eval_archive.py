"""The samples in a zip archive of inspect_ai, whose files belong together."""

import json
from typing import Any

from lar.trajectories.formats.benchmarks import inspect_eval
from lar.trajectories.inputs.compression import BrokenDataError
from lar.trajectories.inputs.files import Source, open_source
from lar.trajectories.layouts.record import BrokenRecordError
from lar.trajectories.layouts.records import Records


def samples_of(members: list[Source]) -> Records | None:
    """The samples in an archive with the files `members`; None where it is no log of inspect_ai."""
    files = {member.member.name: member for member in members if member.member is not None}
    if not inspect_eval.is_eval(files):
        return None
    return inspect_eval.read_samples(files, lambda name: _value_in(files[name]))


def _value_in(file: Source) -> Any:
    """The JSON value in a file of an archive."""
    try:
        with open_source(file) as opened:
            return json.loads(opened.stream.read())
    except (ValueError, RecursionError, BrokenDataError) as error:
        raise BrokenRecordError(f"not JSON: {error}", None) from None
