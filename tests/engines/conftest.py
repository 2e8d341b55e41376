"""Fixtures of the tests against engines and agent frameworks that are installed, unmodified."""

import os
from pathlib import Path

import pytest
from openclaw_agent import VARIABLE, OpenClaw


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
