"""The lines "Next: ..." on standard error after a command that has written something.

The commands have the paths of the call before them, so that they can be copied and run. A hold-out is in them
only where the corpus stores no split.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lar.cli.common import note
from lar.cli.fields import NO_FIELDS, Fields
from lar.corpus import Corpus
from lar.corpus.manifest import Manifest
from lar.corpus.selection import HOLD_OUT, Split
from lar.distillation.files import VOCABULARY_FOLDER
from lar.errors import CorpusError
from lar.mining.entropy_gate import USUAL_GATE
from lar.tokenizer.location import TOKENIZER_FILE
from lar.utils.files import read_json
from lar.utils.paths import entries, is_file
from lar.utils.processes import is_main
from lar.utils.result_files import ADAPTATION_FILE, EXPORT_FILE, STUDENT_FILE

MODEL = "MODEL"  # in the place of a model's folder, where no path is known
CONTROL = "CONTROL"  # in the place of the control that an earlier student was compared with
LOGS = "LOGS"  # in the place of logs that cannot be read again: standard input, and other pipes
Command = tuple[Path | str, ...]


def print_next(*commands: Command, as_json: bool, label: str = "or") -> None:
    """Print the next command, and others that may or must follow it; nothing with --json or --quiet."""
    if as_json or not is_main():
        return
    for number, command in enumerate(commands):
        name = label if number else "Next"
        note(f"{name:>4}: {shlex.join(map(str, command))}")


def after_import(output: Path, tasks: Iterable[str]) -> list[Command]:
    """Make a corpus of a file of trajectories."""
    model = model_beside(output)
    return [_corpus_command((output,), model, tasks, beside(output, "corpus"))]


def after_corpus(corpus: Corpus, tokenizer: Path) -> list[Command]:
    """Mine the corpus, or score it first, for an entropy gate, if its tokenizer is a model's."""
    score = ("lar", "score", corpus.path, "--model", tokenizer)
    mine = _mine_command(corpus)
    return [mine, score] if is_model(tokenizer) else [mine]


def after_score(corpus: Corpus) -> list[Command]:
    """Mine the corpus, or mine it with an entropy gate by these scores."""
    return [_mine_command(corpus), _mine_command(corpus, "--max-entropy", USUAL_GATE)]


def after_mine(
    inputs: tuple[Path | str, ...],
    corpus: Corpus,
    output: Path,
    tokenizer: Path | None,
    fields: Fields = NO_FIELDS,
) -> list[Command]:
    """Measure the vocabulary on held-out tasks, and distil a student; of logs, make a corpus first."""
    split = corpus.own_split
    measure = ("lar", "evaluate", *lasting(inputs), output, *fields.flags)
    evaluate: list[Command] = [] if split is None else [measure]
    if corpus.path != inputs[0]:
        made = beside(output, "corpus")
        source = tokenizer or output / "tokenizer"
        return [*evaluate, _corpus_command(inputs, source, corpus.tasks, made, split, fields)]
    distill = ("lar", "distill", inputs[0], "--model", teacher_of(corpus), "--vocabulary", output)
    return [*evaluate, (*distill, *_flags(corpus), "-o", beside(output, "student"))]


def after_adapt(corpus: Path, output: Path) -> list[Command]:
    """Mine the corpus, unless it has been mined, and distil a student from the adapted model.

    Both learn from the tasks that the model was adapted to: it has learnt no other split's.
    """
    split = read_json(output / ADAPTATION_FILE)["split"]
    stored = Manifest.read(corpus).split is not None
    flags = () if split is None or stored else _flags_of(Split(**split))
    vocabulary = corpus.parent / "vocabulary"
    mine: Command = ("lar", "mine", corpus, *flags, "-o", vocabulary)
    distill: Command = ("lar", "distill", corpus, "--model", output, "--vocabulary", vocabulary, *flags)
    return [*([] if vocabulary.exists() else [mine]), (*distill, "-o", beside(output, "student"))]


def after_distill(corpus: Path, model: Path, output: Path, *, control: bool) -> list[Command]:
    """Distil what the comparison lacks, compare student and control, and export the student."""
    other = _arm_beside(output, control=not control)
    common: Command = ("lar", "distill", corpus, "--model", model)
    student, compared = (other, output) if control else (output, other)
    if student is None:
        return [(*common, "--vocabulary", "VOCABULARY", "-o", beside(output, "student"))]
    steps: list[Command] = []
    if compared is None:
        compared = beside(output, "control")
        options = ("--control", "--options", output / STUDENT_FILE, *_start_of_control(output))
        steps.append((*common, *options, "-o", compared))
    arms = ("--model", model, "--control", compared, "--student", student)
    steps.append(("lar", "evaluate", corpus, student / VOCABULARY_FOLDER, *arms))
    return [*steps, ("lar", "export", student, "--model", model, "-o", beside(student, "export"))]


def after_export(output: Path, *, lora: bool, gguf: bool) -> list[Command]:
    """Serve the export."""
    from lar.serving.export.serve_flags import lora_flags

    adapter = lora_flags(output, output) if lora else ()
    serve: list[Command] = [("vllm", "serve", output, *adapter)]
    return [("llama-server", "-m", output / "model.gguf"), *serve] if gguf else serve


def lasting(logs: Iterable[Path | str]) -> list[Path | str]:
    """The logs as a later command can be given them: a word for what can be read only once."""
    return [LOGS if str(path) == "-" or str(path).startswith("/dev/") else path for path in logs]


def beside(path: Path, name: str) -> Path:
    """A path in the folder of `path` that does not exist: `name`, or `name-2` and so on."""
    found, number = path.parent / name, 1
    while found.exists():
        number += 1
        found = path.parent / f"{name}-{number}"
    return found


def is_model(folder: Path) -> bool:
    """Whether a folder has a model's configuration and its tokenizer, and is no export."""
    return (
        all(is_file(folder / name) for name in ("config.json", TOKENIZER_FILE))
        and not (folder / EXPORT_FILE).exists()
    )


def model_beside(path: Path) -> Path | str:
    """The only model's folder beside `path`, else a word that stands for it."""
    found = [entry for entry in entries(path.parent) if is_model(entry)]
    return found[0] if len(found) == 1 else MODEL


def teacher_of(corpus: Corpus) -> Path | str:
    """The folder beside the corpus of the model that scored it, else the only model's there."""
    name = corpus.teacher and corpus.teacher.name
    if name and is_model(corpus.path.parent / name):
        return corpus.path.parent / name
    return model_beside(corpus.path)


def hold_out_flags(tasks: Iterable[str]) -> tuple[str, ...]:
    """The flags that hold out a fifth of these tasks; none where one side would be empty."""
    try:
        Split(HOLD_OUT).check_sides(Counter(tasks), Path())
    except CorpusError:
        return ()
    return "--hold-out", f"{HOLD_OUT:g}"


def new_split_flags(corpus: Corpus) -> tuple[str, ...]:
    """The flags that hold out tasks of a corpus without a split; none if its teacher has learnt its tasks."""
    return () if corpus.own_split or corpus.teacher_tasks else hold_out_flags(corpus.tasks)


def _flags(corpus: Corpus) -> tuple[str, ...]:
    """The flags that repeat the split of a call, where the corpus's folder does not store it."""
    split = corpus.own_split
    if split is None or Manifest.read(corpus.path).split is not None:
        return ()
    return _flags_of(split)


def _flags_of(split: Split) -> tuple[str, ...]:
    return "--hold-out", f"{split.hold_out:g}", *(("--split-seed", str(split.seed)) if split.seed else ())


def _mine_command(corpus: Corpus, *gate: str) -> Command:
    return (
        "lar",
        "mine",
        corpus.path,
        *gate,
        *new_split_flags(corpus),
        "-o",
        beside(corpus.path, "vocabulary"),
    )


def _corpus_command(
    logs: tuple[Path | str, ...],
    tokenizer: Path | str,
    tasks: Iterable[str],
    output: Path,
    split: Split | None = None,
    fields: Fields = NO_FIELDS,
) -> Command:
    flags = hold_out_flags(tasks) if split is None else _flags_of(split)
    return "lar", "corpus", *lasting(logs), "--tokenizer", tokenizer, *fields.flags, *flags, "-o", output


def _arm_beside(output: Path, *, control: bool) -> Path | None:
    """The student beside a control, or the control beside a student, that it belongs to; None without one."""
    from lar.cli.pairs import are_a_pair  # here: it needs the options, which take long to import

    own = _record(output)
    for folder in entries(output.parent):
        record = _record(folder)
        same = record.get("base_fingerprint") == own.get("base_fingerprint")
        options = record.get("options")
        is_other = isinstance(options, dict) and options.get("control") is control
        pair = (folder, output) if control else (output, folder)
        if folder != output and same and is_other and are_a_pair(*pair):
            return folder
    return None


def _start_of_control(student: Path) -> Command:
    """The flags by which a control starts as `student` did: from the control of the earlier student."""
    from lar.cli.pairs import earlier_arm

    earlier = earlier_arm(_record(student))
    if earlier is None:
        return ()
    found = _arm_beside(earlier, control=True) if is_file(earlier / STUDENT_FILE) else None
    return "--from", found or CONTROL


def _record(folder: Path) -> dict[str, Any]:
    """The record in a student's folder; empty where there is none."""
    try:
        value = json.loads((folder / STUDENT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
