"""A student that starts from an earlier one: which weights it takes over, and which start afresh."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from lar import distill
from lar.corpus import Corpus
from lar.distillation import DistillOptions, Student
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.earlier import EarlierStudent
from lar.distillation.rows.start import start_rows
from lar.distillation.training.step import DistillationStep
from lar.errors import OptionError, TokenizerError, TrainingError
from testing import tiny, toy
from testing.few_steps import FEW, KilledError, kill_at
from testing.updates import updated, with_latents

STILL = {"max_steps": 1, "learning_rate": 1e-12, "row_learning_rate": 1e-12}


@pytest.fixture(scope="module")
def renewed(mined, sides):
    return updated(mined, sides[0])


@pytest.fixture(scope="module")
def earlier(sides, mined, teacher_folder, tmp_path_factory):
    """A student, evaluated after its last step."""
    output = tmp_path_factory.mktemp("earlier") / "student"
    options = DistillOptions(**FEW, max_steps=6, learning_rate=3e-3, row_learning_rate=1e-2, evaluate_steps=6)
    distill(sides[0], str(teacher_folder), mined, options, output, held_out=sides[1])
    return output


@pytest.fixture(scope="module")
def control(sides, teacher_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("earlier") / "control"
    options = DistillOptions(
        **FEW, max_steps=6, learning_rate=3e-3, evaluate_steps=6, control=True, loss="sft"
    )
    distill(sides[0], str(teacher_folder), None, options, output, held_out=sides[1])
    return output


def evaluations(record):
    return [line["eval_bits_per_byte"] for line in record["log"] if "eval_bits_per_byte" in line]


def with_bias(model):
    head = model.get_output_embeddings()
    head.bias = nn.Parameter(torch.randn(head.weight.shape[0]))
    return model


def stirred(student):
    """The student with other values in all that it has learnt."""
    with torch.no_grad():
        for name, value in student.named_parameters():
            if "lora_" in name or name.startswith("rows."):
                value.add_(torch.randn_like(value))
    return student


@pytest.mark.parametrize("kind", ["untied", "tied", "bias", "bfloat16"])
def test_rows_of_kept_segments_are_bit_equal_and_new_rows_are_those_of_a_fresh_start(
    mined, renewed, tmp_path, kind
):
    def model():
        made = tiny.model(mined.base_size, tied=kind == "tied")
        torch.manual_seed(1)
        made = with_bias(made) if kind == "bias" else made
        return made.bfloat16() if kind == "bfloat16" else made

    options = DistillOptions(**FEW)
    old = stirred(Student.begin(model(), mined, options))
    old.save(tmp_path / "student")
    fresh = Student.begin(model(), renewed, options)
    student = Student.begin(model(), renewed, options)
    taken = EarlierStudent.load(tmp_path / "student").hand_over(student)
    places = {latent.tokens: index for index, latent in enumerate(mined)}
    assert taken.new.tolist() == [latent.tokens not in places for latent in renewed]
    assert taken.to_dict()["kept_rows"] == len(mined) - 3
    assert taken.to_dict()["new_rows"] == 6
    moved = 0
    for name, value in student.rows.named_parameters():
        for row, latent in enumerate(renewed):
            place = places.get(latent.tokens)
            moved += place not in (None, row)
            source, at = (fresh, row) if place is None else (old, place)
            assert torch.equal(value[row], source.rows.get_parameter(name)[at]), (name, latent)
    assert moved > 0
    expected = old.learnt()
    adapter = {name: value for name, value in student.learnt().items() if "lora_" in name}
    assert adapter
    assert all(torch.equal(value, expected[name]) for name, value in adapter.items())


@pytest.mark.parametrize("row_start", ["exponential", "hidden"])
def test_before_the_first_step_only_new_rows_are_fitted(
    corpus, renewed, mined, earlier, teacher_folder, row_start
):
    options = EarlierStudent.load(earlier).with_its_lora(
        DistillOptions(**FEW, row_start=row_start, hidden_batches=4)
    )
    old = Student.load(earlier, str(teacher_folder))
    student = Student.begin(Student.load(earlier).unload(), renewed, options)
    taken = EarlierStudent.load(earlier).hand_over(student)
    before = {name: value.detach().clone() for name, value in student.rows.named_parameters()}
    data = PackedExamples(Examples(corpus, renewed, 256), 256)
    record = start_rows(DistillationStep(student, options), data, options, new=taken.new)
    assert record["fitted"]["after"] < record["fitted"]["before"]
    for name, value in student.rows.named_parameters():
        changed = (value != before[name]).any(-1)
        assert not changed[~taken.new].any(), name
        assert changed[taken.new].any() == (name == "output" or row_start == "hidden")
    places = {latent.tokens: index for index, latent in enumerate(mined)}
    for row, latent in enumerate(renewed):
        if latent.tokens in places:
            assert torch.equal(student.rows.output[row], old.rows.output[places[latent.tokens]])


@pytest.mark.parametrize("arm", ["student", "control"])
def test_with_the_same_latents_it_starts_where_the_earlier_one_ended(
    sides, mined, teacher_folder, earlier, control, arm
):
    folder = earlier if arm == "student" else control
    ended = evaluations(json.loads((folder / "distillation.json").read_text()))[-1]
    options = DistillOptions(**FEW, **STILL, evaluate_steps=1, control=arm == "control")
    latents = mined if arm == "student" else None
    student = distill(sides[0], str(teacher_folder), latents, options, start_from=folder, held_out=sides[1])
    assert evaluations(student.record) == [pytest.approx(ended, rel=1e-6)]
    kept = len(mined) if arm == "student" else 0
    assert student.record["start"] == {"from": {"student": str(folder), "kept_rows": kept, "new_rows": 0}}
    afresh = distill(sides[0], str(teacher_folder), latents, options, held_out=sides[1])
    assert abs(evaluations(afresh.record)[0] - ended) > 1e-3


def test_a_killed_run_that_started_from_a_student_goes_on_to_the_same_student(
    sides, renewed, mined, teacher_folder, earlier, tmp_path
):
    options = DistillOptions(**FEW, max_steps=6, save_steps=2, fitted_batches=4)
    arguments = sides[0], str(teacher_folder), renewed, options
    shutil.copytree(earlier, tmp_path / "moved")  # a folder's name is no part of a run
    whole = distill(*arguments, tmp_path / "whole", start_from=earlier)
    with pytest.raises(KilledError):
        distill(*arguments, tmp_path / "killed", start_from=earlier, progress=kill_at(5))
    with pytest.raises(OptionError, match="start_from"):
        distill(*arguments, tmp_path / "killed")
    resumed = distill(*arguments, tmp_path / "killed", start_from=tmp_path / "moved")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    expected = {"kept_rows": len(mined) - 3, "new_rows": 6}
    saved = [Student.load(tmp_path / name).record["start"]["from"] for name in ("whole", "killed")]
    assert saved == [{"student": str(at), **expected} for at in (earlier, tmp_path / "moved")]


def test_the_shape_of_lora_is_the_earlier_students(sides, mined, teacher_folder, earlier, tmp_path):
    unsaid = DistillOptions(max_length=256, device="cpu", **STILL)
    assert unsaid.lora_rank != FEW["lora_rank"]
    student = distill(sides[0], str(teacher_folder), mined, unsaid, tmp_path / "student", start_from=earlier)
    assert student.record["options"]["lora_rank"] == FEW["lora_rank"]
    assert student.record["options"]["lora_alpha"] == FEW["lora_alpha"]
    for wrong in ({"lora_rank": 5}, {"lora_alpha": 7}, {"target_modules": ("q_proj",)}):
        with pytest.raises(OptionError, match=f"its {next(iter(wrong))} is .*, so it cannot be"):
            distill(sides[0], str(teacher_folder), mined, replace(unsaid, **wrong), start_from=earlier)


def test_a_student_that_started_from_one_can_be_started_from(
    sides, renewed, mined, teacher_folder, earlier, tmp_path
):
    options = DistillOptions(**FEW, **STILL)
    for latents, start, output in ((renewed, earlier, "second"), (mined, tmp_path / "second", "third")):
        student = distill(
            sides[0], str(teacher_folder), latents, options, tmp_path / output, start_from=start
        )
    assert student.record["start"]["from"]["kept_rows"] == len(mined) - 3


def test_what_does_not_fit_is_refused_by_name(sides, mined, teacher_folder, earlier, control, tmp_path):
    still = DistillOptions(**FEW, **STILL)

    def refused(kind, match, folder=earlier, *, model=None, corpus=sides[0], options=still):
        with pytest.raises(kind, match=match) as error:
            distill(corpus, model or str(teacher_folder), mined, options, start_from=folder)
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)

    refused(OptionError, "a control; a student starts from", control)
    refused(OptionError, "a student with latents; a control", options=replace(still, control=True))
    refused(TrainingError, "another model", model=tiny.model(mined.base_size, seed=3))
    refused(TrainingError, "another model", model=tiny.model(mined.base_size, tied=True))
    refused(TrainingError, "no student", teacher_folder)
    refused(TrainingError, "no student", tmp_path / "nowhere")
    other = Corpus.build(toy.trajectories(3), toy.tokenizer(size=300))
    refused(TokenizerError, "another than the corpus's", model=tiny.model(400), corpus=other)


@pytest.mark.parametrize("earlier_reads", [False, True, None])
@pytest.mark.parametrize("reads", [False, True])
def test_another_way_of_reading_than_the_earlier_students_is_warned_of(
    corpus, mined, tmp_path, caplog, earlier_reads, reads
):
    """Before the model is loaded; the record of an earlier version lacks the option."""
    options = {} if earlier_reads is None else {"decode_only": earlier_reads}
    Student.begin(tiny.model(mined.base_size), mined, DistillOptions(**FEW)).save(tmp_path)
    (tmp_path / "distillation.json").write_text(json.dumps({"options": options}))
    new = DistillOptions(device="cpu", decode_only=reads)
    with pytest.raises(TrainingError, match="never-read"):
        distill(corpus, "never-read/", mined, new, start_from=tmp_path)
    warned = f"{tmp_path} was distilled {'without' if reads else 'with'} decode_only, and this run is"
    assert (warned in caplog.text) == (reads != bool(earlier_reads))
    EarlierStudent.load(tmp_path).warn_of_reading(replace(new, control=True, decode_only=not reads))
    assert caplog.text.count("decode_only, and this run is") == (reads != bool(earlier_reads))


def test_a_record_without_the_models_fingerprint_is_checked_by_the_models_folder(
    sides, mined, teacher_folder, earlier, tmp_path
):
    shutil.copytree(earlier, tmp_path / "old")
    file = tmp_path / "old" / "distillation.json"
    record = json.loads(file.read_text())
    del record["base_fingerprint"]
    file.write_text(json.dumps(record))
    options = DistillOptions(**FEW, **STILL)
    distill(sides[0], str(teacher_folder), mined, options, start_from=tmp_path / "old")
    with pytest.raises(TrainingError, match="another model"):
        distill(sides[0], tiny.model(mined.base_size), mined, options, start_from=tmp_path / "old")


def test_a_students_digest_is_that_of_its_weights_and_latents_wherever_it_lies(mined, tmp_path):
    student = Student.begin(tiny.model(mined.base_size), mined, DistillOptions(**FEW))
    student.save(tmp_path / "student")
    own = EarlierStudent.load(tmp_path / "student").digest()
    shutil.copytree(tmp_path / "student", tmp_path / "moved")
    assert EarlierStudent.load(tmp_path / "moved").digest() == own
    weights = ("adapter_model.safetensors", "latent_rows.safetensors", "vocabulary/latent_vocabulary.json")
    for name in weights:
        shutil.copytree(tmp_path / "student", tmp_path / "changed", dirs_exist_ok=True)
        found = EarlierStudent.load(tmp_path / "changed")
        file = tmp_path / "changed" / name
        file.write_bytes(file.read_bytes()[:-1] + b" ")
        assert found.digest() != own, name


@pytest.mark.parametrize(
    "damage", ["no adapter", "no rows", "cut rows", "cut adapter", "other adapter", "other rows"]
)
def test_damaged_weights_are_refused_by_name(
    sides, mined, renewed, teacher_folder, earlier, tmp_path, damage
):
    folder = tmp_path / "damaged"
    shutil.copytree(earlier, folder)
    adapter, rows = folder / "adapter_model.safetensors", folder / "latent_rows.safetensors"
    if damage == "no adapter":
        adapter.unlink()
    elif damage == "no rows":
        rows.unlink()
    elif damage == "cut adapter":
        adapter.write_bytes(adapter.read_bytes()[:-100])
    elif damage == "cut rows":
        rows.write_bytes(rows.read_bytes()[:-100])
    elif damage == "other adapter":
        options = DistillOptions(**{**FEW, "lora_rank": 2})
        Student.begin(tiny.model(mined.base_size), mined, options).save(tmp_path / "other")
        shutil.copy(tmp_path / "other" / adapter.name, adapter)
    else:
        short = with_latents(mined, list(mined.latents[1:]))
        options = DistillOptions(**FEW)
        Student.begin(tiny.model(mined.base_size), short, options).save(tmp_path / "other")
        shutil.copy(tmp_path / "other" / rows.name, rows)
    with pytest.raises(TrainingError) as error:
        distill(sides[0], str(teacher_folder), renewed, DistillOptions(**FEW, **STILL), start_from=folder)
    assert str(adapter if "adapter" in damage else rows) in str(error.value)
