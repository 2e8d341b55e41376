"""Scripted sessions of an OpenClaw agent: a workspace, the user's message, and the model's replies.

A seeded script fills templates of six kinds of small tasks; no model wrote the replies. OpenClaw, its prompt,
its tools and their results are real. The replies repeat themselves more than a model's would.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from testing.engines.recording_server import Reply, ToolCall

_PROJECTS = (
    "harbor",
    "meadow",
    "lantern",
    "quarry",
    "orchard",
    "beacon",
    "summit",
    "delta",
    "willow",
    "ember",
)
_PEOPLE = ("Ana", "Bashir", "Chen", "Dagny", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jonas")
_SERVICES = ("billing", "search", "gateway", "mailer", "catalog", "scheduler", "exporter", "auth")
_FAILURES = ("connection refused", "timed out after 30 s", "disk quota exceeded", "certificate has expired")
_FUNCTIONS = ("load_rows", "parse_header", "send_report", "merge_tables", "render_page", "check_limits")
_ITEMS = ("apples", "pears", "plums", "walnuts", "cherries", "quinces", "figs")


@dataclass(frozen=True)
class Session:
    """One task: the files of the workspace, the user's message, and the model's replies in order."""

    name: str
    files: dict[str, str]
    message: str
    replies: tuple[Reply, ...]


def sessions(number: int, seed: int) -> list[Session]:
    """`number` sessions, each its own task; the kinds rotate."""
    chance = random.Random(seed)
    return [_KINDS[index % len(_KINDS)](chance, f"{index:03d}") for index in range(number)]


def _count_errors(chance: random.Random, number: str) -> Session:
    project, service = chance.choice(_PROJECTS), chance.choice(_SERVICES)
    log, lines = f"{project}/logs/{service}.log", _log_lines(chance, service)
    failed = sum("ERROR" in line for line in lines)
    last = next((line for line in reversed(lines) if "ERROR" in line), "none")
    return Session(
        f"count-errors-{number}",
        {log: "\n".join(lines) + "\n"},
        f"How many errors are in {log}, and what was the last one?",
        (
            Reply(
                _opening(chance, f"count the errors in `{log}`"),
                (_shell(f"grep -c ERROR {log}", "Count errors"),),
            ),
            Reply("Now the last of them.", (_shell(f"grep ERROR {log} | tail -n 1", "Show the last error"),)),
            Reply(f"There are {failed} errors in `{log}`. The last one is:\n\n```\n{last}\n```"),
        ),
    )


def _log_lines(chance: random.Random, service: str) -> list[str]:
    lines = []
    for minute in range(chance.randint(8, 20)):
        time = f"2026-03-{chance.randint(1, 28):02d}T09:{minute:02d}:{chance.randint(0, 59):02d}Z"
        failed = chance.random() < 0.3
        text = (
            f"ERROR {chance.choice(_FAILURES)}"
            if failed
            else f"INFO request {chance.randint(1000, 9999)} done"
        )
        lines.append(f"{time} {service} {text}")
    return lines


def _change_setting(chance: random.Random, number: str) -> Session:
    project, key = (
        chance.choice(_PROJECTS),
        chance.choice(("retries", "timeout_seconds", "workers", "batch_size")),
    )
    file, old, new = f"{project}/config.json", chance.randint(1, 9), chance.randint(10, 99)
    content = json.dumps({"service": chance.choice(_SERVICES), key: old, "verbose": False}, indent=2) + "\n"
    edit = {"path": file, "edits": [{"oldText": f'"{key}": {old}', "newText": f'"{key}": {new}'}]}
    check = f"python3 -m json.tool {file}"
    return Session(
        f"change-setting-{number}",
        {file: content},
        f"Set {key} to {new} in {file} and make sure the file is still valid JSON.",
        (
            Reply(_opening(chance, f"read `{file}`"), (ToolCall("read", {"path": file}),)),
            Reply(f"`{key}` is {old}. I'll change it to {new}.", (ToolCall("edit", edit),)),
            Reply("Now I'll check that the file is valid.", (_shell(check, "Validate the JSON"),)),
            Reply(f"Done. `{key}` in `{file}` is now {new}, and the file is valid JSON."),
        ),
    )


def _rename_function(chance: random.Random, number: str) -> Session:
    project, old = chance.choice(_PROJECTS), chance.choice(_FUNCTIONS)
    new = f"{old}_{chance.choice(('safely', 'in_order', 'once'))}"
    library, user = f"{project}/library.py", f"{project}/main.py"
    edits = [{"oldText": f"def {old}(", "newText": f"def {new}("}]
    command = f"sed -i 's/\\b{old}\\b/{new}/g' {user} && grep -rn {new} {project}"
    return Session(
        f"rename-function-{number}",
        {
            library: f'def {old}(path):\n    """Read what lies at path."""\n    return open(path).read()\n',
            user: f"from library import {old}\n\nprint({old}('data.txt'))\n",
        },
        f"Rename the function {old} to {new} everywhere in {project}/.",
        (
            Reply(
                _opening(chance, f"find where `{old}` is used"),
                (_shell(f"grep -rn {old} {project}", "Find uses"),),
            ),
            Reply(
                "I'll change the definition first.", (ToolCall("edit", {"path": library, "edits": edits}),)
            ),
            Reply("Now the places that call it.", (_shell(command, "Rename the calls and check"),)),
            Reply(f"Done. `{old}` is now `{new}` in `{library}` and `{user}`."),
        ),
    )


def _summarise_table(chance: random.Random, number: str) -> Session:
    project = chance.choice(_PROJECTS)
    table, report = f"{project}/sales.csv", f"{project}/report.md"
    rows = [(chance.choice(_ITEMS), chance.randint(1, 90)) for _ in range(chance.randint(6, 15))]
    totals: dict[str, int] = {}
    for item, amount in rows:
        totals[item] = totals.get(item, 0) + amount
    listed = "".join(f"| {item} | {totals[item]} |\n" for item in sorted(totals))
    program = "NR > 1 { sum[$1] += $2 } END { for (item in sum) print item, sum[item] }"
    sums = f"awk -F, '{program}' {table} | sort"
    text = f"# Sales of {project}\n\n| item | total |\n|---|---|\n{listed}"
    return Session(
        f"summarise-table-{number}",
        {table: "item,amount\n" + "".join(f"{item},{amount}\n" for item, amount in rows)},
        f"Sum up {table} by item and write the totals to {report}.",
        (
            Reply(_opening(chance, f"look at `{table}`"), (ToolCall("read", {"path": table, "limit": 5}),)),
            Reply("Now I'll add up the amounts.", (_shell(sums, "Sum the amounts by item"),)),
            Reply("I'll write the report.", (ToolCall("write", {"path": report, "content": text}),)),
            Reply(f"Done. The totals of {len(totals)} items are in `{report}`."),
        ),
    )


def _write_note(chance: random.Random, number: str) -> Session:
    project, person, topic = chance.choice(_PROJECTS), chance.choice(_PEOPLE), chance.choice(_SERVICES)
    day = f"2026-04-{chance.randint(1, 30):02d}"
    note = f"{project}/notes/{day}.md"
    text = f"# {day}\n\n- Met {person} about {topic}.\n- Next: {chance.choice(_FUNCTIONS)} by Friday.\n"
    return Session(
        f"write-note-{number}",
        {f"{project}/notes/README.md": "One file a day.\n"},
        f"Make a note in {project}/notes for {day}: I met {person} about {topic}.",
        (
            Reply(
                _opening(chance, f"see what is in `{project}/notes`"),
                (ToolCall("ls", {"path": f"{project}/notes"}),),
            ),
            Reply(
                "There is one file a day. I'll add it.", (ToolCall("write", {"path": note, "content": text}),)
            ),
            Reply("Let me check the file.", (ToolCall("read", {"path": note}),)),
            Reply(f"Done. I wrote the note about {topic} with {person} to `{note}`."),
        ),
    )


def _tick_off(chance: random.Random, number: str) -> Session:
    file = f"{chance.choice(_PROJECTS)}/TODO.md"
    tasks = [
        f"{verb} the {chance.choice(_SERVICES)} service"
        for verb in ("Restart", "Document", "Test", "Measure")
    ]
    done = chance.choice(tasks)
    edits = [{"oldText": f"- [ ] {done}", "newText": f"- [x] {done}"}]
    return Session(
        f"tick-off-{number}",
        {file: "# To do\n\n" + "".join(f"- [ ] {task}\n" for task in tasks)},
        f'Tick off "{done}" in {file} and tell me what is left.',
        (
            Reply(_opening(chance, f"read `{file}`"), (ToolCall("read", {"path": file}),)),
            Reply("I'll tick it off.", (ToolCall("edit", {"path": file, "edits": edits}),)),
            Reply("Let me check what is left.", (_shell(f"grep -n '\\[ \\]' {file}", "List open tasks"),)),
            Reply(
                "Done. Still open:\n\n" + "".join(f"- {task}\n" for task in tasks if task != done).rstrip()
            ),
        ),
    )


def _opening(chance: random.Random, purpose: str) -> str:
    """The sentence before the first call."""
    ways = ("I'll {}.", "Let me {} first.", "First I'll {}.", "Sure. Let me {}.", "I'll start: {}.")
    return chance.choice(ways).format(purpose)


def _shell(command: str, title: str) -> ToolCall:
    return ToolCall("exec", {"title": title, "command": command})


_KINDS: tuple[Callable[[random.Random, str], Session], ...] = (
    _count_errors,
    _change_setting,
    _rename_function,
    _summarise_table,
    _write_note,
    _tick_off,
)
