"""The content of the report's page: figures, pictures and commands, as the template takes them."""

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import lar
from lar.corpus import Corpus
from lar.evaluation.reporting import charts
from lar.evaluation.reporting.evidence import ArmsFile, EstimateFile, Evidence
from lar.evaluation.reporting.example import Example
from lar.evaluation.reporting.measure import Measured, Saving
from lar.evaluation.reporting.visible import visible
from lar.mining.options import MiningOptions
from lar.vocabulary.vocabulary import LatentVocabulary

_MOST_TOOLS = 15
_MOST_TURNS = 40
COLOURS = 6  # of latents, in the style sheet


class Missing(NamedTuple):
    """What the report lacks, and the command that adds it."""

    what: str
    command: str


@dataclass(frozen=True)
class Given:
    """What the report is made of. is_mined: the vocabulary was mined for the report alone."""

    corpora: Mapping[str, Corpus]
    vocabulary: LatentVocabulary
    is_mined: bool
    evidence: Evidence
    student: Path | None
    command: str | None

    @property
    def title(self) -> str:
        """The names of the corpora; of a folder that is just called corpus, its parent's."""
        return ", ".join(
            corpus.path.resolve().parent.name if name == "corpus" else name
            for name, corpus in self.corpora.items()
        )

    @property
    def first(self) -> str:
        """The first corpus as a command line names it."""
        path = next(iter(self.corpora.values())).path
        return "CORPUS" if path.parent.name.startswith("lar-corpus-") else shlex.quote(str(path))


def content(given: Given, measured: Measured, example: Example | None) -> dict[str, Any]:
    """All values of the template."""
    draws = charts.can_draw()
    evidence = given.evidence
    by_size = sorted(measured.by_tool.items(), key=lambda row: -row[1].base)
    tools = _bars(by_size, _MOST_TOOLS, f"all others ({len(by_size) - _MOST_TOOLS})")
    by_turn = [(str(number), found) for number, found in sorted(measured.by_turn.items())]
    numbers = _bars(by_turn, _MOST_TURNS, f"{_MOST_TURNS + 1}+")
    arms = [] if evidence.arms is None else _arms(evidence.arms)
    student = None if given.student is None else student_record(given.student)
    bill = None if evidence.estimate is None else _bill(evidence.estimate)
    here = {
        "overview": True,
        "latents": True,
        "savings": True,
        "example": example is not None,
        "sizes": evidence.estimate is not None,
        "money": bill is not None,
        "evaluation": evidence.evaluation is not None,
        "success": bool(arms),
        "student": student is not None,
        "logs": True,
        "versions": True,
    }
    return {
        "sections": [name for name, is_here in here.items() if is_here],
        "given": given,
        "measured": measured,
        "generated": measured.total(measured.generated),
        "prompt": measured.total(measured.prompt),
        "latents": sorted(measured.latents, key=lambda use: (-use.saved, use.latent.id)),
        "tool_names": sorted({name for use in measured.latents for name in use.tools}),
        "tools": tools,
        "numbers": numbers,
        "example": example,
        "gate": given.vocabulary.mining.get("max_entropy_nats"),
        "evidence": evidence,
        "colours": COLOURS,
        "bill": bill,
        "arms": arms,
        "student": student,
        "pictures": _pictures(given, tools, numbers, example, arms) if draws else {},
        "commands": _commands(given),
        "versions": _versions(given),
        "missing": [*_missing(given, example), *([] if draws else [_NO_PICTURES])],
    }


_NO_PICTURES = Missing("pictures (all of their figures are in the tables)", "pip install vl-convert-python")


def _bars(rows: Sequence[tuple[str, Saving]], most: int, others: str) -> list[tuple[str, Saving]]:
    """The first `most` rows, and the sum of the others under the name `others`."""
    rest = dict(rows[most:])
    return [*rows[:most], *([(others, Measured.total(rest))] if rest else [])]


def _pictures(
    given: Given,
    tools: Sequence[tuple[str, Saving]],
    numbers: Sequence[tuple[str, Saving]],
    example: Example | None,
    arms: Sequence[charts.Row],
) -> dict[str, charts.Picture]:
    estimate = given.evidence.estimate
    found = {
        "tools": charts.kept_and_saved([(name, row.base, row.units) for name, row in tools], "tool"),
        "turns": charts.kept_and_saved(
            [(name, row.base, row.units) for name, row in numbers], "turn", upright=True
        ),
    }
    if estimate is not None:
        points = [point.model_dump() for point in estimate.points]
        found["curve"] = charts.curve(points, estimate.recommended.model_dump())
    if example is not None and example.scored:
        gate = given.vocabulary.mining.get("max_entropy_nats")
        found["entropies"] = charts.entropies(_stretches(example, given.vocabulary), gate)
    if len(arms) > 1:
        found["success"] = charts.success(arms)
    return found


def _stretches(example: Example, vocabulary: LatentVocabulary) -> list[charts.Stretch]:
    """The units of the example, with the texts of their base tokens."""
    found = []
    for turn in example.turns:
        for place, unit in enumerate(turn.units):
            texts, colour = [unit.text] * len(unit.entropies), None
            if unit.latent is not None:
                tokens = vocabulary.latents[unit.latent].tokens
                if len(tokens) == len(texts):  # else it begins or ends inside a token
                    texts = [vocabulary.tokenizer.decode([token]) for token in tokens]
                colour = f"c{unit.latent % COLOURS}"
            found.append(charts.Stretch(tuple(texts), unit.entropies, colour, place == 0))
    return found


def _arms(file: ArmsFile) -> list[charts.Row]:
    """The agents with the interval of each one's success."""
    rows = []
    for name, arm in file.arms.items():
        low, high = wilson(arm.success, file.tasks) if file.tasks else (arm.success, arm.success)
        rows.append({"name": name, **arm.model_dump(), "low": low, "high": high})
    return rows


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95% interval (Wilson's) of a share that was counted over `number` tasks."""
    z = 1.96
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z * sqrt(share * (1 - share) / number + z * z / (4 * number * number)) / (1 + z * z / number)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)


def _bill(estimate: EstimateFile) -> dict[str, Any] | None:
    """A month's bill: the rows of its arithmetic, and the saving at both ends."""
    bill, best = estimate.bill, estimate.best
    if bill is None:
        return None
    rows = []
    for kind, label, cost in (
        ("base", "without latents", bill.without),
        ("units", f"with {best.size:,} latents", bill.with_latents[0]),
    ):
        written, new, sent = (getattr(best, f"{kind}_{name}") for name in ("generated", "prompt", "sent"))
        parts = [("sent", sent, bill.price_input)]
        if bill.price_cached is not None:
            parts = [("new", new, bill.price_input), ("cached", max(sent - new, 0), bill.price_cached)]
        rows.append((label, [*parts, ("written", written, bill.price_output)], cost))
    saved = sorted(bill.without - cost for cost in bill.with_latents)
    return {"rows": rows, "runs": bill.runs, "saved": saved, "without": bill.without}


def student_record(folder: Path) -> dict[str, Any]:
    """What `distillation.json` in a student's folder has: options, steps and the last measured values."""
    file = folder / "distillation.json"
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = {}
    log = value.get("log") if isinstance(value, dict) else None
    rows = [row for row in log or [] if isinstance(row, dict)]
    last: dict[str, float] = {}
    for row in rows:
        last |= {name: number for name, number in row.items() if isinstance(number, int | float)}
    shown = (
        "train_loss",
        "train_runtime",
        "eval_bits_per_byte",
        "eval_latent_use",
        "eval_explicit_preference",
    )
    options = value.get("options") if isinstance(value, dict) else None
    return {
        "folder": str(folder),
        "steps": value.get("steps") if isinstance(value, dict) else None,
        "values": {name: last[name] for name in shown if name in last},
        "options": {name: of for name, of in (options or {}).items() if of not in (None, [], "")},
    }


def _commands(given: Given) -> list[str]:
    """The commands that gave what the report shows, as far as the folders record them."""
    corpus, found = given.first, []
    if teacher := next((c.teacher for c in given.corpora.values() if c.teacher), None):
        found.append(f"lar score {corpus} --model {shlex.quote(teacher.name)}")
    if mining := given.vocabulary.mining:
        found.append(f"lar mine {corpus} {_mining_options(mining)} -o VOCABULARY")
    if given.student is not None:
        options = shlex.quote(str(given.student / "distillation.json"))
        found.append(
            f"lar distill {corpus} --model TEACHER --vocabulary VOCABULARY --options {options} -o STUDENT"
        )
    return [*found, *([given.command] if given.command else [])]


def _mining_options(mining: Mapping[str, Any]) -> str:
    """The options of a record of mining that are not the defaults; the size always."""
    defaults = MiningOptions()
    shown = [f"--size {mining.get('size')}"]
    for item in fields(MiningOptions):
        value = mining.get(item.name)
        if item.name in ("size", "gates", "tools") or value in (None, getattr(defaults, item.name)):
            continue
        shown.append(f"--{item.name.replace('_', '-')} {shlex.quote(str(value))}")
    return " ".join(shown)


def _versions(given: Given) -> list[tuple[str, str]]:
    vocabulary = given.vocabulary
    rows = [("lar", lar.__version__), ("Python", platform.python_version())]
    rows.append(("tokenizer", f"{vocabulary.base_size:,} ids, {vocabulary.tokenizer_fingerprint[:12]}"))
    for name, corpus in given.corpora.items():
        rows.append((f"corpus {name}", f"{corpus.path}, input {corpus.manifest.input_digest[:12]}"))
        if corpus.teacher:
            rows.append((f"teacher of {name}", f"{corpus.teacher.name}, {corpus.teacher.fingerprint[:12]}"))
    return rows


def _missing(given: Given, example: Example | None) -> list[Missing]:
    """What was not given, each with the command that gives it."""
    corpus, evidence = given.first, given.evidence
    found = []
    if evidence.reading is None:
        found.append(
            Missing("how the logs were read", "lar import LOGS -o trajectories.parquet --json > import.json")
        )
    if example is None or not example.scored:
        found.append(Missing("the teacher's entropies", f"lar score {corpus} --model MODEL"))
    if given.is_mined:
        command = f"lar mine {corpus} --size {given.vocabulary.size} --hold-out {0.2} -o vocabulary"
        found.append(Missing("a vocabulary of your own (this one was mined for the report)", command))
    if evidence.estimate is None:
        found.append(Missing("the curve over sizes", f"lar estimate {corpus} --json > estimate.json"))
    if evidence.estimate is None or evidence.estimate.bill is None:
        prices = "--price-input P --price-output P --runs-per-month N"
        found.append(Missing("money", f"lar estimate {corpus} {prices} --json > estimate.json"))
    if evidence.evaluation is None:
        found.append(Missing("an evaluation", f"lar evaluate {corpus} VOCABULARY --json > evaluation.json"))
    if given.student is None:
        found.append(
            Missing("a student", f"lar distill {corpus} --model TEACHER --vocabulary VOCABULARY -o student")
        )
    if evidence.arms is None:
        form = '{"tasks": 100, "arms": {"control": {"success": 0.9, "units": 120.5}, "student": ...}}'
        found.append(
            Missing(
                "success: run teacher, control and student on your tasks, and store", f"{form} > arms.json"
            )
        )
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _money(value: float) -> str:
    return f"{value:,.2f}"


FILTERS = {"n": _number, "pct": _percent, "money": _money, "visible": visible}
