"""Google's Agent Development Kit: sessions with their events, and sets of evaluations with their results.

An event is {author, content: {role, parts}}; its names are written with underscores or in camel case. Events
with `partial` are pieces of one that follows, and are left out.
"""

from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.gemini import raw_parts
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, either, identifier

_CASES = ("eval_cases", "eval_case_results")
_GRADES = {1: True, 2: False, "PASSED": True, "FAILED": False}
_HEAD = 8  # entries, of which one is an event of an agent or its user

_Raw = dict[str, Any]


def _is_event(value: Any) -> bool:
    named = isinstance(value, dict) and isinstance(value.get("author"), str)
    return (
        named
        and isinstance(either(value, "invocation_id"), str)
        and isinstance(dig(value, "content", "parts"), list)
    )


def _is_session(value: Any) -> bool:
    return isinstance(value, dict) and any(map(_is_event, _events(value)[:_HEAD]))


def _events(value: _Raw) -> list[Any]:
    events = value.get("events", value.get("messages"))
    return events if isinstance(events, list) else []


def _cases(value: Any) -> list[_Raw]:
    """The cases of a set of evaluations, or of its results."""
    found = next((cases for key in _CASES if isinstance(cases := either(value, key), list)), [])
    return [case for case in found if isinstance(case, dict) and _invocations(case)]


def _invocations(case: _Raw) -> list[_Raw]:
    """What was asked and answered in a case: as it was recorded, or as it went when it was graded."""
    recorded = case.get("conversation")
    if not isinstance(recorded, list):
        graded = either(case, "eval_metric_result_per_invocation")
        listed = graded if isinstance(graded, list) else []
        recorded = [either(result, "actual_invocation") for result in listed]
    return [invocation for invocation in recorded if either(invocation, "user_content")]


def _read(record: Record) -> list[Draft]:
    value = record.value
    if cases := _cases(value):
        return [
            Draft(
                normalize_messages([part for one in _invocations(case) for part in _invoked(one)]),
                task=f"adk/{identifier(either(case, 'eval_id'))}",
                success=_GRADES.get(either(case, "final_eval_status")),
            )
            for case in cases
        ]
    events = value if isinstance(value, list) else _events(value)
    messages = [part for event in events for part in _turn(event)]
    if not messages:
        raise TrajectoryError("a session without events of its agents")
    return [
        Draft(
            normalize_messages(messages), id=None if isinstance(value, list) else identifier(value.get("id"))
        )
    ]


def _turn(event: Any) -> Iterator[_Raw]:
    parts = dig(event, "content", "parts")
    if not parts or event.get("partial"):
        return
    author = event.get("author")
    answers = all(either(part, "function_response") for part in parts)
    if author == "user" or answers:
        yield {"role": "user", "content": raw_parts(parts)}
    else:
        yield {"role": "assistant", "name": author, "content": raw_parts(parts)}


def _invoked(invocation: _Raw) -> Iterator[_Raw]:
    """The messages of one request: what was asked, calls and results, texts between, the answer."""
    yield {"role": "user", "content": raw_parts(dig(either(invocation, "user_content"), "parts"))}
    between = either(invocation, "intermediate_data") or {}
    if uses := either(between, "tool_uses"):
        yield {"role": "assistant", "content": "", "tool_calls": uses}
    for response in either(between, "tool_responses") or ():
        yield {"role": "user", "content": raw_parts({"functionResponse": response})}
    for author, parts in either(between, "intermediate_responses") or ():
        yield {"role": "assistant", "name": author, "content": raw_parts(parts)}
    for event in either(between, "invocation_events") or ():
        yield from _turn(event)
    answer = dig(either(invocation, "final_response"), "parts")
    if answer:
        yield {"role": "assistant", "content": raw_parts(answer)}


ADK = Format(
    "adk",
    "Google ADK sessions and evaluations",
    lambda value: _is_session(value) or bool(_cases(value)),
    _read,
)
EVENTS = Format("adk_events", "Google ADK events, one a line or an array", _is_event, _read, whole_file=True)
