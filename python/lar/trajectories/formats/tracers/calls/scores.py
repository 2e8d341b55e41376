"""Scores, feedback and annotations of tracers -> whether the task was solved."""

import re
from collections.abc import Iterable
from typing import Any

from lar.trajectories.draft import outcome_of

# Scores of other names (toxicity, helpfulness, latency) do not measure whether the task was solved.
_SUCCESS = re.compile(
    r"(task_?)?(success(ful|_rate)?|solved|resolved|pass(ed)?|correct(ness)?|reward|complet(ed|ion)|accomplished)"
    r"|goal_(success|completion|accuracy|achieved)|is_(success|correct|solved|resolved)|accuracy|exact_match"
)
_GOOD = ("correct", "solved", "resolved", "complete", "completed")
_BAD = ("incorrect", "wrong", "unsolved", "unresolved", "incomplete")


def solved_by(scores: Iterable[tuple[Any, Any]]) -> bool | None:
    """Return what the (name, value) pairs measure: False where one failed, None where none measures it.

    A number is compared with the full reward, 1; a label is read where it is a known word.
    """
    found = [
        _verdict(value)
        for name, value in scores
        if isinstance(name, str) and _SUCCESS.fullmatch(re.sub(r"\W+", "_", name.strip().lower()))
    ]
    known = [verdict for verdict in found if verdict is not None]
    return all(known) if known else None


def _verdict(value: Any) -> bool | None:
    word = value.strip().lower() if isinstance(value, str) else None
    return True if word in _GOOD else False if word in _BAD else outcome_of(value)
