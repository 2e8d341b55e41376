"""All stages obey the split of a corpus and record it, and none accepts what has seen held-out tasks."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from lar import adapt, distill, evaluate, export, mine, score
from lar.corpus import Corpus
from lar.corpus.seen_tasks import digests_of
from lar.distillation import Student
from lar.distillation.sides import Sides
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import CorpusError, OptionError
from lar.models.causal_lm import load_model
from lar.models.trained_tasks import set_trained_tasks
from lar.scoring.distribution import EntropyDistribution
from lar.utils.task_digests import TRAINED_FILE, read_digests
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy
from testing.few_steps import FEW

SPLIT = {"hold_out": 0.3, "seed": 3}
STEPS = {**FEW, "max_steps": 1, "output_start": "first"}
ADAPT_STEPS = {**FEW, "max_steps": 1}


def build(path, tokenizer, **options):
    return Corpus.build(toy.trajectories(24), tokenizer, path, shard_tokens=1000, **options)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """Every stage's result by its defaults, on a corpus with a split."""
    folder = tmp_path_factory.mktemp("one-split")
    model = folder / "model"
    tiny.model(tokenizer.base_size).save_pretrained(model)
    tokenizer.save(model)
    corpus = build(folder / "corpus", tokenizer, hold_out=0.3, split_seed=3)
    adapt(corpus, str(model), output=folder / "teacher", evaluate_steps=1, **ADAPT_STEPS)
    score(corpus, str(folder / "teacher"), device="cpu")
    vocabulary = mine(corpus, size=12, max_entropy="p90")
    vocabulary.save(folder / "vocabulary")
    evaluated = {**STEPS, "evaluate_steps": 1}
    distill(corpus, str(folder / "teacher"), vocabulary, output=folder / "student", **evaluated)
    distill(corpus, str(folder / "teacher"), None, output=folder / "control", control=True, **evaluated)
    return folder


@pytest.fixture(scope="module")
def split(folder):
    return Corpus.load(folder / "corpus")


@pytest.fixture(scope="module")
def vocabulary(folder):
    return LatentVocabulary.load(folder / "vocabulary")


def record(file):
    return json.loads(file.read_text(encoding="utf-8"))


def test_what_is_learnt_is_the_training_side(folder, split, vocabulary):
    tasks = digests_of(split.training)
    assert vocabulary.mined_tasks == tasks
    for name in ("teacher", "student", "control"):
        assert read_digests(folder / name / TRAINED_FILE) == tasks
    assert split.teacher_tasks == tasks
    by_hand = mine(split.training, size=12, max_entropy="p90")
    assert by_hand.latents == vocabulary.latents
    assert by_hand.mining == vocabulary.mining
    nats = EntropyDistribution.of(split.training).quantile(0.9)
    assert vocabulary.mining["max_entropy_nats"] == nats


def test_every_result_records_the_split(folder, split, vocabulary):
    assert vocabulary.mining["split"] == SPLIT
    assert asdict(split.teacher)["split"] == SPLIT
    for file in ("teacher/adaptation.json", "student/distillation.json", "control/distillation.json"):
        found = record(folder / file)
        assert found["split"] == SPLIT
        assert found["tasks"] == len(split.training.tasks)
        assert any("eval_bits_per_byte" in line for line in found["log"])
    result = evaluate(split, vocabulary).to_dict()
    assert result["splits"] == {"corpus": SPLIT}
    assert result["mined_split"] == SPLIT


def test_what_is_measured_is_the_held_out_side(folder, split, vocabulary):
    result = evaluate(split, vocabulary)
    assert result.tasks == split.held_out.tasks
    assert result.seen_tasks == 0
    assert not result.in_sample
    student = Student.load(folder / "student", device="cpu")
    assert bits_per_byte(split, student) == bits_per_byte(split.held_out, student)
    teacher = bits_per_byte(split, str(folder / "teacher"))
    assert teacher == bits_per_byte(split.held_out, str(folder / "teacher"))


def test_an_export_records_the_split_and_what_was_seen(folder, split):
    done = export(folder / "student", folder / "export", gates="none")
    assert done.record["split"] == SPLIT
    card = (folder / "export" / "README.md").read_text(encoding="utf-8")
    assert "A share of 0.3 of the tasks (seed 3) was held out in mining and training." in card
    assert read_digests(folder / "export" / TRAINED_FILE) == digests_of(split.training)


def test_selected_tasks_are_used_as_they_are(split, vocabulary, caplog):
    assert mine(split.select(lambda _: True), size=4).mining["tasks"] == 24
    assert evaluate(split.training, vocabulary).in_sample
    assert "every task was seen in mining" in caplog.text


def test_the_evaluation_of_a_run_needs_a_split_or_conversations(tokenizer, tmp_path):
    corpus = build(tmp_path / "corpus", tokenizer)
    with pytest.raises(OptionError, match="lar corpus --hold-out"):
        adapt(corpus, tiny.model(tokenizer.base_size), **ADAPT_STEPS, evaluate_steps=1)


@pytest.fixture(scope="module")
def other(folder, tokenizer, tmp_path_factory):
    """Another split of the same tasks: what was made by the first has seen some of its held-out ones."""
    corpus = build(tmp_path_factory.mktemp("other") / "corpus", tokenizer, hold_out=0.3, split_seed=4)
    assert corpus.held_out.tasks & Corpus.load(folder / "corpus").training.tasks
    return corpus


def test_a_vocabulary_that_has_seen_held_out_tasks_is_refused(other, vocabulary, tokenizer):
    model = tiny.model(tokenizer.base_size)
    for stage in (
        lambda: evaluate(other, vocabulary),
        lambda: mine(other, update=vocabulary),
        lambda: distill(other, model, vocabulary, **STEPS),
        lambda: bits_per_byte(other, Student.begin(model, vocabulary, options())),
    ):
        with pytest.raises(CorpusError, match=r"was mined on \d+ of its \d+ held-out tasks \('toy/"):
            stage()


def options():
    from lar.distillation import DistillOptions

    return DistillOptions(**STEPS)


def test_a_model_that_has_seen_held_out_tasks_is_refused(folder, other):
    teacher = str(folder / "teacher")
    loaded = load_model(teacher, device="cpu")
    student = Student.load(folder / "control", device="cpu")
    latents = mine(other, size=4)
    for stage, named in (
        (lambda: score(other, teacher), "teacher"),
        (lambda: adapt(other, teacher, **ADAPT_STEPS), "teacher"),
        (lambda: distill(other, teacher, latents, **STEPS), "teacher"),
        (lambda: distill(other, loaded, latents, **STEPS), "the model"),
        (lambda: bits_per_byte(other, teacher), "the model"),
        (lambda: bits_per_byte(other, student), "the model"),
        (
            lambda: distill(
                other, str(folder / "model"), None, start_from=folder / "control", control=True, **STEPS
            ),
            "control",
        ),
    ):
        with pytest.raises(CorpusError, match=rf"{named}.* was trained on \d+ of its \d+ held-out tasks"):
            stage()
    assert bits_per_byte(other, student, allow_seen=True).bytes
    assert other.teacher is None


def test_scores_of_a_teacher_that_has_seen_held_out_tasks_are_refused(folder, tokenizer, tmp_path):
    corpus = build(tmp_path / "corpus", tokenizer, hold_out=0.3, split_seed=3)
    score(corpus, str(folder / "teacher"), device="cpu")
    mine(corpus, size=4)
    again = build(tmp_path / "corpus", tokenizer, hold_out=0.3, split_seed=4)
    with pytest.raises(CorpusError, match=r"its teacher teacher was trained on"):
        mine(again, size=4)
    tiny.model(tokenizer.base_size, seed=5).save_pretrained(tmp_path / "untrained")
    score(again, str(tmp_path / "untrained"), device="cpu", overwrite=True)
    assert asdict(again.teacher)["split"] == {"hold_out": 0.3, "seed": 4}
    assert mine(again, size=4).size == 4


def test_a_model_in_memory_has_seen_what_it_was_trained_on(split, other, tokenizer):
    model = adapt(split, tiny.model(tokenizer.base_size), **ADAPT_STEPS)
    with pytest.raises(CorpusError, match="was trained on"):
        score(other, model)
    again = adapt(split, model, **ADAPT_STEPS)
    student = distill(split, again, None, control=True, **STEPS)
    assert student.trained_tasks == digests_of(split.training)


def test_a_result_has_seen_what_its_teacher_and_its_earlier_student_saw(tokenizer, tmp_path):
    split = build(tmp_path / "corpus", tokenizer, hold_out=0.3)
    model = tiny.model(tokenizer.base_size)
    set_trained_tasks(model, frozenset({"a" * 16}))
    earlier = SimpleNamespace(folder="earlier", trained_tasks=frozenset({"b" * 16}))
    sides = Sides.of(split, None, options(), model, tiny.no_latents(split), earlier)
    assert sides.trained_tasks == digests_of(split.training) | {"a" * 16, "b" * 16}


def test_held_out_conversations_that_the_run_learns_are_refused(split, tokenizer):
    model = tiny.model(tokenizer.base_size)
    with pytest.raises(CorpusError, match="the run would be trained on"):
        adapt(split.training, model, **ADAPT_STEPS, evaluate_steps=1, held_out=split.training)


def test_without_any_split_what_was_seen_is_a_warning(tokenizer, tmp_path, caplog):
    corpus = build(tmp_path / "corpus", tokenizer)
    student = distill(corpus, tiny.model(tokenizer.base_size), None, control=True, **STEPS)
    assert bits_per_byte(corpus, student).bytes
    assert "every task was seen in training" in caplog.text
    with pytest.raises(CorpusError, match="was trained on"):
        bits_per_byte(corpus.split(0.3)[1], student)
