"""What the report is made of, the commands that gave it, and those that would add what is missing."""

import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import lar
from lar.corpus import Corpus
from lar.corpus.selection import HOLD_OUT
from lar.evaluation.reporting.evidence import Evidence
from lar.evaluation.reporting.example import Example
from lar.evaluation.reporting.same_logs import doubts
from lar.mining.engine_gates.static import SERVED, parse_gates
from lar.mining.options import MiningOptions
from lar.utils.result_files import STUDENT_FILE
from lar.vocabulary.vocabulary import LatentVocabulary


class Missing(NamedTuple):
    """What the report lacks, and the command that adds it."""

    what: str
    command: str


NO_PICTURES = Missing("pictures (all of their figures are in the tables)", "pip install vl-convert-python")


@dataclass(frozen=True)
class Given:
    """What the report is made of. is_mined: the vocabulary was mined for the report alone."""

    corpora: Mapping[str, Corpus]
    vocabulary: LatentVocabulary
    is_mined: bool
    evidence: Evidence
    student: Path | None
    command: str | None

    @cached_property
    def doubts(self) -> dict[str, str | None]:
        """See `same_logs.doubts`."""
        return doubts(self.corpora, self.vocabulary, self.evidence)

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


def commands(given: Given) -> list[str]:
    """The commands that gave what the report shows, as far as the folders record them."""
    corpus, found = given.first, []
    if scored := next((c for c in given.corpora.values() if c.teacher), None):
        found.append(_scoring(Corpus.load(scored.path)))
    # A vocabulary that was mined for the report alone comes from the report's own command, and of a sample.
    if (mining := given.vocabulary.mining) and not (given.is_mined and given.command):
        found.append(f"lar mine {corpus} {_mining_options(mining)} -o VOCABULARY")
    if given.student is not None:
        options = shlex.quote(str(given.student / STUDENT_FILE))
        found.append(
            f"lar distill {corpus} --model TEACHER --vocabulary VOCABULARY --options {options} -o STUDENT"
        )
    return [*found, *([given.command] if given.command else [])]


def _scoring(corpus: Corpus) -> str:
    """The command that scored a whole corpus."""
    name = corpus.teacher.name if corpus.teacher else "MODEL"
    command = shlex.join(["lar", "score", str(corpus.path), "--model", name])
    if corpus.scored is corpus:
        return command
    return f"{command} --most-tokens {corpus.training.scored.num_tokens}"  # which is the same sample


def _mining_options(mining: Mapping[str, Any]) -> str:
    """The options of a record of mining that are not the defaults; the size always.

    Of an update also defaults that were given in place of what the earlier vocabulary has.
    """
    defaults = MiningOptions()
    taken = (mining.get("update") or {}).get("options")
    shown = [f"--size {mining.get('size')}"]
    names = [gate["name"] for gate in mining.get("gates", [])]
    # What a command refuses, as it had no effect: the options of gates that were not there.
    idle = {"max_crossing": mining.get("max_entropy") is None, "min_kept": SERVED not in names}
    for item in fields(MiningOptions):
        value = mining.get(item.name)
        is_default = value in (None, getattr(defaults, item.name))
        if item.name in ("size", "gates", "tools") or (is_default and (taken is None or item.name in taken)):
            continue
        if idle.get(item.name):
            continue
        text = "none" if value is None else shlex.quote(str(value))
        shown.append(f"--{item.name.replace('_', '-')} {text}")
    gates = ",".join(names)
    all_gates = gates == ",".join(parse_gates(defaults.gates))
    if not all_gates or (taken is not None and "gates" not in taken):
        shown.append(f"--gates {gates}")
    shown += [f"--{name} {name.upper()}" for name in ("tools", "update") if mining.get(name)]
    if split := mining.get("split"):
        shown.append(f"--hold-out {split['hold_out']:g} --split-seed {split['seed']}")
    return " ".join(shown)


def versions(given: Given) -> list[tuple[str, str]]:
    """Names and versions of what the figures depend on."""
    vocabulary = given.vocabulary
    rows = [("lar", lar.__version__), ("Python", platform.python_version())]
    rows.append(("tokenizer", f"{vocabulary.base_size:,} ids, {vocabulary.tokenizer_fingerprint[:12]}"))
    for name, corpus in given.corpora.items():
        rows.append((f"corpus {name}", f"{corpus.path}, input {corpus.manifest.input_digest[:12]}"))
        if corpus.own_split:
            rows.append((f"split of {name}", str(corpus.own_split)))
        if corpus.teacher:
            scored = "" if corpus.scored is corpus else f", on {len(corpus.scored.tasks):,} tasks"
            rows.append(
                (f"teacher of {name}", f"{corpus.teacher.name}, {corpus.teacher.fingerprint[:12]}{scored}")
            )
    return rows


def missing(given: Given, example: Example | None) -> list[Missing]:
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
        split = all(one.own_split for one in given.corpora.values())
        hold_out = "" if split else f" --hold-out {HOLD_OUT}"
        command = f"lar mine {corpus} --size {given.vocabulary.size}{hold_out} -o vocabulary"
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
    if evidence.sweep is None:
        found.append(Missing("where students begin to lose", f"lar sweep {corpus} --model TEACHER -o sweep"))
    if evidence.arms is None:
        form = '{"tasks": 100, "arms": {"control": {"success": 0.9, "units": 120.5}, "student": ...}}'
        found.append(
            Missing(
                "success: run teacher, control and student on your tasks, and store", f"{form} > arms.json"
            )
        )
    return found
