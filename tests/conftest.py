"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real trajectories and tokenizers beside the repository; skips where there is none."""
    folder = Path(os.environ.get("LAR_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the real trajectories and tokenizers of {folder.name}/ (set LAR_SHARED)")
    return folder
