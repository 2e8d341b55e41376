"""The core in forked processes, as those of `multiprocessing` and of data loaders with workers."""

import os
import subprocess
import sys

import pytest

# A process uses threads. Its child, and the child of that, find the same with threads of their own.
_PROGRAM = """
import os, sys
import numpy as np
from lar import _core

def candidates():
    tokens = np.arange(20_000, dtype=np.uint32) % 47
    offsets = np.arange(0, 20_001, 100)
    runs = _core.Runs.from_arrays(
        tokens, offsets, np.ones(200, np.uint64), np.arange(200, dtype=np.uint32), np.arange(201)
    )
    limits = _core.Limits(min_count=2, min_support=2, max_length=8, most=100)
    return [list(array) for array in runs.candidates(limits).to_arrays()]

expected = candidates()
for generation in range(2):
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert candidates() == candidates() == expected
print("the same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
