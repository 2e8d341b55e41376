"""The build backend: maturin's, with Cargo's output outside the checkout.

pip builds where the sources are, and Cargo would leave 190 MB in `target/`. A wheel is compiled in a
temporary folder instead, unless CARGO_TARGET_DIR names another one. Editable installs keep `target/`, so that
the next one is quick.
"""

import os
import tempfile
from collections.abc import Mapping
from typing import Any
from unittest import mock

import maturin
from maturin import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Return the file name of the wheel that was built in `wheel_directory` (PEP 517)."""
    with tempfile.TemporaryDirectory(prefix="lar-build-", ignore_cleanup_errors=True) as folder:
        environment = {"CARGO_TARGET_DIR": folder} | os.environ
        with mock.patch.dict(os.environ, environment):
            return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
