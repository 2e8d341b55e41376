"""The error of a run that cannot go on has the batch, what is kept, and what to change."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from lar import adapt, distill
from lar.corpus import Corpus
from lar.corpus.scores import TEACHER_FOLDER, TeacherIdentity
from lar.distillation import AdaptOptions, DistillOptions
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.student import Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.faults import not_finite
from lar.distillation.training.step import DistillationStep
from lar.errors import CorpusError, LarError, TokenizerError, TrainingError
from lar.mining.mine import mine
from lar.models.causal_lm import load_model
from lar.models.out_of_memory import advise_on_memory
from lar.scoring.score import Scorer, score
from testing import tiny, toy
from testing.damage import ENDS, FLIPS, flip, loads_or_explains
from testing.few_steps import FEW, raises


def test_rows_know_their_conversations(corpus, vocabulary):
    source = Examples(corpus, vocabulary, 48)  # several windows a conversation
    ids = [i for shard in corpus.shards() for i in shard.ids]
    assert list(dict.fromkeys(source.conversation(i) for i in range(len(source)))) == ids
    data = PackedExamples(source, 300)
    for row in range(len(data)):
        assert data[row]["row"].tolist() == [row]
        named = data.conversations(row)
        assert sorted(named) == sorted({source.conversation(i) for i in data.rows[row]})


def poison(monkeypatch, when, what):
    """Apply `what` to the loss of the `when`-th batch; yields the batches' rows."""
    forward, calls = DistillationStep.forward, []

    def broken(self, **inputs):
        calls.append(inputs["labels"])
        found = forward(self, **inputs)
        return {**found, "loss": what(found["loss"])} if len(calls) == when else found

    monkeypatch.setattr(DistillationStep, "forward", broken)


class NanGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, value):  # noqa: ARG004
        return value.clone()

    @staticmethod
    def backward(context, gradient):  # noqa: ARG004
        return gradient * torch.nan


@pytest.mark.parametrize(
    ("what", "said"),
    [(lambda loss: loss * torch.inf, "the loss is inf"), (NanGradient.apply, "gradients' norm is nan")],
)
def test_what_is_not_finite_names_its_batch_and_the_last_good_checkpoint(
    corpus, vocabulary, monkeypatch, tmp_path, what, said
):
    options = DistillOptions(**FEW, max_steps=6, save_steps=2)
    arguments = corpus, tiny.model(vocabulary.base_size), vocabulary, options, tmp_path / "student"
    poison(monkeypatch, 5, what)
    with pytest.raises(
        TrainingError, match=f"{said} at step 5, in a batch of the conversations toy-"
    ) as caught:
        distill(*arguments)
    assert "checkpoint-4" in str(caught.value)
    monkeypatch.undo()
    resumed = distill(corpus, tiny.model(vocabulary.base_size), *arguments[2:])
    whole = distill(corpus, tiny.model(vocabulary.base_size), vocabulary, options)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_of_a_batch_of_many_conversations_a_few_are_named(tmp_path):
    error = str(not_finite("the loss is nan", 7, [f"run-{number}" for number in range(6)], tmp_path))
    assert "the loss is nan at step 7, in a batch" in error
    assert "conversations run-0, run-1, run-2, run-3 and 2 more: lower" in error
    assert error.endswith("there is no checkpoint yet")
    assert "more" not in str(not_finite("x", 1, ["a", "b", "c", "d"], tmp_path))


MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: not enough memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY)
def test_out_of_memory_says_what_to_lower(error):
    with pytest.raises(TrainingError, match="out of memory while training: lower it"):  # noqa: SIM117
        with advise_on_memory("training", "lower it"):
            raise error


def test_other_errors_stay_as_they_are():
    for error in (RuntimeError("a bug"), TrainingError("out of memory, already explained")):
        with pytest.raises(type(error), match=str(error)), advise_on_memory("training", "lower it"):
            raise error


def test_every_way_of_training_and_scoring_says_what_to_lower(corpus, vocabulary, monkeypatch, tmp_path):
    model = tiny.model(vocabulary.base_size)
    few = {**FEW, "max_steps": 1, "batch_tokens": 300}
    monkeypatch.setattr(DistillationStep, "forward", raises(MEMORY[0]))
    with pytest.raises(TrainingError, match=r"batch_tokens \(now 300.*max_length \(now 256\).*checkpointing"):
        distill(corpus, model, vocabulary, DistillOptions(**few))
    with pytest.raises(TrainingError, match="batch_tokens"):
        adapt(corpus, tiny.model(vocabulary.base_size), AdaptOptions(**few))
    monkeypatch.setattr(Scorer, "_score_batch", raises(MEMORY[1]))
    small = tiny.copy(corpus, tmp_path / "corpus")  # because a teacher is recorded in it
    with pytest.raises(TrainingError, match=r"while scoring: lower batch_tokens \(now 200\)"):
        score(small, tiny.model(vocabulary.base_size), batch_tokens=200)
    monkeypatch.setattr("lar.distillation.training.bits_per_byte._predicted", raises(MEMORY[0]))
    with pytest.raises(TrainingError, match="batch_tokens"):
        bits_per_byte(corpus, tiny.model(vocabulary.base_size))


def test_another_tokenizer_is_refused(corpus, vocabulary):
    other = Corpus.build(toy.trajectories(6, first=100), toy.tokenizer(size=350))
    model = tiny.model(vocabulary.base_size)
    for held_out in (None, other):
        options = DistillOptions(**FEW, max_steps=1, evaluate_steps=held_out and 1)
        with pytest.raises(CorpusError, match="another tokenizer"):
            distill(corpus if held_out else other, model, vocabulary, options, held_out=held_out)
    with pytest.raises(CorpusError, match="another tokenizer"):
        distill(corpus, model, mine(other, size=2), DistillOptions(**FEW))


def test_a_model_with_fewer_rows_than_ids_is_refused(corpus, vocabulary):
    model = tiny.model(vocabulary.base_size - 8)
    for refused in (
        lambda: distill(corpus, model, vocabulary, DistillOptions(**FEW)),
        lambda: distill(corpus, model, None, DistillOptions(**FEW, control=True)),
        lambda: adapt(corpus, model, AdaptOptions(**FEW)),
        lambda: bits_per_byte(corpus, model),
        lambda: score(corpus, model),
        lambda: Student.plain(model, corpus.tokenizer),
    ):
        with pytest.raises(TokenizerError, match=r"embedding rows, fewer than .* ids") as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_what_lora_or_the_scheduler_does_not_know_is_refused(corpus, vocabulary):
    for wrong in ({"target_modules": ("nothing",)}, {"scheduler": "zigzag"}):
        with pytest.raises(LarError) as caught:
            distill(corpus, tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**FEW, **wrong))
        assert "\n" not in str(caught.value)


@pytest.fixture
def cached(vocabulary, teacher_folder, tmp_path):
    """A small corpus with the teacher's stored distributions."""
    found = Corpus.build(toy.trajectories(8), vocabulary.tokenizer, tmp_path / "corpus")
    return score(found, str(teacher_folder), top_k=4, max_length=256, device="cpu")


CACHED = {**FEW, "max_steps": 1, "loss": "marginal", "cached_teacher": True}


def test_a_teacher_cache_of_something_else_is_refused(cached, vocabulary, teacher_folder, tmp_path):
    with pytest.raises(CorpusError, match="another model"):
        distill(cached, tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**CACHED))
    with pytest.raises(CorpusError, match="same max_length"):
        distill(cached, str(teacher_folder), vocabulary, DistillOptions(**{**CACHED, "max_length": 128}))
    other = Corpus.build(toy.trajectories(8, first=50), vocabulary.tokenizer, tmp_path / "other")
    with pytest.raises(CorpusError, match="no teacher's distributions"):
        distill(other, str(teacher_folder), vocabulary, DistillOptions(**CACHED))
    (other.path / TEACHER_FOLDER).mkdir()
    for file in (cached.path / TEACHER_FOLDER).iterdir():
        (other.path / TEACHER_FOLDER / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CorpusError, match="another corpus"):
        distill(other, str(teacher_folder), vocabulary, DistillOptions(**CACHED))


def test_adapted_teachers_read_their_caches_too(cached, vocabulary, teacher_folder, tmp_path):
    adapt(cached, str(teacher_folder), AdaptOptions(**FEW, max_steps=2), tmp_path / "adapted")
    adapted = str(tmp_path / "adapted")
    score(cached, adapted, top_k=4, max_length=256, device="cpu", overwrite=True)
    student = distill(cached, adapted, vocabulary, DistillOptions(**CACHED))
    assert np.isfinite(student.record["log"][0]["loss"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FLIPS, ENDS)
def test_a_damaged_teacher_cache_is_read_or_refused(cached, vocabulary, teacher_folder, flips, end):
    from lar.models.fingerprint import fingerprint
    from lar.scoring.store import CachedTeacher

    name = fingerprint(load_model(str(teacher_folder), device="cpu")) if not NAMES else NAMES[0]
    NAMES.append(name)
    (file,) = (cached.path / TEACHER_FOLDER).glob("*.arrow")
    content = file.read_bytes()
    file.unlink()  # a new file each time: the old one may still be mapped

    def read():
        teacher = CachedTeacher(cached, TeacherIdentity(name, 256))
        found = list(Examples(cached, vocabulary, 256, teacher))
        for example in found:
            assert (example.top.ids < vocabulary.base_size).all()
            assert np.isfinite(example.top.probabilities).all()
        return found, [shard.entropy for shard in cached.shards()]

    try:
        file.write_bytes(flip(content, flips, end))
        loads_or_explains(read)
    finally:
        file.unlink()
        file.write_bytes(content)


NAMES: list[str] = []


def test_a_run_record_is_json(corpus, vocabulary, tmp_path):
    distill(
        corpus,
        tiny.model(vocabulary.base_size),
        vocabulary,
        DistillOptions(**FEW, max_steps=1),
        tmp_path / "s",
    )
    record = json.loads((tmp_path / "s" / "distillation.json").read_text())
    assert DistillOptions.from_file(tmp_path / "s" / "distillation.json").to_dict() == record["options"]


@pytest.mark.parametrize("method", [{"quant_method": "gptq"}, SimpleNamespace(quant_method="gptq"), None])
def test_quantized_weights_are_refused_before_training(corpus, vocabulary, tmp_path, method):
    model = tiny.model(vocabulary.base_size)
    model.is_quantized = True  # as transformers marks it
    model.config.quantization_config = method
    kind = " (gptq)" if method else ""
    expected = f"the model: its weights are quantized{kind}; train on the checkpoint before"
    with pytest.raises(TrainingError, match=re.escape(expected)):
        distill(corpus, model, vocabulary, DistillOptions(**FEW, max_steps=1), tmp_path / "student")
    with pytest.raises(TrainingError, match=re.escape(expected)):
        adapt(corpus, model, AdaptOptions(max_steps=1), tmp_path / "adapted")
    assert list(tmp_path.iterdir()) == []
