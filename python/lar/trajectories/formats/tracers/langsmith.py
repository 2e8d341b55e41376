"""LangSmith's runs: one a line, in an array, as trees with `child_runs`, or as rows of a bulk export.

A run of a model (`run_type` "llm") gives a trajectory. A trace without one gives that of its root.
The task is the example of the data set that the trace was run on, else the trace.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.formats.tracers.calls.tree import Node, calls_of_trace, calls_without_content
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, from_json_text, has, text_or_none

_MODELS = ("llm", "chat_model")
_HOLDERS = ("traces", "runs", "post")
_Run = dict[str, Any]
_ENTRY = "(entry)"  # the entry of the file that a run stands in


def _is_run(value: Any) -> bool:
    return has(value, "run_type", "inputs") and isinstance(value["run_type"], str)


def _holds_runs(value: Any) -> bool:
    return _is_run(value) or (isinstance(value, dict) and any(map(_is_run, _held(value))))


def _held(value: _Run) -> list[Any]:
    return next((value[key] for key in _HOLDERS if isinstance(value.get(key), list)), [])


def _read(record: Record) -> list[Draft]:
    """Read all runs of a file, trace by trace."""
    entries = as_list(record.value)
    roots = [(run, entry) for entry in entries if isinstance(entry, dict) for run in _roots(entry)]
    traces: dict[Any, list[_Run]] = {}
    for root, entry in roots:
        for run in _tree(root, root.get("trace_id") or _id(root), root.get("parent_run_id")):
            traces.setdefault(run["trace_id"], []).append(run | {_ENTRY: entry})
    attempts = Attempts("call")
    return attempts.reported([draft for runs in traces.values() for draft in _read_trace(runs, attempts)])


def _read_row(record: Record) -> list[Draft]:
    """Read a run whose trace stands in other rows, if it is not a tree."""
    is_whole = record.value.get("child_runs") or record.value["run_type"] in _MODELS
    return _read(record) if is_whole else []


def _roots(entry: _Run) -> list[_Run]:
    if _is_run(entry):
        return [entry]
    patches = [patch for patch in entry.get("patch") or [] if isinstance(patch, dict)]
    return [_patched(run, patches) for run in _held(entry) if _is_run(run)]


def _patched(run: _Run, patches: list[_Run]) -> _Run:
    """Return a run as the client posted it, with what it sent when the run had ended."""
    place = run.get("dotted_order")
    for patch in patches:
        if place is not None and patch.get("dotted_order") == place:
            run = run | {key: value for key, value in patch.items() if value}
    return run


def _tree(run: _Run, trace: Any, parent: Any) -> Iterator[_Run]:
    """Yield a run and all runs below it, each with the ids of its trace and of its parent."""
    yield run | {"trace_id": run.get("trace_id") or trace, "parent_run_id": parent}
    for child in run.get("child_runs") or []:
        if _is_run(child):
            yield from _tree(child, trace, _id(run))


def _id(run: _Run) -> Any:
    return run.get("id") or run.get("run_id")


def _read_trace(runs: list[_Run], attempts: Attempts) -> list[Draft]:
    example = next((run["reference_example_id"] for run in runs if run.get("reference_example_id")), None)
    task = text_or_none(example or runs[0]["trace_id"])
    success = solved_by(pair for run in runs for pair in _feedback(run))

    def node(run: _Run, *, is_call: bool) -> Node:
        draft = attempts.read(_id(run), run, lambda run: _draft(run, task)) if is_call else None
        return Node(_id(run), run["parent_run_id"], draft)

    nodes = [node(run, is_call=run["run_type"] in _MODELS) for run in runs]
    if calls := calls_of_trace(nodes, success):
        return calls + calls_without_content(nodes)
    roots = [run for run in runs if not run["parent_run_id"] and run["run_type"] not in ("tool", *_MODELS)]
    return calls_of_trace([node(run, is_call=True) for run in roots[:1]], success) or calls_without_content(
        nodes
    )


def _draft(run: _Run, task: str | None) -> Draft:
    extra = from_json_text(run.get("extra")) or {}
    parameters, metadata = extra.get("invocation_params") or {}, extra.get("metadata") or {}
    model = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name")
    draft = make_draft(
        run["inputs"],
        run.get("outputs"),
        is_whole=run["run_type"] not in _MODELS,
        tools=parameters.get("tools") or parameters.get("functions"),
        id=text_or_none(_id(run)),
        task=task,
        model=text_or_none(model),
    )
    return replace(draft or no_content(), entries=(run, run[_ENTRY]))


def _feedback(run: _Run) -> Iterator[tuple[str, Any]]:
    """Yield the feedback that a run got: each key with its mean score."""
    stats = from_json_text(run.get("feedback_stats"))
    for name, value in stats.items() if isinstance(stats, dict) else ():
        yield name, value.get("avg") if isinstance(value, dict) else value


RUNS = Format(
    "langsmith",
    "LangSmith's runs, single or as trees",
    _holds_runs,
    _read,
    whole_file=True,
    counts_entries=True,
)
ROW = Format(
    "langsmith_row",
    "LangSmith's runs as rows: of a bulk export, or in memory",
    _is_run,
    _read_row,
    may_be_empty=True,
)
