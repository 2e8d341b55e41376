"""Fixtures of the tests against engines and agent frameworks that are installed, unmodified."""

import os
from pathlib import Path

import pytest

from testing.engines import toy_export
from testing.engines.engines import engine_model
from testing.engines.openclaw_agent import VARIABLE, OpenClaw


@pytest.fixture(scope="session")
def openclaw() -> OpenClaw:
    """OpenClaw as `LAR_OPENCLAW` names it; skips where that is not set."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"needs OpenClaw (set {VARIABLE} to a folder with its node_modules; docs/openclaw.md)")
    installation = OpenClaw(Path(folder))
    if installation.missing:
        pytest.fail(
            f"{VARIABLE}: {installation.missing[0]} is missing (docs/openclaw.md says what to install)"
        )
    return installation


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a toy student that is distilled here: it is sure of what it writes."""
    return toy_export.make(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session", params=["student", "control"])
def pretrained(request: pytest.FixtureRequest) -> Path:
    """The exports of SmolLM2 after distillation, with latents and without; skips where they were not made."""
    return engine_model(request.param)
