"""Fixtures that all tests share."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings

from lar.corpus import Corpus
from lar.mining.mine import mine
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy

# Before torch is imported: several threads slow down the small matrices of the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest-xdist gives its processes the width of its terminal: commands would fold their sentences to it.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")  # readline sets it for child processes, without os.environ

# Without deadlines, because a busy machine must not fail a test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent

# For --strict-warnings; of several that fit, the last one holds.
STRICT_WARNINGS = (
    "error",
    *(
        f"{action}::{category}{module}"
        for action, module in (("default", ""), ("error", ":(lar|test_)"))
        for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-warnings",
        action="store_true",
        help="every warning is an error, but for a deprecation that a dependency's own code causes",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("strict_warnings"):
        for line in STRICT_WARNINGS:
            config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def _log_level():
    """Let each test see what is logged: a command of an earlier one may have asked for quiet."""
    logging.getLogger("lar").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real trajectories and tokenizers beside the repository; skips where there is none."""
    folder = Path(os.environ.get("LAR_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the real trajectories and tokenizers of {folder.name}/ (set LAR_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The toy agent's tokenizer."""
    return toy.tokenizer()


@pytest.fixture(scope="session")
def corpus(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Sixty runs of the toy agent, each at a task of its own."""
    return Corpus.build(toy.trajectories(60), tokenizer, tmp_path_factory.mktemp("toy") / "corpus")


@pytest.fixture(scope="session")
def vocabulary(corpus: Corpus) -> LatentVocabulary:
    """Latents of the toy agent."""
    return mine(corpus, size=12)


@pytest.fixture(scope="session")
def teacher_folder(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows the toy agent's text, with its tokenizer."""
    from testing import tiny  # here, so that other tests need no torch

    folder = tmp_path_factory.mktemp("teacher") / "model"
    tiny.teacher(corpus).save_pretrained(folder)
    corpus.tokenizer.save(folder)
    return folder
