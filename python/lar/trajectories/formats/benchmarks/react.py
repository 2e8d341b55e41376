"""ReAct as plain text: Thought, Action, Observation, numbered or not, many runs in one log.

The agent wrote Thought and Action, the environment Observation (role user); every character of a run is
kept, newlines too. Read are the standard outputs of ReAct's and Reflexion's scripts and notebooks, and logs
like them. Lines of bookkeeping between two runs (separators, scores, "Correct answer: ...") are left out.
"""

import re
from collections.abc import Iterable, Iterator

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, text_or_none
from lar.trajectories.tasks import question_task

_AGENT = "ActionPath|Thought|Think|Action Input|Action|Act|Final Answer"
_LABEL = re.compile(rf"(?:({_AGENT})|Observation|Obs)(?: ?(\d+))? ?:")
_START = re.compile(
    r"(?:(\d+) )?(?:(?:Question|Claim|Query|Task|Problem)(?: \d+)?:|You are in the middle of a room)"
)
_RESET = re.compile(r"Action: reset\s*$")
# The run is over, whatever comes before; or it is over if the environment has given its verdict.
_END = re.compile(r"\{'steps':|Correct answer:")
_RULE = re.compile(r"[-=#]{5}|BEGIN TRIAL|Trial summary:")
_SCORES = re.compile(r"[\d.]+(?: [\d.]+)*\s*$")
_VERDICT = re.compile(
    r"Answer is (?P<answer>CORRECT|INCORRECT)|Episode finished, reward = (?P<reward>[\w.]+)"
    r"|Your score \(min 0.0, max 1.0\): (?P<score>[\d.]+)"
)
_QUESTION = re.compile(
    r"^(?:Question|Claim|Query|Task|Problem|Instruction)(?: \d+)?:"
    r"\s*(.+?)\s*(?:You have attempted to answer|$)",
    re.MULTILINE,
)


def looks_like_react(head: str) -> bool:
    """Whether `head` (the start of a file) has lines of the agent's and lines of the environment's."""
    labels = [match for line in head.split("\n") if (match := _LABEL.match(line))]
    return any(match.group(1) for match in labels) and any(not match.group(1) for match in labels)


def split_turns(text: str) -> list[dict[str, str]]:
    """Cut one run into messages of user and assistant; their contents put together are `text`."""
    turns: list[dict[str, str]] = []
    role = "user"
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if label := _LABEL.match(line):
            # Resetting the environment is the first line of a run, and not the agent's doing.
            resets = not turns and _RESET.match(line)
            role = "assistant" if label.group(1) and not resets else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += line
        else:
            turns.append({"role": role, "content": line})
    return turns


class _Run:
    """The lines of one run while they are gathered."""

    def __init__(self, line_number: int) -> None:
        self.lines: list[str] = []
        self.first_line = line_number
        self.labels: set[tuple[str, str | None]] = set()
        self.judged = False
        self.ended = False  # by a line that ends a run, whatever came before
        self.verdict_line = ""  # the line after the run's last one that ended it
        self.question_at: int | None = None  # a line within an observation that may begin the next run

    def starts_anew(self, line: str, label: re.Match[str]) -> bool:
        """Whether `line`, which has `label`, belongs to the next run."""
        if _RESET.match(line):
            return bool(self.labels)
        number = label.group(2)
        if number is None:
            return self.question_at is not None
        return number == "1" and (self.question_at is not None or (label.group(0), number) in self.labels)

    def add(self, line: str, label: re.Match[str] | None) -> None:
        self.lines.append(line)
        if label:
            self.labels.add((label.group(0), label.group(2)))
            self.question_at = None
        elif self.labels and _START.match(line):
            self.question_at = len(self.lines) - 1
        self.judged = self.judged or _VERDICT.search(line) is not None


def read_runs(lines: Iterable[str]) -> Iterator[Record]:
    """Yield a record `{react_text, question, index, ended, between}` for each run.

    `between` is the text around the run that is no part of one; memory for two runs at a time.
    """
    number, between, held = 0, "", None
    for run in _runs(lines):
        record, rest = _record(run, number + 1)
        if record is None:
            between += rest
            continue
        if held is not None:
            yield held
        number, held = number + 1, record
        record.value["between"] = between + rest
        between = ""
    if held is not None:
        held.value["between"] += between
        yield held


def _runs(lines: Iterable[str]) -> Iterator[_Run]:
    """Cut the lines of a log into runs; a run without a label is text between two runs."""
    run = _Run(1)
    for line_number, line in enumerate(lines, start=1):
        label = _LABEL.match(line)
        if label and run.starts_anew(line, label):
            cut = run.question_at if run.question_at is not None else len(run.lines)
            moved = run.lines[cut:]
            run.lines = run.lines[:cut]
            yield run
            run = _Run(line_number - len(moved))
            run.lines = moved
        elif run.labels and (_END.match(line) or (run.judged and _RULE.match(line))):
            run.ended = bool(_END.match(line))
            run.verdict_line = line
            yield run
            run = _Run(line_number + 1)
            continue
        run.add(line, label)
    yield run


def _record(run: _Run, number: int) -> tuple[Record | None, str]:
    """Make a record of the run, None for text without a line of the agent; and the text beside the run."""
    if not run.labels:
        return None, "".join(run.lines)
    begin = next((at for at, line in enumerate(run.lines) if not _is_bookkeeping(line)), 0)
    end = _end_of_run(run.lines)
    rest = "".join([*run.lines[:begin], *run.lines[end:], run.verdict_line])
    lines = run.lines[begin:end]
    index = None
    if (start := _START.match(lines[0])) and (index := start.group(1)):
        lines[0] = lines[0][len(index) + 1 :]
    text = "".join(lines)
    question = _QUESTION.search(text.split("\nThought", 1)[0])
    value = {"react_text": text, "question": question and question.group(1), "index": index}
    return Record({**value, "ended": run.ended}, number, run.first_line + begin), rest


def _is_bookkeeping(line: str) -> bool:
    return not line.strip() or bool(_RULE.match(line) or _SCORES.match(line) or _END.match(line))


def _end_of_run(lines: list[str]) -> int:
    """Where the bookkeeping after a run begins; a number alone is none (an observation may be a number)."""
    end = len(lines)
    while end > 1 and _is_bookkeeping(lines[end - 1]):
        end -= 1
    told = [at for at in range(end, len(lines)) if lines[at].strip()]
    behind_verdict = end > 0 and _VERDICT.search(lines[end - 1])
    return told[0] if told and (behind_verdict or any(_RULE.match(lines[at]) for at in told)) else len(lines)


def _success(text: str, ended: bool) -> bool | None:
    verdict = None
    for verdict in _VERDICT.finditer(text):  # noqa: B007 (the last one counts)
        pass
    if verdict is None:
        return False if ended else None  # the right answer was shown to an agent that gave none
    if answer := verdict.group("answer"):
        return answer == "CORRECT"
    given = verdict.group("reward") or verdict.group("score")
    try:
        return given == "True" or float(given) >= 1
    except ValueError:
        return False


def _read(record: Record) -> list[Draft]:
    value = record.value
    question = text_or_none(value.get("question"))
    return [
        Draft(
            normalize_messages(split_turns(value["react_text"])),
            task=question_task(question) if question else None,
            success=_success(value["react_text"], bool(value.get("ended"))),
        )
    ]


FORMAT = Format(
    "react", "ReAct text log (Thought, Action, Observation)", lambda value: has(value, "react_text"), _read
)
