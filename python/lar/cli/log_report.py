"""What reading logs gave, for people and as JSON: counts for each format, and all that was left out."""

import re
from typing import Any

from rich.table import Table

from lar.cli.common import logger
from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.trajectories import FORMATS, LeftOut, Problems, Report
from lar.trajectories.formats import NO_LIST, ONE_MESSAGE, REPLY_ELSEWHERE, SMALLEST, WHERE_LISTED
from lar.trajectories.formats.interfaces import chat
from lar.utils.words import counted

SHOWN_GROUPS = 20
SHOWN_REPLIES = 5
SHOWN_FIELDS = 12
# Fewer characters a record than this are ids, times and kinds rather than text.
SHORT = 16
# A member with one of these names may hold what the agent wrote.
_REPLIES = {
    *("response", "output", "outputs", "completion", "completions", "reply", "generation", "generations"),
    *("choices", "answer", "message", "messages", "content", "parts", "text", "arguments", "tool_calls"),
    "thinking",
}
# Or one whose name ends with one of these, unless it begins as that of a wanted reply does.
_LAST = {"response", "output", "completion", "reply"}
_OF_OTHERS = {"expected", "gold", "reference", "target", "correct"}
# What parts of messages are called that are no text, by their kind.
_PARTS = {"image": "image", "audio": "audio clip", "video": "video", "file": "file"}
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")


def report_summary(report: Report) -> dict[str, Any]:
    """The report as JSON-ready values."""
    return {
        "formats": {
            name: {
                "records": counts.records,
                "trajectories": counts.trajectories,
                "agent_turns": counts.agent_turns,
                "calls": counts.calls,
                "agent_characters": counts.agent_characters,
            }
            for name, counts in report.formats.items()
        },
        "repeated": report.repeated,
        "first_repeated": report.first_repeated,
        "repeated_turns": report.repeated_turns,
        "first_repeated_turn": report.first_repeated_turn,
        "long_turns_of_calls": {"turns": report.long_turns, "resent": report.resent_turns},
        "cut_streams": report.cut,
        "first_cut_stream": report.first_cut,
        "left_out": [
            {"format": name, "field": path, "records": texts.records, "characters": texts.characters}
            | {"first": texts.first}
            for (name, path), texts in _by_characters(report)
        ],
        "replaced": [
            {"kind": kind, "parts": found.parts, "first": found.first}
            for kind, found in report.replaced.items()
        ],
        "redacted": dict(report.redacted),
        "not_read": [
            {"what": what, "files": found.files, "first": found.first}
            for what, found in report.not_read.items()
        ],
        "fused": [
            {"field": name, "values": found.values, "files": found.files, "first": found.first}
            for name, found in report.fused.items()
        ],
        "rendered_prompts": {"prompts": report.rendered, "first": report.first_rendered},
        "without_history": {"calls": report.without_history, "first": report.first_without_history},
        "without_content": {"calls": report.without_content, "first": report.first_without_content},
        **bad_records_summary(report.problems),
    }


def losses_summary(report: Report) -> dict[str, Any]:
    """The report as "reading", for a command that does more than reading; {} where all was read."""
    if _losses(report) or report.redacted or report.problems.count or any(report.doubts()):
        return {"reading": report_summary(report)}
    return {}


def print_losses(report: Report) -> None:
    """Print what reading lost, for such a command; bad records are warned of (`warn_of`)."""
    if losses := _losses(report):
        print_prose(f"{', '.join(losses)} (lar import shows them)")
    _print_redacted(report)


def _losses(report: Report) -> list[str]:
    losses = [f"{report.repeated:,} repeated"] if report.repeated else []
    if report.repeated_turns:
        losses.append(f"{counted(report.repeated_turns, 'turn')} repeated in others")
    if report.cut:
        losses.append(f"{counted(report.cut, 'reply', 'replies')} cut off")
    if report.left_out:
        characters = sum(found.characters for found in report.left_out.values())
        fields = counted(len(report.left_out), "field")
        losses.append(f"{characters:,} characters of {fields} in no trajectory")
    if report.replaced:
        losses.append(f"the tokens of {_replaced(report)} in no figure")
    if files := sum(found.files for found in report.not_read.values()):
        losses.append(f"{counted(files, 'file')} beside logs not read")
    return losses


def _replaced(report: Report) -> str:
    """How many parts that are no text there were, by kind."""
    return ", ".join(counted(found.parts, _PARTS[kind]) for kind, found in report.replaced.items())


def bad_records_summary(problems: Problems) -> dict[str, Any]:
    """Bad records as JSON-ready values: counts of all by file and reason, and the first ones one by one."""
    return {
        "bad_records": problems.count,
        "bad_record_groups": [
            {"file": str(group.first.path), "reason": group.reason, "records": group.count}
            | {"first": str(group.first)}
            for group in problems.groups()
        ],
        "problems": [str(problem) for problem in problems.records],
    }


def print_report(report: Report, trajectories: int, agent_turns: int) -> None:
    """Print the counts of each format and the largest fields that were left out.

    The last two are what was written: a row of its own, where that is less than what was read.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("format")
    for name in ("records", "trajectories", "agent turns", "calls", "agent's characters"):
        table.add_column(name, justify="right")
    for name, counts in report.formats.items():
        figures = (counts.records, counts.trajectories, counts.agent_turns, counts.calls)
        table.add_row(name, *(f"{figure:,}" for figure in (*figures, counts.agent_characters)))
    repeats = report.repeated or report.repeated_turns
    if repeats or trajectories < sum(counts.trajectories for counts in report.formats.values()):
        written = "written, without repeats" if repeats else "written"
        table.add_row(written, "", f"{trajectories:,}", f"{agent_turns:,}", "", "")
    print_table(table)
    _print_redacted(report)
    for what, found in report.not_read.items():
        print_prose(f"not read: {counted(found.files, 'file')}, {what}; the first: {found.first}")
    if report.replaced:
        first = next(iter(report.replaced.values())).first
        print_prose(f"replaced by a word, such as [image]: {_replaced(report)}; the first: {first}")
    if report.left_out:
        print_table(_fields_table(report))


def _print_redacted(report: Report) -> None:
    if report.redacted:
        values = (f"{number:,} {kind}" for kind, number in report.redacted.most_common())
        print_prose(f"redacted: {', '.join(values)}")


def _fields_table(report: Report) -> Table:
    fields = _by_characters(report)
    texts = [item for item in fields if item[1].characters >= SHORT * item[1].records]
    table = Table(box=None, pad_edge=False)
    table.add_column("left out: field", overflow="fold")
    for name in ("format", "records", "characters"):
        table.add_column(name, justify="left" if name == "format" else "right")
    table.add_column("first", overflow="fold")
    shown = texts[:SHOWN_FIELDS]
    rest = [item for item in fields if item not in shown]
    if len(rest) == 1:
        shown, rest = shown + rest, []
    for (name, path), found in shown:
        table.add_row(path, name, f"{found.records:,}", f"{found.characters:,}", found.first)
    if rest:
        characters = sum(found.characters for _, found in rest)
        fields_left = f"{counted(len(rest), 'shorter field')} (--json lists them)"
        table.add_row(fields_left, "", "", f"{characters:,}", "")
    return table


def warn_of(report: Report) -> None:
    """Log what a person should look at: bad records, doubts, fields like replies, repetitions."""
    _warn_of_problems(report.problems)
    for doubt in report.doubts():
        logger.warning("%s", doubt)
    replies = [item for item in _by_characters(report) if _looks_like_a_reply(*item)]
    for (name, path), found in replies[:SHOWN_REPLIES]:
        logger.warning(
            "%s: %s looks like text of the conversation and was not used: %s characters in %s records; "
            "the first: %s",
            *(name, path, f"{found.characters:,}", f"{found.records:,}", found.first),
        )
    if len(replies) > SHOWN_REPLIES:
        logger.warning("%d more fields look like text and were not used", len(replies) - SHOWN_REPLIES)
    if any(name == chat.FORMAT.name for (name, _), _ in replies):
        logger.warning("%s", REPLY_ELSEWHERE)
    if report.repeated:
        logger.info(
            "%s trajectories are the beginning of another one, which is kept; the first: %s",
            *(f"{report.repeated:,}", report.first_repeated),
        )
    if report.repeated_turns:
        logger.info(
            "%s turns of the agent count in another trajectory and are context in this one; the first: %s",
            *(f"{report.repeated_turns:,}", report.first_repeated_turn),
        )


def _looks_like_a_reply(field: tuple[str, str], found: LeftOut) -> bool:
    """Whether a field that was left out may be the agent's text, and its format does not expect that."""
    name, path = field
    if name in FORMATS and path in FORMATS[name].unwanted:
        return False
    last = path.replace("(json)", "").replace("[]", "").split(".")[-1]
    return _names_a_reply(last) and found.characters >= SHORT * found.records


def _names_a_reply(member: str) -> bool:
    """Whether a member may be a reply: `output`, `llm_output`, `modelResponse`, but not `expected_output`."""
    words = [word.lower() for word in _WORD.findall(member)]
    return member in _REPLIES or (bool(words) and words[-1] in _LAST and words[0] not in _OF_OTHERS)


def _warn_of_problems(problems: Problems) -> None:
    """Name the largest groups of bad records: a line for each file and reason."""
    groups = sorted(problems.groups(), key=lambda group: -group.count)
    for group in groups[:SHOWN_GROUPS]:
        if group.count == 1:
            logger.warning("bad record: %s", group.first)
            continue
        at = f", the first at {group.first.place_in_file}" if group.first.place_in_file else ""
        logger.warning("bad records: %s: %s%s: %s", group.first.path, f"{group.count:,}", at, group.reason)
    if more := groups[SHOWN_GROUPS:]:
        logger.warning(
            "%s more bad records, of %s other files and reasons (lar import --json counts them)",
            *(f"{sum(group.count for group in more):,}", f"{len(more):,}"),
        )
    if any(NO_LIST in group.reason for group in groups):
        logger.warning("%s", ONE_MESSAGE)
    if any(WHERE_LISTED in group.reason for group in groups):
        logger.warning("%s", SMALLEST)


def _by_characters(report: Report) -> list[tuple[tuple[str, str], Any]]:
    return sorted(report.left_out.items(), key=lambda item: -item[1].characters)
