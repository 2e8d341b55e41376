"""The formats that can be read, one module for each family.

A format recognises a record by its content and reads it into drafts. The order matters: the first format that
recognises a record reads it, so formats with more required keys come first.
"""

import difflib
from dataclasses import replace
from typing import Any

from lar.errors import OptionError
from lar.trajectories.formats.base import Format, TextFormat
from lar.trajectories.formats.benchmarks import (
    atif,
    bfcl,
    fireact,
    inspect_ai,
    intercode,
    knowagent,
    react,
    swe_agent,
    tau,
    toolbench,
)
from lar.trajectories.formats.coding_agents import (
    aider,
    antigravity,
    claude_code,
    cline,
    codex,
    continue_dev,
    copilot,
    crush,
    cursor,
    gemini_cli,
    goose,
    grok,
    kimi,
    opencode,
    openhands,
    pi,
    stream_json,
    transcript,
)
from lar.trajectories.formats.frameworks import adk, autogen, crewai, group_chat, smolagents
from lar.trajectories.formats.interfaces import (
    anthropic,
    batch,
    chat,
    exchanges,
    gemini,
    har,
    interactions,
    message_lines,
    responses,
    sharegpt,
    vercel_ui,
)
from lar.trajectories.formats.tracers import (
    agents_sdk,
    gateways,
    langchain,
    langfuse,
    langsmith,
    mlflow,
    otel,
    otel_logs,
    pydantic_ai,
    weave,
)
from lar.trajectories.layouts.record import Record

_BENCHMARKS = (
    react.FORMAT,
    tau.TAU_BENCH,
    tau.TAU2,
    swe_agent.SWE_AGENT,
    swe_agent.MINI_SWE_AGENT,
    intercode.FORMAT,
    knowagent.FORMAT,
    fireact.FORMAT,
    toolbench.FORMAT,
    bfcl.FORMAT,
    inspect_ai.FORMAT,
    atif.FORMAT,
)
_CODING_AGENTS = (
    gemini_cli.QWEN,
    stream_json.FORMAT,
    transcript.TOOLS,
    claude_code.FORMAT,
    codex.FORMAT,
    aider.FORMAT,
    gemini_cli.SESSION,
    gemini_cli.LINES,
    opencode.SESSION,
    opencode.ENTRIES,
    antigravity.FORMAT,
    copilot.FORMAT,
    kimi.FORMAT,
    grok.FORMAT,
    goose.SESSION,
    goose.LINES,
    pi.FORMAT,
    transcript.ENTRIES,
    continue_dev.FORMAT,
    crush.FORMAT,
    cline.TASK,
    cline.SESSION,
    cline.SCREEN,
    cursor.FORMAT,
)
_FRAMEWORKS = (
    openhands.OPENHANDS,
    openhands.EVENTS,
    smolagents.SMOLAGENTS,
    smolagents.STEPS,
    autogen.AUTOGEN,
    autogen.MESSAGES,
    adk.ADK,
    adk.EVENTS,
    crewai.CREWAI,
    crewai.LOG,
    group_chat.FORMAT,
)
_TRACES = (
    otel.OTLP,
    otel.SPAN,
    otel_logs.FORMAT,
    mlflow.FORMAT,
    weave.FORMAT,
    agents_sdk.FORMAT,
    pydantic_ai.FORMAT,
    langfuse.TRACE,
    langfuse.OBSERVATION,
    langsmith.RUNS,
    langsmith.ROW,
    langchain.STATE,
    langchain.MESSAGES,
    gateways.LITELLM,
)
_INTERFACES = (
    batch.FORMAT,
    vercel_ui.FORMAT,
    vercel_ui.LINES,
    har.FORMAT,
    gemini.GEMINI,
    gemini.CONTENTS,
    interactions.FORMAT,
    responses.FORMAT,
    responses.LINES,
    anthropic.FORMAT,
    gateways.HELICONE,
    sharegpt.FORMAT,
    chat.FORMAT,
    exchanges.FORMAT,
    message_lines.FORMAT,
)
_ALL = (*_BENCHMARKS, *_CODING_AGENTS, *_FRAMEWORKS, *_TRACES, *_INTERFACES)
_RECORDS = tuple(format_ for format_ in _ALL if not format_.whole_file)
_WHOLE_FILES = tuple(format_ for format_ in _ALL if format_.whole_file)
WHERE_LISTED = "lar import --help lists them"
SMALLEST = (
    'the smallest record that is read: {"task": ..., "messages": [{"role": ..., "content": ...}]}'
    " (docs/logs.md, Not in the list?); or name your fields: --messages-key FIELD --reply-key FIELD"
)
NO_LIST = ", and holds no list or object"
ONE_MESSAGE = (
    "if each record is one message, rename its fields to role (system, user, assistant or tool), content and"
    " conversation_id"
)
REPLY_ELSEWHERE = (
    "if the reply is in another field, name the fields of the conversation and of the reply:"
    " --messages-key FIELD --reply-key FIELD"
)
_MOST_NEAR = 5
HEAD_ENTRIES = 20  # entries of a file by which a format of whole files is recognised
TEXT_FORMATS = (
    TextFormat(aider.looks_like_aider, aider.read_runs),
    TextFormat(react.looks_like_react, react.read_runs),
)
FORMATS: dict[str, Format] = {format_.name: format_ for format_ in _ALL}


def get_format(name: str) -> Format | None:
    """Return the format called `name`, None for "auto"; raises OptionError for an unknown name."""
    if name != "auto" and name not in FORMATS:
        near = [f"{known} ({FORMATS[known].title})" for known in _near(name)]
        hint = f"did you mean {' or '.join(near)}?" if near else WHERE_LISTED
        raise OptionError(f"unknown format {name!r}; {hint}")
    return FORMATS.get(name)


def _near(name: str) -> list[str]:
    """The names of formats that are like `name`, or whose names or titles have it in them."""
    within = [known for known, one in FORMATS.items() if name.lower() in f"{known} {one.title}".lower()]
    close = difflib.get_close_matches(name, FORMATS, n=_MOST_NEAR)
    return list(dict.fromkeys([*within, *close]))[:_MOST_NEAR]


def recognise(value: Any) -> Format | None:
    """Return the first format that recognises the record `value`, or None."""
    return next((format_ for format_ in _RECORDS if format_.recognises(value)), None)


def recognise_record(record: Record, forced: Format | None) -> Record:
    """The record with its format: `forced`, or the first that recognises it; None where none does."""
    value = record.value
    if record.whole_file:
        format_ = forced or recognise_entries(value)
        return record if format_ is None else replace(record, format=format_)
    if forced is None and (messages := chat.plain(value)) is not None:
        return Record(
            value, record.number, record.line, record.key, record.context, False, chat.FORMAT, messages
        )
    if forced is None and message_lines.has_several(value):
        return replace(record, format=message_lines.FORMAT)
    format_ = recognise(value) if forced is None else forced if forced.recognises(value) else None
    return record if format_ is None else replace(record, format=format_)


def recognise_entries(entries: list[Any]) -> Format | None:
    """Return the first format of whole files that recognises one of the first `entries`, or None."""
    head = entries[:HEAD_ENTRIES]
    return next((format_ for format_ in _WHOLE_FILES if any(map(format_.recognises, head))), None)
