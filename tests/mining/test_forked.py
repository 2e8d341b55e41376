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
print("done")
"""

# Children read spilled runs while the others do. One cannot write on where its parent does.
_SPILLED = """
import os, sys, tempfile
import numpy as np
from lar import _core

def part(seed):
    tokens = np.random.default_rng(seed).integers(0, 5000, 100_000).astype(np.uint32)
    offsets = np.arange(0, 100_001, 50)
    return tokens, offsets, np.ones(100_000, np.bool_), np.arange(2_000, dtype=np.uint32)

def folder():
    folder = _core.RunFolder(np.zeros(0, np.uint32), (1 << 18, tempfile.gettempdir()))
    folder.add(*part(0))
    return folder

def arrays():
    return [array.tobytes() for array in runs.to_arrays()]

runs, half = folder().finish(), folder()
expected = arrays()
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        assert all(arrays() == expected for _ in range(30))
        try:
            half.add(*part(1))
        except OSError as error:
            assert "forked" in str(error)
            os._exit(0)
        os._exit(1)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
half.add(*part(1))
assert half.finish().total_tokens == 200_000
print("done")
"""

# Threads of a child share a parse, of which some read and some learn.
_SHARED = """
import os, sys, threading, time
import numpy as np
from lar import _core

parse = _core.ServedParse(
    np.arange(256, dtype=np.uint8), np.arange(257), np.zeros(0, np.uint32), (True, True, True),
    np.array([97, 98], np.uint32), np.array([0, 2]),
)
tokens = np.random.default_rng(0).integers(97, 101, 20_000).astype(np.uint32)
action, offsets = np.ones(20_000, np.bool_), np.arange(0, 20_001, 100)

def reads():
    for _ in range(100):
        parse.plan(tokens, action, offsets)
        parse.with_segments(np.array([97, 98], np.uint32), np.array([0, 2]))

def learns():
    for number in range(1_000):
        length = number % 50 + 1
        parse.learn(["c" * length], np.full(length, 99, np.uint32), np.array([0, length]))

if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
threads = [threading.Thread(target=work, daemon=True) for work in (reads, learns) * 3]
[thread.start() for thread in threads]
end = time.monotonic() + 200
[thread.join(max(0, end - time.monotonic())) for thread in threads]
if not any(thread.is_alive() for thread in threads):
    print("done", flush=True)
os._exit(0)
"""

# The callback of an audit may hold locks, and threads of the pool take up other work: they must not run it.
_AUDITED = """
import os, sys, threading
import numpy as np
from lar import _core

if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
tokens, tasks = np.tile(np.array([1, 2, 3], np.uint32), 4), np.arange(4, dtype=np.uint32)
runs = _core.Runs.from_arrays(tokens, np.arange(0, 13, 3), np.ones(4, np.uint64), tasks, np.arange(5))
candidates = runs.candidates(_core.Limits(min_count=2, min_support=2, max_length=8, most=10))
asked = []

def fails(selection):
    asked.append(threading.get_ident())
    return np.arange(len(selection)) == len(asked) - 1

_, dropped, audits = runs.select(candidates, 2).audited(fails)
assert dropped > 0 and audits == len(asked)
assert set(asked) == {threading.get_ident()}
print("done")
"""

# Children are forked while another thread works with what they work with then: `busy` goes on and on, `child`
# is done once in each. A child that waits for the other thread is ended by its alarm.
_BESIDE = """
import os, signal, sys, threading, time

def fork_beside(busy, child):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            busy()

    thread = threading.Thread(target=work)
    thread.start()
    ends = []
    while len(ends) < 16 and not any(ends):
        soon = time.monotonic() + 0.01
        while time.monotonic() < soon:
            pass  # asks for the interpreter, so that the other thread is stopped wherever it detaches
        if not (forked := os.fork()):
            signal.alarm(30)
            child()
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
    stop.set()
    thread.join()
    assert ends == [0] * 16, ends
    print("done")
"""

# A text is learnt in each child.
_READ_BESIDE = f"""{_BESIDE}
import numpy as np
from lar import _core

parse = _core.ServedParse(
    np.arange(256, dtype=np.uint8), np.arange(257), np.zeros(0, np.uint32), (True, True, True),
    np.array([97, 98], np.uint32), np.array([0, 2]),
)
tokens = np.random.default_rng(0).integers(97, 101, 200_000).astype(np.uint32)
action, offsets = np.ones(200_000, np.bool_), np.arange(0, 200_001, 100)
fork_beside(
    lambda: parse.plan(tokens, action, offsets),
    lambda: parse.learn(["c"], np.array([99], np.uint32), np.array([0, 1])),
)
"""

# The thread of the parent does not come back from the tokenizer before the child has encoded the same text.
_ENCODED_BESIDE = """
import os, signal, threading
import numpy as np
from lar.tokenizer import pieces
from lar.vocabulary import served_parse
from lar.vocabulary.segments import Segments
from testing import toy

tokenizer = toy.tokenizer()
parse = served_parse.ServedParse(tokenizer, Segments.of([tokenizer.encode("the us")]))
ids = tokenizer.encode("the username")
arguments = ids, np.ones(len(ids), np.bool_), np.array([0, len(ids)])
encoding, forked = threading.Event(), threading.Event()

def encode_late(*arguments):
    encoding.set()
    forked.wait()
    return pieces.encode_pieces(*arguments)

def child():
    served_parse.encode_pieces = pieces.encode_pieces
    assert len(parse.parse(*arguments).units) < len(ids)

served_parse.encode_pieces = encode_late
thread = threading.Thread(target=parse.parse, args=arguments, daemon=True)
thread.start()
encoding.wait()
if not (process := os.fork()):
    signal.alarm(30)
    child()
    os._exit(0)
assert os.waitpid(process, 0)[1] == 0
forked.set()
thread.join()
print("done")
"""

# Each text of a stream becomes a Python string when it is first needed.
_STREAMED_BESIDE = f"""{_BESIDE}
import numpy as np
from lar import _core

texts = [b"%05d" % number for number in range(20_000)]
bytes_of_tokens = np.frombuffer(b"".join(texts), np.uint8), np.arange(0, 100_001, 5)
vocabulary = _core.Vocabulary(20_000, np.zeros(0, np.uint32), np.array([0]))

def expander():
    return _core.Expander(vocabulary, *bytes_of_tokens)

def push_all(expander):
    stream = expander.stream([])
    assert all(stream.push(unit) == texts[unit].decode() for unit in range(20_000))

shared = expander()

def busy():
    global shared
    shared = expander()
    push_all(shared)

fork_beside(busy, lambda: push_all(shared))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize(
    "program",
    [_PROGRAM, _SPILLED, _SHARED, _AUDITED, _READ_BESIDE, _ENCODED_BESIDE, _STREAMED_BESIDE],
    ids=["alone", "spilled", "shared", "audited", "read beside", "encoded beside", "streamed beside"],
)
def test_a_forked_process_works_as_the_one_before(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
