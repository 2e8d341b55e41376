"""Fixtures for the tests against unmodified engines and agent frameworks."""

import os
from pathlib import Path

import pytest

from testing.engines import toy_export
from testing.engines.engines import engine_model
from testing.engines.openclaw_agent import VARIABLE, OpenClaw


@pytest.fixture(scope="session")
def openclaw() -> OpenClaw:
    """The OpenClaw of `LAR_OPENCLAW`; skips where that is unset."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"needs OpenClaw (set {VARIABLE} to a folder with its node_modules; docs/openclaw.md)")
    installation = OpenClaw(Path(folder))
    if installation.missing:
        pytest.fail(
            f"{VARIABLE}: {installation.missing[0]} is missing (docs/openclaw.md explains the installation)"
        )
    return installation


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a toy student, distilled here."""
    return toy_export.make(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session", params=["student", "control"])
def pretrained(request: pytest.FixtureRequest) -> Path:
    """The exports of distilled SmolLM2, with latents and without; skips where they are missing."""
    return engine_model(request.param)
