"""What other commands found, read from the JSON that they print, and checked."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from lar.errors import OptionError
from lar.evaluation.recommendation import found_in_words, unwritten_in_words


class PointRow(BaseModel):
    """A point of an estimate; tokens are those of a run."""

    size: int
    latents: float | None = None
    gate: float | str | None
    reduction: float
    reductions: list[float] = Field(min_length=1)
    prompt_reduction: float
    base_generated: float
    base_prompt: float
    base_new: float
    base_cached: float
    base_sent: float
    units_generated: float
    units_prompt: float
    units_new: float
    units_cached: float
    units_sent: float

    @property
    def found(self) -> str:
        """How many latents were found where they are short of the size, in words; else empty."""
        return found_in_words(self.size, self.latents)


class Choice(BaseModel):
    """A number of latents and an entropy gate."""

    size: int
    gate: float | str | None


class BillRow(BaseModel):
    """A month's bill: prices of a million tokens, and the cost at both ends of what students realise."""

    runs: int
    price_input: float | None
    price_cached: float | None
    price_output: float | None
    without: float
    with_latents: tuple[float, float] = Field(alias="with")


class TrainingRow(BaseModel):
    """What training would take, by arithmetic: hours of one GPU, and the weights' size."""

    parameters: int
    tokens: int
    hours: float
    weights_gib: float


class EstimateFile(BaseModel):
    """What `lar estimate --json` prints."""

    runs: int
    tasks: int
    tokens: int
    runs_in_all: int
    tasks_in_all: int
    tokens_in_all: int
    unwritten: float = 0.0
    teacher: str | None
    points: list[PointRow] = Field(min_length=1)
    recommended: Choice
    words: str
    realised: tuple[float, float] = (1.0, 1.0)
    bill: BillRow | None = None
    training: TrainingRow | None = None

    @property
    def best(self) -> PointRow:
        """The recommended point."""
        chosen = self.recommended
        same = [one for one in self.points if (one.size, one.gate) == (chosen.size, chosen.gate)]
        return (same or self.points)[0]

    @property
    def left_out(self) -> str:
        """What of the agent's text is in no figure, in words; empty where that is little."""
        return unwritten_in_words(self.unwritten)


class CountsRow(BaseModel):
    """The counts of one corpus in an evaluation."""

    trajectories: int
    base_tokens: int
    units: int
    reduction: float
    prompt_reduction: float
    context_reduction: float


class UnusedRow(BaseModel):
    """A latent that is no longer used."""

    text: str
    expected_uses: float
    drifted: bool


class EvaluationFile(CountsRow):
    """What `lar evaluate --json` prints; an earlier version gave no digest of the latents."""

    lossless: bool
    latents_used: int
    latents_digest: str | None = None
    tasks: int
    seen_tasks: int
    in_sample: bool
    text_level_difference: float
    mined_reduction: float | None
    unused: list[UnusedRow]
    per_corpus: dict[str, CountsRow]
    bits_per_byte: dict[str, float] = {}
    decode_only: bool = False


class ArmRow(BaseModel):
    """One agent at work: the share of tasks that it solved, and its units a task."""

    success: float = Field(ge=0, le=1)
    units: float
    base_tokens: float | None = None
    turns: float | None = None


class ArmsFile(BaseModel):
    """Agents by name on the same tasks, as `lar demo --json` prints them; `tasks` is how many there were."""

    arms: dict[str, ArmRow] = Field(min_length=1)
    tasks: int | None = Field(default=None, ge=1)


class StudentRow(BaseModel):
    """One student of a sweep, or its control: its latents, and what it keeps on held-out tasks."""

    gate: str | None
    size: int
    latents: int
    reduction: float
    bits_per_byte: float = Field(gt=0)
    success: list[bool] | None = Field(default=None, min_length=1)
    loss: float | None = None
    same_as: str | None = None


class SweepFile(BaseModel):
    """What `lar sweep` writes as result.json; `measure` is what it compares."""

    control: StudentRow
    points: list[StudentRow] = Field(min_length=1)
    tolerance: float
    measure: Literal["success", "bits_per_byte"]
    recommended: str | None
    collapse: str | None
    words: str


class FormatRow(BaseModel):
    """What was read of one format."""

    records: int
    trajectories: int
    agent_turns: int
    calls: int
    agent_characters: int


class FieldRow(BaseModel):
    """Texts at one path of a format's records that are in no trajectory."""

    format: str
    field: str
    records: int
    characters: int
    first: str


class NotReadRow(BaseModel):
    """Files of one kind in the folders of the logs that were not read."""

    what: str
    files: int
    first: str


class ReadingFile(BaseModel):
    """What `lar import --json` prints about reading logs; trajectories: how many it wrote."""

    trajectories: int | None = None
    formats: dict[str, FormatRow]
    repeated: int
    left_out: list[FieldRow]
    redacted: dict[str, int]
    not_read: list[NotReadRow] = []
    bad_records: int
    problems: list[str]


class Evidence(NamedTuple):
    """What is known beside corpus and vocabulary; None where it is not."""

    estimate: EstimateFile | None = None
    evaluation: EvaluationFile | None = None
    arms: ArmsFile | None = None
    reading: ReadingFile | None = None
    sweep: SweepFile | None = None


# The field of `Evidence`, its class, and the names by which a JSON object is recognised.
_KINDS: tuple[tuple[str, type[BaseModel], set[str]], ...] = (
    ("sweep", SweepFile, {"points", "control", "tolerance"}),
    ("estimate", EstimateFile, {"points", "recommended"}),
    ("evaluation", EvaluationFile, {"per_corpus", "lossless"}),
    ("arms", ArmsFile, {"arms"}),
    ("reading", ReadingFile, {"formats", "bad_records"}),
)

# How begins what lar estimate, evaluate, import and demo print with --json.
_BEGINNINGS = tuple(f'{{\n  "{name}":' for name in ("runs", "trajectories", "output", "folder"))
_LARGEST = 1 << 26  # bytes of a small file


def evidence_kind(value: Any) -> str | None:
    """The field of `Evidence` that a JSON value is for; None if it is for none."""
    return next((name for name, _, keys in _KINDS if isinstance(value, dict) and keys <= value.keys()), None)


def json_of(file: Path) -> Any:
    """The content of a small JSON file; None if it is large, or holds something else."""
    if file.suffix != ".json" or file.stat().st_size > _LARGEST:
        return None
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None


def check_whole(file: Path) -> None:
    """Raise OptionError for a JSON file that is empty, or is the beginning of what a command prints.

    So it is where the command was stopped, or failed. Other files that are no JSON may be logs, which are
    read as far as they go.
    """
    if file.suffix != ".json" or file.stat().st_size > _LARGEST:
        return
    text = file.read_bytes().decode("utf-8", "replace").strip()
    if not text:
        raise OptionError(f"{file}: an empty JSON file")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        if any(text.startswith(begins) or begins.startswith(text) for begins in _BEGINNINGS):
            raise OptionError(f"{file}: a JSON file that is cut off; print it anew") from None


def read_evidence(files: Iterable[Path]) -> Evidence:
    """The content of files that `evidence_kind` recognises.

    Raises:
        OptionError: a file is of no kind or malformed, or two are of one kind.
    """
    found: dict[str, Any] = {}
    for file in files:
        value = json_of(file)
        kind = evidence_kind(value)
        if kind is None:
            raise OptionError(
                f"{file}: not what lar estimate, evaluate, sweep, demo or import prints with --json"
            )
        if kind in found:
            raise OptionError(f"{file}: there is another {kind} among the inputs; give one")
        try:
            found[kind] = next(model for name, model, _ in _KINDS if name == kind).model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise OptionError(f"{file}: a broken {kind}: {place}: {first['msg']}") from None
    return Evidence(**found)
