"""Make LLM agents cheaper by giving them bigger actions: Latent Action Reparameterization.

    trajectories = lar.read_trajectories("logs/")
    corpus = lar.Corpus.build(trajectories, "Qwen3-8B/")
    vocabulary = lar.mine(corpus)
    units = vocabulary.encode_text(text)  # what an engine reads for it
    assert vocabulary.text(units) == text

`import lar` is quick and needs no torch: each name is imported when it is first used.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lar._core import __version__ as __version__
    from lar.corpus import Corpus
    from lar.distillation import Student
    from lar.distillation.adapt import adapt
    from lar.distillation.distill import distill
    from lar.evaluation.boundary.sweep import sweep
    from lar.evaluation.estimate import estimate
    from lar.evaluation.reduction import evaluate
    from lar.evaluation.reporting.write import report
    from lar.generation.generate import generate
    from lar.mining.mine import mine
    from lar.scoring.score import score
    from lar.serving.export import export
    from lar.tokenizer.tokenizer import Tokenizer
    from lar.trajectories import Report, Trajectory, read_trajectories, write_trajectories
    from lar.vocabulary.vocabulary import LatentVocabulary

# What the package does is logged below `lar`, and shown where the program configures logging.
logging.getLogger("lar").addHandler(logging.NullHandler())

# Public name -> the module that has it.
_MODULES = {
    "__version__": "lar._core",
    "Corpus": "lar.corpus",
    "LatentVocabulary": "lar.vocabulary",
    "Report": "lar.trajectories",
    "Student": "lar.distillation",
    "Tokenizer": "lar.tokenizer",
    "Trajectory": "lar.trajectories",
    "adapt": "lar.distillation.adapt",
    "distill": "lar.distillation.distill",
    "estimate": "lar.evaluation",
    "evaluate": "lar.evaluation",
    "export": "lar.serving.export",
    "generate": "lar.generation",
    "mine": "lar.mining",
    "read_trajectories": "lar.trajectories",
    "report": "lar.evaluation.reporting.write",
    "score": "lar.scoring.score",
    "sweep": "lar.evaluation.boundary.sweep",
    "write_trajectories": "lar.trajectories",
}

__all__ = [
    "Corpus",
    "LatentVocabulary",
    "Report",
    "Student",
    "Tokenizer",
    "Trajectory",
    "adapt",
    "distill",
    "estimate",
    "evaluate",
    "export",
    "generate",
    "mine",
    "read_trajectories",
    "report",
    "score",
    "sweep",
    "write_trajectories",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'lar' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
