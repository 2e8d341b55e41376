"""What a process has in temporary folders is left alone by processes that are forked from it."""

import os
import subprocess
import sys

import pytest

_FORK = """
import os, sys

def child_ends():
    if not (child := os.fork()):
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""

_CORPUS = f"""{_FORK}
import lar
from testing import toy

corpus = lar.Corpus.build(toy.trajectories(5), toy.tokenizer())
rows = list(corpus)
child_ends()
assert list(corpus) == rows
if not (child := os.fork()):
    del corpus
    os._exit(0)
os.waitpid(child, 0)
assert list(corpus) == rows
path = corpus.path
del corpus
assert not path.exists()
print("done")
"""

_BLOCK = f"""{_FORK}
from lar.utils.files import temporary_folder

with temporary_folder() as folder:
    child_ends()
    assert folder.exists()
assert not folder.exists()
print("done")
"""

# The members of a piped archive are read from a copy, one after another.
_READING = f"""{_FORK}
import zipfile
from pathlib import Path
import lar
from testing import toy

folder = Path(sys.argv[1])
with zipfile.ZipFile(folder / "logs.zip", "w") as archive:
    for number in range(3):
        lar.write_trajectories(toy.trajectories(1, number), folder / "one.jsonl")
        archive.write(folder / "one.jsonl", f"{{number}}.jsonl")
os.dup2(os.open(folder / "logs.zip", os.O_RDONLY), 0)
reading = iter(lar.read_trajectories("-"))
ids = [next(reading).id]
child_ends()
ids += [found.id for found in reading]
assert ids == [f"toy-{{number}}" for number in range(3)], ids
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("program", [_CORPUS, _BLOCK, _READING], ids=["corpus", "block", "reading"])
def test_a_forked_process_removes_nothing_of_the_one_before(program, tmp_path):
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
