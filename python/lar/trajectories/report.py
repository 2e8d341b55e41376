"""What reading logs gave: counts for each format, what was left out and where, and what could not be read."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from lar.trajectories.dialects.messages import is_own, texts_written
from lar.trajectories.problems import Problems
from lar.trajectories.schema import Trajectory
from lar.utils.words import counted

LONG = 200  # characters of a turn, with reasoning and arguments; shorter turns are equal by chance
# Share of the calls' long turns that stand in several histories, above which these repeat in a way that does
# not show. Measured as if each run were a call: 79 to 83% where a client cuts or changes histories; 0 to 7%
# of most sets of runs, 16 to 31% where several attempts at a task begin alike.
_RESENT = 1 / 3


@dataclass(slots=True)
class FormatCounts:
    """What was read of one format. Characters are those of the agent: content, reasoning and arguments.

    A turn that is context (weight 0) is not counted as the agent's.
    """

    records: int = 0
    trajectories: int = 0
    agent_turns: int = 0
    calls: int = 0
    agent_characters: int = 0

    def add(self, trajectory: Trajectory) -> None:
        """Count a trajectory."""
        self.trajectories += 1
        for message in trajectory.messages:
            if message["role"] != "assistant":
                continue
            if len(message) == 2:
                length = len(message["content"])
            elif is_own(message):
                length = sum(map(len, texts_written(message)))
                self.calls += len(message.get("tool_calls", ()))
                self.agent_turns += not length
            else:
                continue
            self.agent_characters += length
            self.agent_turns += length > 0


@dataclass(slots=True)
class LeftOut:
    """Texts at one path of the records of a format that are in no trajectory."""

    records: int
    characters: int
    first: str  # where the first of them stands: file, record and line


@dataclass(slots=True)
class Replaced:
    """Parts of messages of one kind that are no text, for which a word stands."""

    parts: int
    first: str


@dataclass(slots=True)
class NotRead:
    """Files of one kind in the given folders that are no logs and were not read."""

    files: int
    first: str


@dataclass(slots=True)
class Fused:
    """Files of messages that were read as one conversation each, and have a field that may name several.

    values: how many values the field has in the first file.
    """

    files: int
    values: int
    first: str


@dataclass(slots=True)
class Report:
    """What reading logs gave, beside the trajectories; `merge` adds another part of the same logs.

    formats: counts by the format's name. left_out: by format and path, texts of records that are in no
    trajectory. replaced: by kind (image, audio, video, file), parts of messages for which a word stands in
    them. repeated: trajectories that are the beginning of another one, which has all of their text.
    repeated_turns: turns of the agent that count in another trajectory and are context in this one.
    long_turns: the agent's long turns in single calls that were kept. resent_turns: those of them that stand
    in the history of a call and in another call too, and count in both. cut: calls whose reply is a stream
    without an end. redacted: private values that were replaced, by kind. not_read: by what they are, files
    of folders that are no logs. fused: by the field that may name them, conversations that may have been read
    as one. without_content: calls of a model whose answer is not in the log. without_history: calls that go
    on from a reply that is not in the logs. rendered: records whose prompt is a conversation that a chat
    template has rendered. outcome_elsewhere: of the first record, where a field that is called as the success
    key's has an outcome, in words; None without a success key. problems: records that could not be read.

    >>> report = lar.Report()
    >>> log = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    >>> _ = list(lar.read_trajectories([{**log, "note": "by hand"}, log], report=report))
    >>> report.formats["chat"].trajectories, report.left_out["chat", "note"].characters
    (2, 7)
    """

    formats: dict[str, FormatCounts] = field(default_factory=dict)
    left_out: dict[tuple[str, str], LeftOut] = field(default_factory=dict)
    replaced: dict[str, Replaced] = field(default_factory=dict)
    repeated: int = 0
    first_repeated: str | None = None
    repeated_turns: int = 0
    first_repeated_turn: str | None = None
    long_turns: int = 0
    resent_turns: int = 0
    cut: int = 0
    first_cut: str | None = None
    redacted: Counter[str] = field(default_factory=Counter)
    not_read: dict[str, NotRead] = field(default_factory=dict)
    fused: dict[str, Fused] = field(default_factory=dict)
    without_content: int = 0
    first_without_content: str | None = None
    without_history: int = 0
    first_without_history: str | None = None
    rendered: int = 0
    first_rendered: str | None = None
    outcome_elsewhere: str | None = None
    problems: Problems = field(default_factory=Problems)

    def counts(self, format_name: str) -> FormatCounts:
        """The counts of a format, to add to."""
        return self.formats.setdefault(format_name, FormatCounts())

    def leave_out(self, format_name: str, texts: dict[str, int], place: str, records: int = 1) -> None:
        """Count the texts of records that were left out: {path: characters}."""
        for path, characters in texts.items():
            known = self.left_out.setdefault((format_name, path), LeftOut(0, 0, place))
            known.records += records
            known.characters += characters

    def replace(self, parts: dict[str, int], place: str) -> None:
        """Count the parts of one record for which a word stands: {kind: how many}."""
        for kind, number in parts.items():
            self.replaced.setdefault(kind, Replaced(0, place)).parts += number

    def repeat(self, place: str | None, times: int = 1) -> None:
        """Count a trajectory that is the beginning of another one."""
        self.repeated += times
        self.first_repeated = self.first_repeated or place

    def repeat_turn(self, place: str | None, times: int = 1) -> None:
        """Count a turn of a trajectory that counts in another one."""
        self.repeated_turns += times
        self.first_repeated_turn = self.first_repeated_turn or place

    def cut_stream(self, place: str | None, times: int = 1) -> None:
        """Count a call whose reply is a stream without an end."""
        self.cut += times
        self.first_cut = self.first_cut or place

    def pass_over(self, what: str, file: Path | str, files: int = 1) -> None:
        """Count a file that is not read."""
        self.not_read.setdefault(what, NotRead(0, str(file))).files += files

    def fuse(self, name: str, values: int, file: Path | str, files: int = 1) -> None:
        """Count a file that was read as one conversation, where its field `name` may name several."""
        self.fused.setdefault(name, Fused(0, values, str(file))).files += files

    def miss_content(self, calls: int, place: str | None) -> None:
        """Count calls of a model whose answer is not in the log."""
        self.without_content += calls
        self.first_without_content = self.first_without_content or place

    def miss_history(self, place: str | None, times: int = 1) -> None:
        """Count a call that goes on from a reply that is not in the logs."""
        self.without_history += times
        self.first_without_history = self.first_without_history or place

    def render(self, place: str | None, times: int = 1) -> None:
        """Count a record whose prompt is a conversation that a chat template has rendered."""
        self.rendered += times
        self.first_rendered = self.first_rendered or place

    def doubts(self) -> Iterator[str]:
        """Yield what may be missing or may have been read wrongly, a sentence each, with what to do."""
        if self.without_content:
            calls = counted(self.without_content, "model call")
            yield (
                f"{calls} without content: no answer was recorded, because the call failed, because a"
                " setting masks it (LiteLLM's turn_off_message_logging, OpenInference's"
                " OPENINFERENCE_HIDE_OUTPUTS) or because the tracer does not capture content (OpenTelemetry"
                " does with the environment variable"
                " OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true); the first:"
                f" {self.first_without_content}"
            )
        if self.without_history:
            calls = counted(self.without_history, "model call goes", "model calls go")
            yield (
                f"{calls} on from a reply (previous_response_id, previous_interaction_id) that is not in"
                " these logs: what was said before is missing, and the task may be wrong; the first:"
                f" {self.first_without_history}"
            )
        if self.rendered:
            prompts = counted(self.rendered, "prompt is", "prompts are")
            yield (
                f"{prompts} a whole conversation that a chat template has rendered, and each is read as one"
                " message of a user: calls of one conversation are then several tasks, and no history repeats"
                f" another; log the messages instead; the first: {self.first_rendered}"
            )
        if self.resent_turns > _RESENT * self.long_turns:
            yield (
                f"{self.resent_turns:,} of {self.long_turns:,} turns of the agent with {LONG} characters or"
                " more stand in the history of a call and, word for word, in another call too, and count each"
                " time: clients may have cut or changed histories"
            )
        if self.cut:
            cut = counted(self.cut, "reply is a stream", "replies are streams")
            yield (
                f"{cut} without an end: the text is kept, a call that is not complete is not; the first:"
                f" {self.first_cut}"
            )
        for name, found in self.fused.items():
            more = f" (and {counted(found.files - 1, 'more file')})" if found.files > 1 else ""
            yield (
                f"{found.first}{more}: read as one conversation, but the field {name} of its messages has"
                f" {found.values:,} values, each with messages of the user and of the agent; if it names the"
                f" conversation, use --task-key {name}"
            )

    def become(self, other: "Report") -> None:
        """Take over the counts of `other`, in place of all that was counted."""
        for name in self.__slots__:
            setattr(self, name, deepcopy(getattr(other, name)))

    def merge(self, other: "Report") -> None:
        """Add the counts of `other`, which was read after this one."""
        for name, counts in other.formats.items():
            mine = self.counts(name)
            mine.records += counts.records
            mine.trajectories += counts.trajectories
            mine.agent_turns += counts.agent_turns
            mine.calls += counts.calls
            mine.agent_characters += counts.agent_characters
        for (name, path), texts in other.left_out.items():
            self.leave_out(name, {path: texts.characters}, texts.first, texts.records)
        for kind, replaced in other.replaced.items():
            self.replace({kind: replaced.parts}, replaced.first)
        for what, files in other.not_read.items():
            self.pass_over(what, files.first, files.files)
        for name, found in other.fused.items():
            self.fuse(name, found.values, found.first, found.files)
        self.repeat(other.first_repeated, other.repeated)
        self.repeat_turn(other.first_repeated_turn, other.repeated_turns)
        self.cut_stream(other.first_cut, other.cut)
        self.miss_content(other.without_content, other.first_without_content)
        self.miss_history(other.first_without_history, other.without_history)
        self.render(other.first_rendered, other.rendered)
        self.long_turns += other.long_turns
        self.resent_turns += other.resent_turns
        self.redacted.update(other.redacted)
        if self.outcome_elsewhere is None:
            self.outcome_elsewhere = other.outcome_elsewhere
        self.problems.merge(other.problems)
