"""`lar run`: the whole way from logs to an export, by the other commands with their defaults."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lar.cli.common import EXISTING_FILE, LOGS, MODEL, PATH, SHARE, json_option, note, print_json
from lar.cli.fields import Fields, fields_options
from lar.cli.prose import print_prose
from lar.cli.run_inputs import Stamps, check_same, fixed, stamps_of
from lar.cli.run_results import READS, Results
from lar.cli.training import device_options, needs_train_extra
from lar.corpus.selection import HOLD_OUT
from lar.errors import OptionError
from lar.utils.processes import count
from lar.utils.result_files import RUN_FILE, STUDENT_FILE
from lar.vocabulary.turn_lengths import TurnLength

if TYPE_CHECKING:
    from lar.distillation.options import DistillOptions

STAGES = ("import", "corpus", "score", "mine", "distill", "control", "evaluate", "export")
TOP_K = 64  # likely tokens at a position, for students that learn from a cached teacher
_TRAINING = "training"  # in the record: the options of student and control, by name
_INPUTS = "inputs"  # in the record: the files that the run is of
_OVERWRITING = ("import", "mine", "distill", "control", "export")


@click.command("run")
@click.argument("logs", nargs=-1, required=True, type=LOGS)
@click.option("--model", required=True, type=MODEL, help="The folder of the model to distil.")
@click.option("-o", "--output", required=True, type=PATH, help="The folder of all results.")
@click.option(
    "--until",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    show_default=True,
    help="The last stage to do.",
)
@fields_options()
@click.option(
    "--hold-out",
    type=SHARE,
    default=HOLD_OUT,
    show_default=True,
    help="The share of the tasks that only evaluate reads.",
)
@click.option(
    "--skip-refused",
    is_flag=True,
    help="Leave out and count the trajectories that the chat template refuses; without this, stop.",
)
@click.option("--size", type=click.IntRange(1), help="The largest number of latents, see lar mine.")
@click.option(
    "--max-entropy", metavar="NATS|pN|none", help="The entropy gate, see lar mine.  [default: none]"
)
@click.option(
    "--most-tokens",
    type=click.IntRange(1),
    help="For --max-entropy: score only a sample of about so many tokens, see lar score.  [default: all]",
)
@click.option(
    "--options",
    "options_file",
    type=EXISTING_FILE,
    help="A YAML or JSON file of options of lar distill, for student and control.",
)
@device_options
@json_option
def command(
    logs: tuple[Path | str, ...],
    fields: Fields,
    model: Path,
    output: Path,
    until: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Import LOGS, make a corpus, mine, distil student and control, evaluate and export.

    The corpus is scored before it is mined if something reads the scores: --max-entropy, or the option
    cached_teacher. Nothing is asked. What each stage reports as JSON is kept in the folder. A run that was
    stopped goes on when you start it again, with the same options and files: finished stages are not
    repeated, unless what they wrote is gone and still needed. If another model wrote the logs, make a teacher
    by lar adapt first, and give it as the model.

    \b
    Examples:
      lar run logs/ --model Qwen3-8B/ -o run/
      lar run logs/ --model Qwen3-8B/ -o run/ --until mine --size 256
    """
    from lar.cli.next_step import after_export, print_next

    if count() > 1:
        raise OptionError("lar run is one process: use lar distill with accelerate launch or torchrun")
    from lar.distillation.options import DistillOptions
    from lar.mining.entropy_gate import parse_gate

    if options["max_entropy"] == "none":
        options["max_entropy"] = None
    # What is wrong must not wait for the stage that would refuse it.
    parse_gate(options["max_entropy"])
    file = options["options_file"]
    training = DistillOptions() if file is None else DistillOptions.from_file(file, control=False)
    scored = until == "score" or options["max_entropy"] is not None or training.cached_teacher
    if options["most_tokens"] is not None and (not scored or training.cached_teacher):
        raise OptionError("--most-tokens is for --max-entropy: distill's cached_teacher reads all tasks")
    chosen = [name for name in STAGES[: STAGES.index(until) + 1] if name != "score" or scored]
    if not {"score", *STAGES[STAGES.index("distill") :]}.isdisjoint(chosen):
        needs_train_extra()
        from lar.models.folder import check_causal_lm

        check_causal_lm(model)
    wanted = {"logs": list(map(fixed, logs)), "model": fixed(model), **fields._asdict(), **_plain(options)}
    with _only_run(output):
        _claim(output, {**wanted, _TRAINING: training.to_dict()}, stamps_of(logs, model))
        reports = _Run(output, model, logs, fields, options, training, chosen, Results(output)).all_stages()
    if as_json:
        print_json({"folder": str(output), "stages": reports})
    else:
        _print(reports, output)
    whole = until == STAGES[-1]
    following = after_export(output / "export", lora=False, gguf=False) if whole else [tuple(again(output))]
    print_next(*following, as_json=as_json)


def again(folder: Path) -> list[Path | str]:
    """The command line that goes on with the run in a folder, to its last stage.

    Raises:
        OptionError: its record is broken.
    """
    from lar.utils.files import read_json

    file = folder / RUN_FILE
    record = read_json(file)
    if not isinstance(record.get("logs"), list):
        raise OptionError(f"{file}: not the record of a run")
    words: list[Path | str] = ["lar", "run", *map(str, record["logs"])]
    for option in command.params:
        value = record.get(option.name)
        if not isinstance(option, click.Option) or value is False or value in (None, option.default):
            continue  # 0 is a value, and equal to False
        words += [option.opts[0]] if option.is_flag else [option.opts[0], str(value)]
    return [*words, "-o", folder]


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: fixed(value) if isinstance(value, Path) else value for name, value in options.items()}


@contextmanager
def _only_run(output: Path) -> Iterator[None]:
    """Within the block, no other run does stages in the folder: it would replace what is being read here.

    Raises:
        OptionError: the folder is of something else, or another run holds it.
    """
    from lar.utils.files import check_usable, only_writer

    check_usable(output, RUN_FILE)
    with only_writer(output):
        yield


def _claim(output: Path, wanted: dict[str, Any], files: dict[str, Stamps | None]) -> None:
    """Record what is run, and of which files, in a new or empty folder, or in that of this run.

    Raises:
        OptionError: the folder is of a run with other options or of other files.
    """
    from lar.utils.files import read_json, write_json

    file = output / RUN_FILE
    record = {**wanted, _INPUTS: files}
    if file.is_file():
        found = read_json(file)
        if differences := _differences(found, wanted):
            raise OptionError(f"{output}: a run with another {' and '.join(differences)}; choose another -o")
        done = [name for name in STAGES if (output / f"{name}.json").is_file()]
        recorded = found.get(_INPUTS)
        same = check_same(output, recorded if isinstance(recorded, dict) else {}, files, done)
        record = {**found, **_absolute(found), _INPUTS: same}
        if record == found:
            return
    write_json(file, record)


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The names of what a record has with another value.

    An earlier version has recorded less, and relative paths.
    """
    found = {**found, **_absolute(found)}
    known = {name: value for name, value in wanted.items() if name != _TRAINING and (name in found or value)}
    recorded = found.get(_TRAINING)
    training = recorded if isinstance(recorded, dict) else {}
    return [
        *(name for name, value in known.items() if found.get(name) != value),
        *(name for name, value in training.items() if wanted[_TRAINING].get(name) != value),
    ]


def _absolute(record: dict[str, Any]) -> dict[str, Any]:
    """The paths of a record as they are called from every working directory."""
    logs, files = record.get("logs"), ("model", "options_file")
    one = {name: fixed(record[name]) for name in files if isinstance(record.get(name), str)}
    return {**one, "logs": [fixed(str(path)) for path in logs]} if isinstance(logs, list) else one


@dataclass(frozen=True)
class _Run:
    """The stages of one run, each a command line of another command."""

    folder: Path
    model: Path
    logs: tuple[Path | str, ...]
    fields: Fields
    options: dict[str, Any]
    training: "DistillOptions"
    chosen: list[str]
    results: Results

    def all_stages(self) -> dict[str, dict[str, Any]]:
        """Do the chosen stages that are not done; return the reports of all."""
        from lar.utils.files import read_json

        self.results.check(self.chosen)
        needed = {self.chosen[-1]}
        for name in reversed(self.chosen):
            if not self._is_done(name, needed=name in needed):
                needed.update(READS[name])
        for name in self.chosen:
            if self._is_done(name, needed=name in needed):
                note(f"{name}: done already")
            else:
                self._do(name)
        return {name: read_json(self.results.report(name)) for name in self.chosen}

    def _reads(self, name: str) -> list[str]:
        return [one for one in READS[name] if one in self.chosen]

    def _is_done(self, name: str, *, needed: bool) -> bool:
        """Whether a stage is done, and its result is there if that is needed."""
        is_there = not needed or self.results.is_there(name)
        return is_there and self.results.is_done(name, self._reads(name))

    def _do(self, name: str) -> None:
        """Do a stage, after those that it reads if their results are gone or out of date."""
        from lar.utils.files import write_json

        for one in self._reads(name):
            if not self._is_done(one, needed=True):
                self._do(one)
        note(f"{name}: ...")
        report = self.results.report(name)
        report.unlink(missing_ok=True)
        # What is there without a report is of this run, which was stopped between the two.
        overwrite = ["--overwrite"] if name in _OVERWRITING else []
        found = _report_in(self._called([*self._arguments(name), *overwrite]))
        self.results.add(name, self._reads(name))
        write_json(report, found)

    def _called(self, arguments: list[Path | str]) -> str:
        """What a command prints with --json."""
        from lar.cli import group

        name = str(arguments[0])
        found = group.get_command(click.get_current_context(), name)
        assert found is not None
        printed = io.StringIO()
        with redirect_stdout(printed):
            found.main([*map(str, arguments[1:]), "--json"], prog_name=f"lar {name}", standalone_mode=False)
        return printed.getvalue()

    def _arguments(self, name: str) -> list[Path | str]:
        """The command line of a stage."""
        at = self.folder
        model = ("--model", self.model)
        split = ("--hold-out", str(self.options["hold_out"]))
        lines: dict[str, list[Path | str]] = {
            "import": [
                *("import", *self.logs, *self.fields.flags),
                *("-o", at / "trajectories.parquet"),
            ],
            "corpus": [
                *("corpus", at / "trajectories.parquet", "--tokenizer", self.model, *split),
                *(("--skip-refused",) if self.options["skip_refused"] else ()),
                *("-o", at / "corpus"),
            ],
            "score": [
                *("score", at / "corpus"),
                *model,
                *self._likely(),
                *self._given("most_tokens", "device", "dtype"),
            ],
            "mine": ["mine", at / "corpus", *self._given("size", "max_entropy"), "-o", at / "vocabulary"],
            "distill": [
                *self._distill(self.options["options_file"]),
                *("--vocabulary", at / "vocabulary", "-o", at / "student"),
            ],
            # With the options that the student had, though the file may be another one by then.
            "control": [*self._distill(at / "student" / STUDENT_FILE), "--control", "-o", at / "control"],
            "evaluate": [
                *("evaluate", at / "corpus", at / "vocabulary", *model),
                *("--control", at / "control", "--student", at / "student"),
                *self._given("device", "dtype"),
            ],
            "export": ["export", at / "student", *model, "-o", at / "export"],
        }
        return lines[name]

    def _likely(self) -> list[str]:
        """The flags for the scores that a cached teacher is made of."""
        if not self.training.cached_teacher:
            return []
        return ["--top-k", str(TOP_K), "--max-length", str(self.training.max_length)]

    def _distill(self, file: Path | None) -> list[Path | str]:
        flags = () if file is None else ("--options", file)
        return [
            "distill",
            self.folder / "corpus",
            "--model",
            self.model,
            *flags,
            *self._given("device", "dtype"),
        ]

    def _given(self, *names: str) -> list[str]:
        """Flags for the options that were given."""
        given = [(name, self.options[name]) for name in names if self.options[name] not in (None, "auto")]
        return [word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))]


def _report_in(printed: str) -> dict[str, Any]:
    """The report at the end of what a command has printed; packages such as MLflow print before it."""
    begin = f"\n{printed}".rindex("\n{\n")
    report: dict[str, Any] = json.loads(printed[begin:])
    return report


def _print(reports: dict[str, dict[str, Any]], output: Path) -> None:
    """The figures of a run, one line for each stage that has some."""
    from lar.cli.evaluate import READS_BASE_TOKENS, tasks_in_words

    lines = {
        "corpus": "{trajectories:,} trajectories, {tokens:,} tokens, {held_out_tasks} tasks held out",
        "mine": "{latents} latents, {reduction:z.1%} fewer units on the tasks that were mined, in tokens",
        "evaluate": "{reduction:z.1%} fewer units on {measured}",
        "distill": "{steps} steps",
        "control": "{steps} steps",
        "export": "{export}",
    }
    counts = reports.get("evaluate", {})
    measured = tasks_in_words(counts) if counts else ""
    for name, report in reports.items():
        if name in lines:
            print_prose(f"{name:<9} {lines[name].format(**report, measured=measured)}")
    if counts.get("turns"):  # a stage that an earlier version has done has none
        turn = TurnLength(counts["base_tokens"], counts["units"], counts["turns"])
        print_prose(f"{'':<9} {turn.in_words()}")
    if counts.get("decode_only"):
        print_prose(f"{'':<9} the student {READS_BASE_TOKENS}")
    for arm, bits in counts.get("bits_per_byte", {}).items():
        print_prose(f"{arm:<9} {bits:.4f} bits for each byte of the agent's text")
    print_prose(f"{'all':<9} in {output}")
