"""The examples in the docstrings of the public names run, on the toy agent's logs."""

import doctest
import importlib

import pytest

import lar
from testing import toy

# Their examples need torch and minutes: docs and README have them.
WITHOUT = {"Student", "adapt", "distill", "export", "generate", "score", "sweep"}
MODULES = [
    "lar.utils.words",
    "lar.trajectories.schema",
    "lar.trajectories.raw",
    "lar.trajectories.draft",
    "lar.trajectories.read",
    "lar.trajectories.write",
    "lar.tokenizer.tokenizer",
    "lar.corpus.corpus",
    "lar.vocabulary.latent",
    "lar.vocabulary.vocabulary",
    "lar.mining.mine",
    "lar.evaluation.reduction",
    "lar.evaluation.reporting.write",
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, tokenizer, corpus, vocabulary, tmp_path):
    names = {
        "lar": lar,
        "Message": dict,
        "trajectories": toy.trajectories(12),
        "tokenizer": tokenizer,
        "corpus": corpus,
        "vocabulary": vocabulary,
        "folder": tmp_path,
    }
    found = importlib.import_module(module)
    examples = doctest.DocTestFinder(exclude_empty=True).find(found, extraglobs=names)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    lines: list[str] = []
    for example in examples:
        runner.run(example, out=lines.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(lines)
    assert runner.tries > 0


@pytest.mark.parametrize("name", sorted(set(lar.__all__) - WITHOUT))
def test_every_public_name_that_is_quick_has_an_example(name):
    assert ">>>" in getattr(lar, name).__doc__
