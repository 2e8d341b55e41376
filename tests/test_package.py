"""The package as a whole: what importing it costs, and stubs that match the compiled module."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lar
from lar import _core

ROOT = Path(__file__).parent.parent


def test_importing_takes_neither_torch_nor_the_command_line_nor_slow_libraries():
    program = (
        "import sys, lar, lar.vocabulary, lar.mining, lar.evaluation, lar.corpus, lar.trajectories; "
        "slow = ('torch', 'transformers', 'peft', 'pydantic', 'fsspec', 'click', 'rich'); "
        "print([m for m in slow if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", lar.__all__)
def test_every_public_name_is_there_and_explained(name):
    assert getattr(lar, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'surprise'"):
        _ = lar.surprise


def test_what_copies_is_a_method():
    """An attribute may be read in a loop: each of the core's is something that is there already."""
    attributes = {
        f"{name}.{attribute}"
        for name, value in vars(_core).items()
        if inspect.isclass(value)
        for attribute, descriptor in vars(value).items()
        if inspect.isgetsetdescriptor(descriptor)
    }
    assert attributes == {
        "Limits.min_count",
        "Limits.min_support",
        "Limits.max_length",
        "Limits.most",
        "Selection.pool",
        "Runs.distinct_tokens",
        "Runs.total_tokens",
        "Stream.units",
        "Stream.base_tokens",
        "Stream.finish_reason",
        "Stream.stop_reason",
        "CanonicalGuard.units",
        "CanonicalGuard.overtaken",
    }


@pytest.mark.slow
def test_the_stubs_are_those_of_the_compiled_module():
    pytest.importorskip("mypy", reason="needs mypy")
    result = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "lar._core"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
