"""Trains a student for each entropy gate and size of vocabulary, beside one control, and compares them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from lar.corpus import Corpus
from lar.distillation.distill import distill, number_of_steps
from lar.distillation.earlier import EarlierStudent
from lar.distillation.options import DistillOptions
from lar.distillation.student import Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import CorpusError, OptionError
from lar.evaluation.boundary.claim import claim, place_of
from lar.evaluation.boundary.plot import write_pictures
from lar.evaluation.boundary.points import Point, Sweep, name_of
from lar.evaluation.reduction import evaluate
from lar.mining.entropy_gate import parse_gate
from lar.mining.mine import mine
from lar.mining.no_latents import why_none
from lar.utils.files import read_json, write_json
from lar.utils.paths import StrPath
from lar.utils.progress import Passes, Progress, annotate, silent
from lar.utils.result_files import STUDENT_FILE, SWEEP_RESULT_FILE
from lar.utils.words import about_hours, counted
from lar.vocabulary.digest import latents_digest
from lar.vocabulary.vocabulary import LatentVocabulary

CONTROL = "control"
TIMED_STEPS = 4

Success = Callable[[Student], Sequence[bool]]
"""Works on the tasks of a world with a student: for each task, in one order, whether it was solved."""


@dataclass(frozen=True)
class SweepOptions:
    """What is compared.

    sizes: the numbers of latents. gates: the entropy gates, as `lar.mine` takes them; None without one.
    A point names a number as text.
    tolerance: see `Sweep`; None for 0.01 of the tasks with a world, for 0.05 of the bits per byte without.
    """

    sizes: tuple[int, ...] = (64, 256, 1024)
    gates: tuple[float | str | None, ...] = (None, "p90", "p75")
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise OptionError("sizes: give one or more positive numbers of latents")
        if not self.gates:
            raise OptionError("gates: give one or more; none is one too")
        for gate in self.gates:
            parse_gate(gate)
        if self.tolerance is not None and not 0 <= self.tolerance < inf:
            raise OptionError(f"tolerance must be a number of at least 0, not {self.tolerance:g}")

    def settings(self) -> Iterator[tuple[str | None, int]]:
        """Each gate with each size, once."""
        gates = [f"{gate:g}" if isinstance(gate, int | float) else gate for gate in self.gates]
        yield from dict.fromkeys((gate, size) for gate in gates for size in self.sizes)


def sweep(
    corpus: Corpus | StrPath,
    model: StrPath,
    output: StrPath,
    options: SweepOptions | None = None,
    distillation: DistillOptions | None = None,
    *,
    success: Success | None = None,
    progress: Progress = silent,
    announce: Callable[[str], None] | None = None,
) -> Sweep:
    """Students of `model` for each entropy gate and size, beside a control, on the tasks that are held out.

    Args:
        corpus: a whole corpus with a split, or its folder. Its training side is mined and learnt, the other
            is measured.
        model: the teacher's folder.
        output: the folder of all students and figures. A student that is there is not trained again, so a
            sweep that was stopped goes on. One that was trained anew since it was measured is measured again.
            `result.json` and the pictures `sweep.svg` and `sweep.png` are written at the end, with all points
            of the folder, also those of other settings that were measured before; the pictures need the extra
            `report`. Settings with the same latents share one student.
        options: see `SweepOptions`.
        distillation: the options of all students and of the control.
        success: measures a student by a world's tasks, which none of the students has learnt; without it,
            students are compared by bits per byte. A folder's students are measured by one function, whose
            file stays as it is, and by as many tasks as its control. Students that were compared without it
            are measured by it in a later call.
        progress: counts the steps of all students; its notes name them.
        announce: gets one line before the work begins: how many students there are, and about how long their
            training takes, by the time of a few steps of the first one with latents.

    Raises:
        CorpusError: the corpus has no split, or is a view of selected tasks.
        OptionError: an option has no meaning, or a setting finds no latent; or `output` holds something else,
            or a sweep with other options, weights of the model or entropies; or `success` returns something
            else than one bool for each of the control's tasks.
    """
    work = _Work(corpus, Path(model), Path(output), options, distillation, success, progress)
    work.claim()
    work.mine()
    if announce is not None:
        work.announce(announce)
    result = work.run()
    write_json(Path(output) / SWEEP_RESULT_FILE, result.to_dict())
    write_pictures(result, Path(output))
    return result


class _Work:
    """One sweep."""

    def __init__(
        self,
        corpus: Corpus | StrPath,
        model: Path,
        output: Path,
        options: SweepOptions | None,
        distillation: DistillOptions | None,
        success: Success | None,
        progress: Progress,
    ) -> None:
        self._corpus = corpus if isinstance(corpus, Corpus) else Corpus.load(corpus)
        _check_holds_out(self._corpus)
        self._model = model
        self._output = output
        self._options = options or SweepOptions()
        self._distillation = distillation or DistillOptions()
        self._success = success
        self._settings = list(self._options.settings())
        self._all: dict[str, tuple[str | None, int]] = {}  # the settings and the folder's others, by name
        self._same: dict[str, str] = {}  # of a setting with the latents of another, that one's name
        self._progress = Passes(progress, len(self._settings) + 1, self._distillation.max_steps or 1)

    def claim(self) -> None:
        """Record what is compared; raises OptionError for a folder of something else."""
        gated = any(gate is not None for gate, _ in self._settings)
        claim(self._output, self._corpus, self._model, self._distillation, self._success, gated=gated)

    def mine(self) -> None:
        """Mine all settings, before hours of training; of those with the same latents one gets a student.

        Raises:
            OptionError: a setting finds no latent: its student would be a second control.
        """
        asked = {name_of(gate, size): (gate, size) for gate, size in self._settings}
        self._all = asked | {point.name: (point.gate, point.size) for point in self._earlier()}
        students: dict[str, str] = {}
        for name in sorted(self._all, key=lambda name: not self._is_there(name)):
            latents = self._mined(name, *self._all[name]).latents
            # Sorted: mining numbers the same latents in another order when it was asked for more.
            digest = latents_digest(sorted(latent.tokens for latent in latents))
            student = students.setdefault(digest, name)
            if student != name and not self._is_there(name):
                self._same[name] = student

    def announce(self, announce: Callable[[str], None]) -> None:
        """Tell how long the students that are not there will take."""
        names = [name for name in self._names() if name not in self._same]
        missing = [name for name in names if not self._is_there(name)]
        if missing:
            announce(f"{len(missing)} of {len(names)} students to train, {self._time(len(missing))}")

    def run(self) -> Sweep:
        """All points."""
        control = self._point(CONTROL, None, 0)
        own = {name: self._point(name, *of) for name, of in self._all.items() if name not in self._same}
        self._progress.end()
        points = [own.get(name) or self._repeated(name, own[self._same[name]]) for name in self._all]
        tolerance = self._options.tolerance
        if tolerance is None:
            tolerance = 0.01 if self._success else 0.05
        return Sweep(control, tuple(points), tolerance)

    def _earlier(self) -> list[Point]:
        """The points of the folder that are of other settings, by gate and size."""
        names = set(self._names())
        # A file without a student was not written by a sweep.
        files = [file for file in self._output.glob("*-*.json") if file.stem not in names]
        found = [_stored(file) for file in files if self._trained(file.stem)]
        return sorted(found, key=lambda point: (point.gate or "", point.size))

    def _repeated(self, name: str, point: Point) -> Point:
        """The point of a setting whose latents are those of another one's student."""
        gate, size = self._all[name]
        return replace(point, gate=gate, size=size, same_as=point.name)

    def _names(self) -> list[str]:
        return [CONTROL, *(name_of(gate, size) for gate, size in self._settings)]

    def _file(self, name: str) -> Path:
        return self._output / f"{name}.json"

    def _folder(self, name: str) -> Path:
        return self._output / name / "student"

    def _trained(self, name: str) -> bool:
        return (self._folder(name) / STUDENT_FILE).is_file()

    def _is_there(self, name: str) -> bool:
        return self._file(name).is_file() or self._trained(name)

    def _time(self, students: int) -> str:
        """About how long the training of so many students takes."""
        gate, size = self._settings[0]
        vocabulary = self._mined(name_of(gate, size), gate, size)
        steps = number_of_steps(self._corpus.training, vocabulary, self._distillation)
        times: list[float] = []
        few = replace(
            self._distillation, max_steps=min(TIMED_STEPS, steps), evaluate_steps=None, patience=None
        )
        # Only steps are timed, those of a student also where the options are a control's; no log is reported.
        few = replace(few, row_start="exponential", output_start="first", control=False, report_to=())

        def end_of_step(done: int, total: int | None) -> None:  # noqa: ARG001 (of Progress)
            times.append(time.perf_counter())

        distill(self._corpus, str(self._model), vocabulary, few, progress=end_of_step)
        if len(times) < 2:
            return f"{counted(steps, 'step')} each"
        hours = students * steps * (times[-1] - times[0]) / (len(times) - 1) / 3600
        return f"{counted(steps, 'step')} each: {about_hours(hours)} of training, and the evaluations"

    def _point(self, name: str, gate: str | None, size: int) -> Point:
        """A point; its student is trained unless it is there, and measured unless that was done.

        A point that was measured by bits per byte alone gains its success. A point whose student is gone
        stays as long as nothing more is asked of it.
        """
        annotate(self._progress, name)
        point = self._known(name)
        if point is not None and (self._success is None or point.success is not None):
            return point
        if not self._trained(name):
            point = None  # the figures of a student that is gone are not those of the next one
        vocabulary = None if name == CONTROL else self._mined(name, gate, size)
        student = self._student(name, vocabulary)
        point = point or self._measured(name, student, gate, size)
        if self._success is not None:
            point = replace(point, success=self._solved(self._success, student))
        write_json(self._file(name), point.to_dict())
        return point

    def _known(self, name: str) -> Point | None:
        """The point of an earlier sweep, unless its folder has another student now."""
        file = self._file(name)
        point = _stored(file) if file.is_file() else None
        if point is None or point.student is None or not self._trained(name):
            return point
        return point if point.student == EarlierStudent.load(self._folder(name)).digest() else None

    def _student(self, name: str, vocabulary: LatentVocabulary | None) -> Student:
        folder, options = self._folder(name), replace(self._distillation, control=vocabulary is None)
        if self._trained(name):
            return Student.load(folder, str(self._model), dtype=options.dtype, device=options.device)
        return distill(self._corpus, str(self._model), vocabulary, options, folder, progress=self._progress)

    def _mined(self, name: str, gate: str | None, size: int) -> LatentVocabulary:
        folder = self._output / name / "vocabulary"
        if not folder.is_dir():
            mined = mine(self._corpus, size, max_entropy=gate)
            if mined.size == 0:
                raise OptionError(f"{name}: no latents, so leave it out: {why_none(mined.mining)}")
            mined.save(folder)
        return LatentVocabulary.load(folder)

    def _measured(self, name: str, student: Student, gate: str | None, size: int) -> Point:
        counts = None if name == CONTROL else evaluate(self._corpus, student.vocabulary).total
        bits = bits_per_byte(self._corpus, student, max_length=self._distillation.max_length)
        return Point(
            gate=gate,
            size=size,
            latents=len(student.vocabulary),
            reduction=0.0 if counts is None else counts.reduction,
            prompt_reduction=0.0 if counts is None or student.decode_only else counts.prompt_reduction,
            bits_per_byte=bits.bits_per_byte,
            student=EarlierStudent.load(self._folder(name)).digest(),
        )

    def _solved(self, success: Success, student: Student) -> tuple[bool, ...]:
        """For each task whether it was solved; OptionError unless these are as many as the control's."""
        solved = _bools(success, success(student))
        control = self._file(CONTROL)
        of_control = _stored(control).success if control.is_file() else None
        if of_control is not None and len(of_control) != len(solved):
            raise OptionError(
                f"{place_of(success)} returned {len(solved)} tasks, and {len(of_control)} for the control:"
                " students are compared by the same tasks"
            )
        return solved


def _check_holds_out(corpus: Corpus) -> None:
    """Raise CorpusError unless the corpus has held-out tasks; a side of a split has none of its own."""
    if corpus.held_out is not None:
        return
    if corpus.is_whole:
        raise CorpusError(f"{corpus.path}: holds out no tasks; build it with a hold-out, or split it")
    raise CorpusError(
        f"{corpus.path}: a view of selected tasks holds out none of them; give the whole corpus"
    )


def _bools(success: Success, returned: Any) -> tuple[bool, ...]:
    """What a function returned as bools; OptionError where it is something else."""
    try:
        values = tuple(returned)
        if values and all(value in (0, 1) for value in values):
            return tuple(map(bool, values))
    except (TypeError, ValueError):
        pass  # no sequence, or one of things that are no numbers
    shown = repr(returned).splitlines()[0][:60]
    raise OptionError(f"{place_of(success)} must return one bool for each task, not {shown}")


def _stored(file: Path) -> Point:
    """The point in a file; OptionError where it holds something else."""
    try:
        return Point.from_dict(read_json(file))
    except (KeyError, TypeError):
        raise OptionError(f"{file}: no point of a sweep; remove it") from None
