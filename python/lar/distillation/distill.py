"""Distillation from end to end: load the model, start the rows, train, save the student."""

import logging
from contextlib import ExitStack
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Unpack

from transformers import set_seed

from lar._core import __version__
from lar.corpus import Corpus
from lar.corpus.scores import TeacherIdentity
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.earlier import EarlierStudent, HandedOver
from lar.distillation.files import checkpoints_beside, remove_checkpoints
from lar.distillation.keywords import DistillKeywords
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.distillation.rows.start import start_rows
from lar.distillation.sides import Sides
from lar.distillation.student import Student, check_targets
from lar.distillation.training.arguments import steps_of
from lar.distillation.training.callbacks import EndCallback
from lar.distillation.training.checkpoints import (
    claim,
    last_checkpoint,
    record_start,
    recorded_start,
    run_identity,
)
from lar.distillation.training.distributed import check_launch, from_main, greatest, start, wait
from lar.distillation.training.faults import memory_advice
from lar.distillation.training.held_out import HeldOut
from lar.distillation.training.reporting import check_report_to, reporting_callbacks
from lar.distillation.training.trainer import DistillationTrainer
from lar.errors import OptionError
from lar.models.causal_lm import load_model
from lar.models.checks import check_context, check_tokenizer, check_trainable
from lar.models.fingerprint import fingerprint
from lar.models.out_of_memory import advise_on_memory
from lar.scoring.store import CachedTeacher
from lar.utils.arguments import opened
from lar.utils.ending import Stopped, asked, finishing_steps
from lar.utils.files import check_replaceable, only_writer, temporary_folder
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent
from lar.utils.result_files import STUDENT_FILE
from lar.vocabulary.engine_tokenizer import decode_only_backend
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)

CALL = "lar.distill(corpus, model, vocabulary)"


def distill(
    corpus: Corpus | StrPath,
    model: Any,
    vocabulary: LatentVocabulary | StrPath | None,
    options: DistillOptions | None = None,
    output: StrPath | None = None,
    *,
    start_from: StrPath | None = None,
    held_out: Corpus | StrPath | None = None,
    progress: Progress = silent,
    **keywords: Unpack[DistillKeywords],
) -> Student:
    """A student: `model` trained to use `vocabulary`; with `loss="marginal"` the frozen model is its teacher.

    Several processes, started by `accelerate launch` or `torchrun`, call this with the same arguments and
    share the work: each trains on its own rows, only the main process writes, and all return the student.

    Args:
        corpus: conversations, as an object or a folder; all roles are reparameterized, the loss falls on the
            agent's units. Of a whole corpus with a split, the training side is learnt; a view of selected
            tasks is used as it is.
        model: the teacher: a checkpoint folder, or a model object, into which LoRA is put in place
            (`student.unload()` takes it out again). After an error it is as it was.
        vocabulary: the latents, as an object or a folder; None for a control, which learns as
            `DistillOptions.as_control` says. A vocabulary beside `options` of a control, such as those of its
            record, is refused; beside the keyword `control=True` it is ignored.
        options: see `DistillOptions`; `keywords` are its fields, and override those of `options`.
        output: where the student is saved; None keeps it in memory only. Checkpoints are written to
            `<output>.checkpoints` until the student is saved. The same call resumes from the last one.
        start_from: the folder of an earlier student of the same model, or of a control for a control. The new
            student starts from its adapter, whose shape it takes over, and from its rows of the segments
            that are in `vocabulary` at any id. The other latents' rows start as without it. Another
            `decode_only` than the earlier student's is warned of.
        held_out: conversations to evaluate on every `options.evaluate_steps`, by bits per byte; None for the
            held-out side of a whole corpus with a split. None of their tasks may have been seen: in this
            run, in mining, by the model, or by the earlier student.
        progress: counts optimizer steps, in the main process; its notes give speed and evaluation.

    Raises:
        TokenizerError: the model has fewer rows than the vocabulary has base ids, the earlier student has
            another tokenizer, or `decode_only` has one that is no BPE.
        VocabularyError: with `decode_only`, the tokenizer would encode a latent.
        CorpusError: the corpus has another tokenizer or no text of the agent, or holds out tasks that were
            seen before.
        TrainingError: loss or gradients are not finite, memory does not suffice, or `start_from` is no
            student of this model.
        OptionError: the checkpoints are another run's, or are being written by one, an option contradicts the
            earlier student's LoRA, a window is longer than the model's context, the vocabulary has no
            latents, or the options are a control's and there is a vocabulary.
        MissingExtraError: a package that `report_to` needs is not installed.
    """
    options = merge_options(DistillOptions, options, keywords)
    if options.control and keywords.get("loss", "sft") != "sft":
        raise OptionError("a control learns by plain cross-entropy: leave `loss` out")
    corpus = opened(Corpus, corpus, CALL)
    held_out = None if held_out is None else opened(Corpus, held_out, "lar.distill(held_out=...)")
    vocabulary = None if vocabulary is None else opened(LatentVocabulary, vocabulary, CALL)
    if output is not None:
        check_replaceable(Path(output), STUDENT_FILE)
    check_launch(model, options)
    check_report_to(options.report_to)
    check_tokenizer(model, corpus)
    earlier = None if start_from is None else EarlierStudent.load(start_from)
    if earlier is not None:
        earlier.check(corpus.tokenizer, control=options.control)
        options = earlier.with_its_lora(options)
        earlier.warn_of_reading(options)
    if options.control:
        if vocabulary is not None and not keywords.get("control"):  # the options may be a control's record
            raise OptionError(
                "the options are a control's, which learns no latents, but there is a vocabulary: add"
                " control=False for a student, or leave the vocabulary out (None) for a control"
            )
        options = options.as_control()
        vocabulary = LatentVocabulary((), corpus.tokenizer)
    if vocabulary is None:
        raise OptionError("a vocabulary is needed, unless the run is a control")
    if not options.control and not len(vocabulary):
        raise OptionError("the vocabulary has no latents to learn: leave it out (None) and train a control")
    _warn_of_template(vocabulary, corpus)
    corpus.warn_if_outdated()
    if options.decode_only and len(vocabulary):
        decode_only_backend(vocabulary)  # an export needs it: refused here, and not after the training
    sides = Sides.of(corpus, held_out, options, model, vocabulary, earlier)
    base = load_model(model, dtype=options.dtype, device=options.device)
    if earlier is not None:
        earlier.check_base(base)
    student = train(sides, base, vocabulary, options, checkpoints_beside(output), progress, earlier)
    if options.sharding == "full":
        student = unsharded(student, model, options)

    def save() -> None:
        if output is not None:
            student.save(output)
            remove_checkpoints(output)

    with student.unloaded_on_error():
        from_main(save)
    return student


def unsharded(student: Student, folder: StrPath, options: AdaptOptions) -> Student:
    """The student with the whole base in each process; the base is read from its folder again."""
    base = load_model(folder, dtype=options.dtype, device=options.device)
    return student.on(base, options).eval()


def train(
    sides: Sides,
    base: Any,
    vocabulary: LatentVocabulary,
    options: DistillOptions,
    checkpoints: Path | None,
    progress: Progress,
    earlier: EarlierStudent | None = None,
) -> Student:
    """A trained student of `base`; the run resumes from the last of its `checkpoints` if there is one.

    After an error `base` is as it was: what the run has learnt is in its checkpoints.
    """
    check_trainable(base)
    start(base.device)
    evaluated = None if sides.held_out is None else HeldOut(sides.held_out, vocabulary, options)
    corpus = sides.training
    teacher = _cached_teacher(base, corpus, options)
    data = _packed(corpus, vocabulary, options, teacher)
    for windows in [data.examples, *([evaluated.examples] if evaluated else [])]:
        check_context(base, int(windows.lengths.max()))
    _warn_of_cuts(data.examples)
    identity = run_identity(base, options, data, None if evaluated is None else evaluated.examples)
    identity["start_from"] = earlier and earlier.digest()
    set_seed(options.seed)
    student = Student.begin(base, vocabulary, options)
    student.trained_tasks = sides.trained_tasks
    with student.unloaded_on_error(), temporary_folder() as temporary, ExitStack() as held:
        check_targets(student)
        taken = None if earlier is None else earlier.hand_over(student)
        folder = checkpoints or from_main(lambda: temporary)
        from_main(lambda: held.enter_context(only_writer(folder)))
        from_main(lambda: claim(folder, identity))
        trainer = DistillationTrainer(student, data, options, folder, progress, evaluated)
        for callback in reporting_callbacks(options.report_to, checkpoints):
            trainer.add_callback(callback)
        with advise_on_memory("training", memory_advice(options)):
            last, started = _begun(trainer, data, folder, taken, progress)
            record = trainer.run(last) if checkpoints is None else _run_to_a_step(trainer, last)
        student.record = {
            "lar_version": __version__,
            "base_fingerprint": identity["model"],
            "chat_template_hash": corpus.manifest.chat_template_hash,
            "start": started,
            **sides.to_dict(),
            **record,
        }
        wait()  # others may still read the main process's temporary folder
    return student.eval()


def _run_to_a_step(trainer: DistillationTrainer, last: Path | None) -> dict[str, Any]:
    """The record of the run; a signal ends it after its step, with a checkpoint, in all processes.

    Raises:
        Stopped: a signal has ended it.
    """
    trainer.add_callback(EndCallback())
    with finishing_steps():
        record = trainer.run(last)
        if number := greatest(asked(), trainer.args.device):
            kept = from_main(lambda: last_checkpoint(trainer.folder))
            raise Stopped(number, f" after step {trainer.state.global_step}, which is kept in {kept}")
    return record


def _begun(
    trainer: DistillationTrainer,
    data: PackedExamples,
    folder: Path,
    taken: HandedOver | None,
    progress: Progress,
) -> tuple[Path | None, dict[str, Any]]:
    """The checkpoint to go on from, None at the start, and the record of the start.

    The rows of a new run are started here. Every process does this with the same batches, before the model is
    sharded.
    """
    last = from_main(lambda: last_checkpoint(folder))
    logger.info("checkpoints in %s; going on from %s", folder, last.name if last else "the start")
    started: dict[str, Any] = {} if taken is None else {"from": taken.to_dict()}
    if last is not None:
        return last, recorded_start(folder) | started
    started |= start_rows(trainer.model, data, trainer.options, progress, taken and taken.new)
    from_main(lambda: record_start(folder, started))
    return None, started


def number_of_steps(corpus: Corpus, vocabulary: LatentVocabulary, options: DistillOptions) -> int:
    """The optimizer steps of a run in one process that learns all tasks of `corpus`."""
    return options.max_steps or steps_of(options, len(_packed(corpus, vocabulary, options, None)))


def _packed(
    corpus: Corpus, vocabulary: LatentVocabulary, options: DistillOptions, teacher: CachedTeacher | None
) -> PackedExamples:
    source = Examples(
        corpus,
        vocabulary,
        options.max_length,
        teacher,
        options.latent_dropout,
        options.seed,
        decode_only=options.decode_only,
    )
    return PackedExamples(source, options.batch_tokens or options.max_length, options.seed)


def _warn_of_template(vocabulary: LatentVocabulary, corpus: Corpus) -> None:
    """Warn of latents that were mined in text of another chat template than the corpus's."""
    own = vocabulary.tokenizer
    if own.chat_template is not None and own.template_hash != corpus.manifest.chat_template_hash:
        logger.warning(
            "the vocabulary was mined with another chat template than that of %s: mine this corpus anew",
            corpus.path,
        )


def _warn_of_cuts(examples: Examples) -> None:
    """Warn of latents that windows may cut, with their number, the longest and what helps."""
    if cut := examples.latents_cut():
        longest = max(cut, key=len)
        logger.warning(
            "%d of %d latents are longer than a quarter of max_length (%d), at most %d base tokens (%s):"
            " where windows cut one, its text is learnt in base tokens; raise max_length",
            len(cut),
            len(examples.vocabulary),
            examples.max_length,
            len(longest),
            shortened(longest.text),
        )


def _cached_teacher(base: Any, corpus: Corpus, options: DistillOptions) -> CachedTeacher | None:
    """The stored distributions of this model and these windows, if the options ask for them."""
    if not options.cached_teacher:
        return None
    return CachedTeacher(corpus, TeacherIdentity(fingerprint(base), options.max_length))
