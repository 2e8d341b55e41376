"""A sweep's folder: its students have one base, the same entropies and one measure."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

from safetensors.torch import load_file, save_file

from lar.cli.sweep import load_function
from lar.corpus import Corpus
from lar.distillation import DistillOptions
from lar.errors import OptionError
from lar.evaluation.boundary.claim import claim
from testing import toy
from testing.scores import TEACHER, score_with

STEPS = DistillOptions(max_steps=3, device="cpu")


@pytest.fixture
def claimed(tokenizer, teacher_folder, tmp_path):
    """Claims one folder for the corpus and the model in two other folders."""
    model = shutil.copytree(teacher_folder, tmp_path / "model")
    corpus = Corpus.build(toy.trajectories(8), tokenizer, tmp_path / "corpus", hold_out=0.25)

    def again(success=None, *, gated=False):
        claim(
            tmp_path / "out", Corpus.load(corpus.path), model, STEPS, success and load(success), gated=gated
        )

    def load(file):
        return load_function(f"{file}:solved")

    return again


def rewritten(model):
    """Change the weights of a model in place."""
    weights = {name: value + 1 for name, value in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", {"format": "pt"})


def test_a_folder_takes_the_students_of_one_base(claimed, tmp_path):
    claimed()
    claimed()
    rewritten(tmp_path / "model")
    with pytest.raises(OptionError, match=r"out: a sweep with other weights in the model's folder; choose"):
        claimed()


def scored(corpus, teacher):
    """Score the corpus by a made-up teacher."""
    score_with(Corpus.load(corpus), lambda shard: np.zeros(len(shard.tokens)), teacher)


def test_gates_of_a_folder_are_by_the_entropies_of_one_teacher(claimed, tmp_path):
    corpus = tmp_path / "corpus"
    claimed()
    scored(corpus, TEACHER)  # no student depends on entropies so far
    claimed(gated=True)
    for other in ({"fingerprint": "another"}, {"max_length": 64}):
        scored(corpus, replace(TEACHER, **other))
        with pytest.raises(OptionError, match="a sweep with other entropies of the corpus"):
            claimed(gated=True)
    claimed()
    scored(corpus, TEACHER)
    claimed(gated=True)


def test_the_n_grams_entropies_are_others_than_a_teachers(claimed, tmp_path):
    claimed(gated=True)
    claimed(gated=True)
    scored(tmp_path / "corpus", TEACHER)
    with pytest.raises(OptionError, match="a sweep with other entropies of the corpus"):
        claimed(gated=True)


def test_the_file_of_a_world_stays_as_it_is(claimed, tmp_path):
    world, other = tmp_path / "world.py", tmp_path / "other.py"
    for file in (world, other):
        file.write_text("def solved(student):\n    return [True]\n")
    claimed(world)
    claimed(world)
    with pytest.raises(OptionError, match="a sweep with another success; choose"):
        claimed(other)
    world.write_text("def solved(student):\n    return [not True]\n")
    with pytest.raises(OptionError, match=r"a sweep with another content of \S+world\.py; choose"):
        claimed(world)


def test_the_line_names_all_that_is_another(claimed, tmp_path):
    claimed(gated=True)
    record = json.loads((tmp_path / "out" / "sweep.json").read_text())
    changed = record | {"tokens": 1, "base": "0", "entropies": {"fingerprint": "0"}}
    (tmp_path / "out" / "sweep.json").write_text(json.dumps(changed))
    with pytest.raises(OptionError) as caught:
        claimed(gated=True)
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: a sweep with another number of tokens in the corpus and other entropies of the"
        " corpus (it was scored since, or by another teacher) and other weights in the model's folder;"
        " choose another folder"
    )
