"""The student: new rows, training, resumption, saving; each arm on a tiny model."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainerState

from lar import adapt, distill, mine, score
from lar.corpus import Corpus
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.data import Examples, PackedExamples, pack
from lar.distillation.loss import LOSS_FUNCTIONS, FirstTokens
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.checkpoints import last_checkpoint
from lar.distillation.training.step import DistillationStep
from lar.errors import OptionError, TrainingError
from lar.trajectories import Trajectory
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy
from testing.few_steps import FEW, KilledError, kill_at


def ids_of(vocabulary, corpus):
    return torch.from_numpy(Examples(corpus, vocabulary, 256)[0].units)[None]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_with_its_latents_off_the_student_is_the_frozen_model_bit_for_bit(corpus, vocabulary, tied, family):
    model = tiny.model(vocabulary.base_size, tied=tied, family=family)
    ids = ids_of(tiny.no_latents(corpus), corpus)
    with torch.no_grad():
        expected = model(ids).logits
    before = tiny.state(model)
    student = distill(corpus, model, vocabulary, DistillOptions(**FEW, max_steps=3, learning_rate=1e-2))
    with torch.no_grad():
        with student.teacher():
            assert torch.equal(student(ids).logits, expected)
        assert not torch.allclose(student(ids).logits[..., : vocabulary.base_size], expected)
    base = student.unload()
    assert base is model
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    with torch.no_grad():
        assert torch.equal(base(ids).logits, expected)


@pytest.mark.parametrize("tied", [False, True])
def test_only_lora_and_the_new_rows_learn_and_rows_are_never_shared(corpus, vocabulary, tied):
    model = tiny.model(vocabulary.base_size, tied=tied)
    student = Student.begin(model, vocabulary, DistillOptions(**FEW))
    learning = {name for name, value in student.named_parameters() if value.requires_grad}
    assert learning == {n for n, _ in student.named_parameters() if "lora_" in n or n.startswith("rows.")}
    assert student.rows.input.data_ptr() != student.rows.output.data_ptr()
    batch = pack(list(Examples(corpus, vocabulary, 256))[:2])
    DistillationStep(student, DistillOptions(**FEW))(**batch)["loss"].backward()
    assert model.get_input_embeddings().weight.grad is None
    assert model.get_output_embeddings().weight.grad is None
    assert student.rows.input.grad.abs().sum() > 0
    assert student.rows.output.grad.abs().sum() > 0


@pytest.mark.parametrize("make", [tiny.model, tiny.with_vision])
def test_every_parameter_that_learns_gets_a_gradient(corpus, vocabulary, make):
    """DDP waits for each of them, so one of a vision tower would end a run of several processes."""
    model = make(vocabulary.base_size)
    names = {name for name, _ in model.named_parameters()}
    student = Student.begin(model, vocabulary, DistillOptions(**FEW))
    batch = pack([Examples(corpus, vocabulary, 256)[0]])
    DistillationStep(student, DistillOptions(**FEW))(**batch)["loss"].backward()
    learning = {name: value for name, value in student.named_parameters() if value.requires_grad}
    assert all(value.grad is not None for value in learning.values())
    assert sum("lora_B" in name for name in learning) == 14  # seven modules of two layers
    assert {name for name, _ in student.unload().named_parameters()} == names


@pytest.mark.parametrize("frozen", [(), ("lm_head.weight", "model.embed_tokens.weight")])
def test_the_base_is_as_trainable_as_before(corpus, vocabulary, tmp_path, frozen):
    model = tiny.model(vocabulary.base_size)
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    before = {name: value.requires_grad for name, value in model.named_parameters()}

    def found(model):
        return {name: value.requires_grad for name, value in model.named_parameters()}

    student = Student.begin(model, vocabulary, DistillOptions(**FEW))
    student.save(tmp_path / "student")
    assert found(student.unload()) == before
    assert found(Student.load(tmp_path / "student", model).unload()) == before
    with pytest.raises(OptionError, match="no LoRA"):
        Student.begin(model, vocabulary, DistillOptions(**FEW, target_modules=("none",)))
    assert found(model) == before
    assert found(adapt(corpus, model, AdaptOptions(**FEW, max_steps=1))) == before


def test_rows_start_from_their_tokens(vocabulary):
    model = tiny.model(vocabulary.base_size)
    for method in ("mean", "first", "exponential"):
        student = Student.begin(model, vocabulary, DistillOptions(**FEW, row_start=method))
        for index, latent in enumerate(vocabulary.latents):
            tokens = model.get_input_embeddings().weight[list(latent.tokens)].double().detach().numpy()
            weights = {
                "mean": np.ones(len(tokens)),
                "first": np.eye(len(tokens))[0],
                "exponential": 0.5 ** np.arange(len(tokens))[::-1],
            }[method]
            expected = np.average(tokens, axis=0, weights=weights)
            assert np.allclose(student.rows.input[index].detach(), expected, atol=1e-6)
            first = model.get_output_embeddings().weight[latent.tokens[0]]
            assert torch.equal(student.rows.output[index], first)
        student.unload()


def test_units_are_read_and_written_through_the_new_rows(corpus, vocabulary):
    model = tiny.model(vocabulary.base_size)
    ids = ids_of(vocabulary, corpus)
    assert (ids >= vocabulary.base_size).any()
    student = Student.begin(model, vocabulary, DistillOptions(**FEW))
    matrix = torch.cat([model.get_input_embeddings().weight, student.rows.input])
    with torch.no_grad():
        with student.base_rows_only():
            hidden = student.base.model(inputs_embeds=matrix[ids])[0]
        expected = torch.cat([hidden @ model.lm_head.weight.T, hidden @ student.rows.output.T], dim=-1)
        assert torch.allclose(student(ids).logits, expected, atol=1e-5)


def cutting(tokenizer):
    """Latents that end and begin inside base tokens of the toy agent's text."""
    texts = ["I will lo", "ok up the wea", "erature in", " degr"]
    segments = [tuple(tokenizer.encode(text).tolist()) for text in texts]
    latents = [
        Latent(tokenizer.base_size + index, segment, text, 1, 1, 1)
        for index, (segment, text) in enumerate(zip(segments, texts, strict=True))
    ]
    return LatentVocabulary(tuple(latents), tokenizer)


@pytest.mark.parametrize("loss", list(LOSS_FUNCTIONS))
@pytest.mark.parametrize("latents", ["mined", "none", "cut"])
@pytest.mark.parametrize("padding", [0, 24])
def test_a_step_is_the_loss_of_the_whole_models(corpus, vocabulary, loss, latents, padding):
    """The packed, chunked step in float32 against plain forwards, whose loss is summed in float64.

    Padding rows of the model do not count. "cut" latents end inside base tokens: before some units the
    teacher has no distribution, and the loss is their cross-entropy.
    """
    chosen = {"mined": vocabulary, "none": tiny.no_latents(corpus), "cut": cutting(corpus.tokenizer)}[latents]
    options = DistillOptions(**FEW, loss=loss, unit_weight=0.5)
    model = tiny.padded(tiny.model(vocabulary.base_size), vocabulary.base_size + padding)
    student = Student.begin(model, chosen, options)
    step = DistillationStep(student, options)
    group = list(Examples(corpus, chosen, 256))[:3]
    first = FirstTokens(torch.from_numpy(chosen.first_tokens.astype("int64")), chosen.base_size)
    expected, units, without_teacher = 0.0, 0, 0
    with torch.no_grad():
        for example in group:
            at = torch.from_numpy(example.supervised)
            logits = student(torch.from_numpy(example.units)[None]).logits[0, at - 1].double()
            with student.teacher():
                tokens = torch.from_numpy(example.tokens)[None]
                teacher = student(tokens).logits[0, example.starts[example.supervised] - 1].double()
            base, latent = logits[:, : chosen.base_size], logits[:, chosen.base_size :][:, : len(chosen)]
            teacher = teacher[:, : chosen.base_size]
            labels = torch.from_numpy(example.units)[at]
            has_teacher = torch.from_numpy(example.has_teacher)
            terms = LOSS_FUNCTIONS[loss](
                base[has_teacher], latent[has_teacher], teacher[has_teacher], labels[has_teacher], first
            )
            alone = (
                -logits[~has_teacher, : chosen.base_size + len(chosen)]
                .log_softmax(-1)
                .gather(1, labels[~has_teacher][:, None])
                .sum()
            )
            expected += float(terms.teacher + options.unit_weight * (terms.unit + alone))
            units += len(at)
            without_teacher += int((~has_teacher).sum())
    # float32 rounds each unit's log-sum of about 6 nats by 5e-7; which way depends on the processor.
    found = float(step(**pack(group))["loss"].detach())
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * units)
    assert (without_teacher > 0) == (latents == "cut")


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning", "ignore:The following .*_pattern")
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_loss_of_a_packed_row_is_that_of_its_runs_alone(corpus, vocabulary, family):
    targets = ("in_proj",) if family == "mamba2" else "all-linear"  # PEFT refuses the other linear layers
    options = DistillOptions(**FEW, loss="marginal", target_modules=targets)
    model = tiny.of_family(family, vocabulary.base_size)
    step = DistillationStep(Student.begin(model, vocabulary, options), options).eval()
    group = list(Examples(corpus, vocabulary, 64))[:4]
    assert len({len(example.units) for example in group}) > 1
    packed = float(step(**pack(group))["loss"].detach())
    alone = sum(float(step(**pack([example]))["loss"].detach()) for example in group)
    assert packed == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", list(LOSS_FUNCTIONS))
def test_a_student_learns_its_latents(corpus, vocabulary, teacher_folder, loss):
    options = DistillOptions(**FEW, loss=loss, max_steps=30, row_learning_rate=3e-2, learning_rate=3e-3)
    untaught = DistillOptions(
        **FEW, loss=loss, max_steps=1, row_learning_rate=1e-9, learning_rate=1e-9, output_start="first"
    )
    before = bits_per_byte(corpus, distill(corpus, str(teacher_folder), vocabulary, untaught))
    after = bits_per_byte(corpus, distill(corpus, str(teacher_folder), vocabulary, options))
    assert after.units < 0.8 * after.base_tokens
    assert after.bits_per_byte < 0.6 * before.bits_per_byte


def test_a_control_learns_as_an_adapted_model_does(corpus, teacher_folder, tmp_path):
    options = DistillOptions(**FEW, max_steps=4, control=True, hidden_weight=1.0, cached_teacher=True)
    options = replace(options, unit_weight=0.0)  # of a student that learns from its teacher alone
    control = distill(corpus, str(teacher_folder), None, options)
    assert control.rows is None
    assert len(control.vocabulary) == 0
    assert control.record["steps"] == 4
    assert control.record["options"] == options.as_control().to_dict()
    adapt(corpus, str(teacher_folder), AdaptOptions(**FEW, max_steps=4), tmp_path / "adapted")
    adapted = json.loads((tmp_path / "adapted" / "adaptation.json").read_text(encoding="utf-8"))
    losses = [
        [line["loss"] for line in log if "loss" in line] for log in (control.record["log"], adapted["log"])
    ]
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(OptionError, match="plain cross-entropy"):
        distill(corpus, str(teacher_folder), None, control=True, loss="marginal")


def test_plain_cross_entropy_without_weight_is_refused():
    with pytest.raises(OptionError, match="nothing would be learnt"):
        DistillOptions(unit_weight=0.0)
    assert DistillOptions(unit_weight=0.0, loss="marginal").as_control().unit_weight == 1.0


def test_a_saved_student_comes_back_the_same(corpus, vocabulary, teacher_folder, tmp_path):
    options = DistillOptions(**FEW, max_steps=3)
    student = distill(corpus, str(teacher_folder), vocabulary, options, tmp_path / "student")
    loaded = Student.load(tmp_path / "student", str(teacher_folder))
    with pytest.raises(TrainingError, match="already has an adapter"):
        Student.load(tmp_path / "student", loaded.base)
    by_itself = Student.from_pretrained(
        tmp_path / "student", device="cpu"
    )  # the adapter has the teacher's folder
    ids = ids_of(vocabulary, corpus)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, student(ids).logits)
        assert torch.equal(by_itself(ids).logits, student(ids).logits)
    by_itself.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "latent_rows.safetensors").exists()
    assert loaded.vocabulary.latents == vocabulary.latents
    assert loaded.record["options"] == student.record["options"]
    assert not (tmp_path / "student.checkpoints").exists()
    (tmp_path / "student" / "latent_rows.safetensors").unlink()
    with pytest.raises(TrainingError, match="rows are missing"):
        Student.load(tmp_path / "student", str(teacher_folder))


def test_a_killed_run_goes_on_to_the_same_student(corpus, vocabulary, teacher_folder, tmp_path):
    dropout = {"lora_dropout": 0.1, "latent_dropout": 0.3}
    options = DistillOptions(
        **FEW, **dropout, max_steps=9, save_steps=4, gradient_accumulation=2, output_start="first"
    )
    arguments = corpus, str(teacher_folder), vocabulary
    whole = distill(*arguments, options, tmp_path / "whole")
    with pytest.raises(KilledError):
        distill(*arguments, options, tmp_path / "killed", progress=kill_at(7))
    assert not (tmp_path / "killed").exists()
    half = tmp_path / "killed.checkpoints" / "checkpoint-8"  # as if the run was killed while saving
    half.mkdir()
    cut = half.with_name("checkpoint-7")  # as if the machine went down while the state was written
    cut.mkdir()
    (cut / "trainer_state.json").write_text('{"epoch": 0.5, "glob')
    seen = []
    resumed = distill(*arguments, options, tmp_path / "killed", progress=lambda done, _: seen.append(done))
    assert seen == [5, 6, 7, 8, 9]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    losses = [[line["loss"] for line in s.record["log"] if "loss" in line] for s in (whole, resumed)]
    assert losses[0] == losses[1]


def test_a_run_that_is_killed_in_its_second_epoch_goes_on_in_it(corpus, vocabulary, teacher_folder, tmp_path):
    few = corpus.split(0.8)[0]
    rows = len(PackedExamples(Examples(few, vocabulary, 256), 256))
    assert 2 <= rows <= 20
    options = DistillOptions(
        **FEW, latent_dropout=0.5, max_steps=2 * rows, save_steps=rows + 1, fitted_batches=1, seed=1
    )
    arguments = few, str(teacher_folder), vocabulary
    whole = distill(*arguments, options, tmp_path / "whole")
    with pytest.raises(KilledError):
        distill(*arguments, options, tmp_path / "killed", progress=kill_at(rows + 2))
    resumed = distill(*arguments, options, tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed.record["start"] == whole.record["start"]
    assert "fitted" in whole.record["start"]


def test_before_its_first_checkpoint_a_run_may_begin_again_with_other_options(
    corpus, vocabulary, teacher_folder, tmp_path
):
    arguments = corpus, str(teacher_folder), vocabulary
    options = DistillOptions(**FEW, max_steps=2, output_start="first")
    with pytest.raises(KilledError):
        distill(*arguments, options, tmp_path / "s", progress=kill_at(1))
    assert distill(*arguments, options, tmp_path / "s", batch_tokens=512).record["steps"] == 2


def test_two_runs_do_not_write_the_same_checkpoints(corpus, vocabulary, teacher_folder, tmp_path):
    arguments = corpus, str(teacher_folder), vocabulary
    options = DistillOptions(**FEW, max_steps=2, output_start="first")

    def beside(*_):
        with pytest.raises(OptionError, match="another process is writing"):
            distill(*arguments, options, tmp_path / "s")
        raise KilledError

    with pytest.raises(KilledError):
        distill(*arguments, options, tmp_path / "s", progress=beside)
    assert distill(*arguments, options, tmp_path / "s").record["steps"] == 2


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("epochs", [0.5, 2.0])
def test_epochs_are_passes_over_the_data(corpus, vocabulary, teacher_folder, epochs, accumulation):
    few = corpus.split(0.8)[0]
    rows = len(PackedExamples(Examples(few, vocabulary, 256), 256))
    options = DistillOptions(**FEW, epochs=epochs, gradient_accumulation=accumulation, output_start="first")
    log = distill(few, str(teacher_folder), vocabulary, options).record["log"]
    read = max(line["epoch"] for line in log)
    assert epochs <= read < epochs + accumulation / rows + 1e-6


def test_a_student_is_not_put_onto_another_teacher(corpus, vocabulary, teacher_folder, tmp_path):
    distill(corpus, str(teacher_folder), vocabulary, DistillOptions(**FEW, max_steps=1), tmp_path / "s")
    tiny.model(vocabulary.base_size, seed=1).save_pretrained(tmp_path / "other")
    with pytest.raises(TrainingError, match="distilled from another model"):
        Student.load(tmp_path / "s", tmp_path / "other")


def test_checkpoints_of_another_run_are_refused(corpus, vocabulary, teacher_folder, tmp_path):
    options = DistillOptions(**FEW, max_steps=4, save_steps=2, output_start="first")
    with pytest.raises(KilledError):
        distill(corpus, str(teacher_folder), vocabulary, options, tmp_path / "s", progress=kill_at(3))
    other = DistillOptions(**FEW, max_steps=4, save_steps=2, seed=5)
    with pytest.raises(OptionError, match="options"):
        distill(corpus, str(teacher_folder), vocabulary, other, tmp_path / "s")


def test_the_last_checkpoint_is_that_of_the_highest_step(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step in (900, 1000, 90):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path).name == "checkpoint-1000"


def test_a_checkpoint_is_on_the_disk_before_its_state_makes_it_complete(
    corpus, vocabulary, teacher_folder, tmp_path, monkeypatch
):
    on_disk, left, flush, save = set(), [], os.fsync, TrainerState.save_to_json

    def flushing(handle):
        flush(handle)
        on_disk.add(os.fstat(handle).st_ino)

    def saving(state, file):
        left.append([path for path in Path(file).parent.iterdir() if path.stat().st_ino not in on_disk])
        save(state, file)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(TrainerState, "save_to_json", saving)
    options = DistillOptions(**FEW, max_steps=2, save_steps=1, output_start="first")
    distill(corpus, str(teacher_folder), vocabulary, options, tmp_path / "student")
    assert left == [[], []]


def test_a_step_of_several_batches_is_the_step_of_all_of_them_in_one(corpus, vocabulary):
    """Long conversations do not count less: the mean is over the units of the step."""
    few = corpus.split(0.9)[0]
    examples = Examples(few, vocabulary, 256)
    options = DistillOptions(**{**FEW, "logging_steps": 1}, max_steps=1, output_start="first")
    lines = []
    for batch_tokens, batches in ((1, len(examples)), (10**6, 1)):
        given = replace(options, batch_tokens=batch_tokens, gradient_accumulation=batches)
        student = distill(few, tiny.model(vocabulary.base_size), vocabulary, given)
        lines.append(student.record["log"][0])
    several, one = lines
    assert len({len(example.supervised) for example in examples}) > 1
    assert several["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert several["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
    for line in (several, one):
        assert line["unit_term"] == pytest.approx(one["loss"], rel=1e-4)
        assert (line["teacher_term"], line["hidden_term"]) == (0, 0)
        assert line["base_tokens"] == examples.lengths.sum()


def test_the_same_seed_gives_the_same_student(corpus, vocabulary, teacher_folder):
    runs = [
        distill(corpus, str(teacher_folder), vocabulary, DistillOptions(**FEW, max_steps=3, seed=seed))
        for seed in (1, 1, 2)
    ]
    states = [run.state_dict() for run in runs]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_the_new_rows_have_a_learning_rate_of_their_own(corpus, vocabulary):
    frozen = {"learning_rate": 1e-12, "row_learning_rate": 1e-2}
    model = tiny.model(vocabulary.base_size)
    student = distill(corpus, model, vocabulary, DistillOptions(**FEW, **frozen, max_steps=2, warmup_ratio=0))
    start = Student.begin(tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**FEW))
    assert (student.rows.output - start.rows.output).abs().max() > 1e-3
    lora = [value for name, value in student.named_parameters() if "lora_B" in name]
    assert max(float(value.detach().abs().max()) for value in lora) < 1e-9


def test_a_loss_that_is_not_finite_stops_the_run(corpus, vocabulary):
    model = tiny.model(vocabulary.base_size)
    with torch.no_grad():
        model.lm_head.weight[5] = torch.nan
    with pytest.raises(TrainingError, match="loss is"):
        distill(corpus, model, vocabulary, DistillOptions(**FEW, max_steps=2))


def test_latents_that_windows_may_cut_are_counted_and_the_longest_is_named(corpus, vocabulary, caplog):
    model = tiny.model(vocabulary.base_size)
    student = distill(corpus, model, vocabulary, DistillOptions(**{**FEW, "max_length": 80, "max_steps": 1}))
    (said,) = [record.message for record in caplog.records if "quarter" in record.message]
    longest = max(vocabulary.latents, key=len)
    count = sum(len(latent) > 20 for latent in vocabulary.latents)
    assert 0 < count < len(vocabulary)
    counted = f"{count} of {len(vocabulary)} latents are longer than a quarter of max_length (80)"
    assert said.startswith(counted)
    assert f"at most {len(longest)} base tokens ({longest.text[:8]!r}"[:-1] in said
    caplog.clear()
    distill(corpus, student.unload(), vocabulary, DistillOptions(**FEW, max_steps=1))
    assert "quarter" not in caplog.text  # each conversation is one window


def test_a_vocabulary_is_needed_unless_the_run_is_a_control(corpus):
    with pytest.raises(OptionError, match="vocabulary"):
        distill(corpus, tiny.model(corpus.tokenizer.base_size), None, DistillOptions(**FEW))


@pytest.mark.parametrize("loss", list(LOSS_FUNCTIONS))
def test_a_vocabulary_without_latents_is_refused_unless_the_run_is_a_control(corpus, loss):
    """As of `lar.mine` where it finds none. With a teacher, all gradients would be rounding errors."""
    model, options = tiny.model(corpus.tokenizer.base_size), DistillOptions(**FEW, max_steps=1, loss=loss)
    with pytest.raises(OptionError, match="no latents"):
        distill(corpus, model, tiny.no_latents(corpus), options)
    assert distill(corpus, model, tiny.no_latents(corpus), options, control=True).rows is None


def test_the_record_of_a_control_trains_no_control_in_the_place_of_a_student(corpus, vocabulary, tmp_path):
    model = tiny.model(vocabulary.base_size)
    options = DistillOptions(**FEW, max_steps=1, fitted_batches=1, control=True)
    distill(corpus, model, None, options, tmp_path / "control").unload()
    recorded = DistillOptions.from_file(tmp_path / "control" / "distillation.json")
    with pytest.raises(OptionError, match="control=False for a student"):
        distill(corpus, model, vocabulary, recorded)
    student = distill(corpus, model, vocabulary, recorded, control=False)
    assert student.rows is not None
    student.unload()
    assert distill(corpus, model, vocabulary, recorded, control=True).rows is None


@pytest.mark.parametrize("stage", ["score", "adapt", "distill", "bits_per_byte"])
def test_a_chat_template_that_changed_is_warned_of(
    corpus, vocabulary, teacher_folder, tmp_path, caplog, stage
):
    teacher = shutil.copytree(teacher_folder, tmp_path / "teacher")
    own = tiny.copy(corpus, tmp_path / "corpus")
    options = DistillOptions(**FEW, max_steps=1, fitted_batches=1)

    def run():
        caplog.clear()
        if stage == "score":
            score(own, teacher, device="cpu")
        elif stage == "adapt":
            adapt(own, teacher, AdaptOptions(**FEW, max_steps=1))
        elif stage == "distill":
            distill(own, teacher, vocabulary, options)
        else:
            bits_per_byte(own, teacher, device="cpu")
        return caplog.text

    assert "chat template" not in run()
    (teacher / "chat_template.jinja").write_text(f"{toy.CHATML} ")
    assert "build the corpus again" in run()
    if stage == "distill":
        other = replace(vocabulary, tokenizer=toy.tokenizer(template=f"{toy.CHATML} "))
        assert other.tokenizer.fingerprint == vocabulary.tokenizer.fingerprint
        distill(own, teacher_folder, other, options)
        assert "mined with another chat template" in caplog.text


@pytest.mark.parametrize("has_rows", [False, True])
def test_a_model_that_looks_latents_up_in_another_embedding_is_refused(corpus, vocabulary, has_rows):
    base_size = vocabulary.base_size
    shape = {"head_dim": 16, "sliding_window": 8, "hidden_size_per_layer_input": 8}
    shape["vocab_size_per_layer_input"] = base_size + len(vocabulary) if has_rows else base_size
    model = tiny.of_family("gemma4_text", base_size, **shape)
    before = tiny.state(model)
    if has_rows:
        Student.begin(model, vocabulary, DistillOptions(**FEW)).unload()
    else:
        with pytest.raises(TrainingError, match=r"embedding by token \(.*embed_tokens_per_layer\)"):
            Student.begin(model, vocabulary, DistillOptions(**FEW))
    assert all(torch.equal(value, before[name]) for name, value in tiny.state(model).items())
    assert not any("lora_" in name for name, _ in model.named_parameters())
    distill(corpus, model, None, DistillOptions(**FEW, max_steps=1, control=True))


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")  # of PEFT, before the refusal
@pytest.mark.parametrize(
    ("target", "tied", "refused"),
    [
        ("lm_head", False, "would not learn"),
        ("lm_head", True, "would not learn"),
        ("embed_tokens", True, "the same matrix"),
        ("embed_tokens", False, None),
    ],
)
def test_a_lora_that_cannot_learn_or_be_merged_is_refused(corpus, vocabulary, target, tied, refused):
    model = tiny.model(vocabulary.base_size, tied=tied)
    before = tiny.state(model)
    options = AdaptOptions(**FEW, max_steps=2, target_modules=("q_proj", target))
    runs = (
        lambda: distill(
            corpus, model, vocabulary, DistillOptions(**vars(options), fitted_batches=1)
        ).unload(),
        lambda: adapt(corpus, model, options, merge=False),
    )
    if refused:
        for run in runs:
            with pytest.raises(OptionError, match=refused):
                run()
            assert all(torch.equal(value, before[name]) for name, value in tiny.state(model).items())
        return
    runs[0]()
    kept, ids = runs[1](), torch.arange(20)[None]
    learnt = {name: value for name, value in kept.named_parameters() if "lora_embedding_B" in name}
    assert learnt
    assert all(value.abs().sum() > 0 for value in learnt.values())
    with torch.no_grad():
        expected = kept(ids).logits
        assert torch.allclose(kept.merge_and_unload()(ids).logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"loss": "mse"}, {"max_steps": 0}, {"row_start": "last"}, {"max_length": 4}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(OptionError):
        DistillOptions(**wrong)


def test_adapt_writes_a_plain_checkpoint_that_knows_the_text_better(corpus, teacher_folder, tmp_path):
    options = AdaptOptions(**FEW, max_steps=20, learning_rate=3e-3)
    adapted = adapt(corpus, str(teacher_folder), options, tmp_path / "adapted")
    before = bits_per_byte(corpus, str(teacher_folder))
    after = bits_per_byte(corpus, str(tmp_path / "adapted"))
    assert after.bits_per_byte < before.bits_per_byte
    assert after.bits_per_byte == pytest.approx(bits_per_byte(corpus, adapted).bits_per_byte)
    names = {file.name for file in (tmp_path / "adapted").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names


def test_bits_per_byte_equals_a_slow_sum(corpus, vocabulary, teacher_folder):
    student = distill(corpus, str(teacher_folder), vocabulary, DistillOptions(**FEW, max_steps=2))
    bits, text = 0.0, 0
    for shard in corpus.shards():
        for begin, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
            parsed = vocabulary.reparameterize(shard.tokens[begin:end], shard.action[begin:end])
            with torch.no_grad():
                logits = student(torch.from_numpy(parsed.units.astype("int64"))[None]).logits[0].double()
            log2 = logits.log_softmax(-1)[:-1] / np.log(2)
            chosen = np.flatnonzero(parsed.action[1:])
            bits -= float(log2[chosen, parsed.units[1:][chosen].astype("int64")].sum())
            said = shard.tokens[begin:end][shard.action[begin:end]]
            text += len(corpus.tokenizer.backend.decode(said.tolist(), skip_special_tokens=False).encode())
    found = bits_per_byte(corpus, student, max_length=1024)
    assert found.bits == pytest.approx(bits, rel=1e-4)
    assert found.bytes == text
    assert found.to_dict()["bits_per_byte"] == pytest.approx(bits / text, rel=1e-4)


def test_every_arm_is_measured_on_the_same_bytes(corpus, vocabulary, teacher_folder):
    student = Student.begin(tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**FEW))
    arms = [bits_per_byte(corpus, model, max_length=48) for model in (student, str(teacher_folder))]
    assert arms[0].bytes == arms[1].bytes
    assert arms[0].base_tokens == arms[1].base_tokens == arms[1].units


def test_arms_are_measured_on_the_same_bytes_where_the_agent_speaks_first(tmp_path):
    template = "{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}"
    said = [f"I will look up the weather in {city}." for city in toy.CITIES]
    runs = [
        Trajectory(id=text, task=text, messages=[{"role": "assistant", "content": text}] * 2) for text in said
    ]
    corpus = Corpus.build(runs, toy.tokenizer(template), tmp_path / "corpus")
    vocabulary = mine(corpus, 4)
    student = Student.begin(tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**FEW))
    arms = [bits_per_byte(corpus, model) for model in (student, tiny.model(vocabulary.base_size))]
    assert arms[0].units < arms[1].units == corpus.num_action_tokens - len(said)  # one at each start
    assert arms[0].bytes == arms[1].bytes


def test_measuring_leaves_a_model_in_its_mode(corpus):
    model = tiny.model(corpus.tokenizer.base_size).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    bits_per_byte(corpus, model)
    assert [module.training for module in model.modules()] == modes


def test_gradient_checkpointing_changes_nothing(corpus, vocabulary, teacher_folder):
    both = [
        distill(
            corpus,
            str(teacher_folder),
            vocabulary,
            DistillOptions(**FEW, max_steps=2, gradient_checkpointing=checkpointing),
        )
        for checkpointing in (False, True)
    ]
    for name, value in both[0].state_dict().items():
        assert torch.allclose(value, both[1].state_dict()[name], atol=1e-6), name
