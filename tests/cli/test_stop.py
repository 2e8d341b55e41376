"""Ctrl-C and SIGTERM: one line that tells how to go on, an exit code of their own, and no traceback."""

import os
import signal
import subprocess
import sys

import pytest

from lar.trajectories import write_trajectories
from testing import toy

# Sends Ctrl-C when a module is imported, or when a function is called.
EARLY = """
import builtins, os, signal, sys
sys.argv = ["lar", "--help"]
load = builtins.__import__
def watched(name, *rest):
    if name == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *rest)
builtins.__import__ = watched
from lar.__main__ import main
main()
"""
LATER = """
import os, signal, sys
_, number, *arguments = sys.argv
sys.argv = ["lar", *arguments]
from lar.corpus import Corpus
def stopped(*_, **__):
    os.kill(os.getpid(), int(number))
    raise AssertionError("not stopped")
Corpus.load = Corpus.build = stopped
if sys.argv[1] == "demo":
    import lar.demo.run
    lar.demo.run.run_demo = stopped
from lar.__main__ import main
main()
"""


# A program that is started in the background ignores Ctrl-C, and what it starts inherits that.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def stopped(program, *arguments, number=signal.SIGINT):
    command = [sys.executable, "-c", HEARD + program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 128 + number, result
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.split("\n")[-2:-1]
    assert result.stderr.strip() == line
    return line


@pytest.mark.parametrize("module", ["lar.cli", "click", "lar.errors", "lar.cli.common"])
def test_in_the_first_moments(module):
    program = EARLY.format(module=module).replace('"--help"', '"mine", "--help"')
    assert stopped(program) == "lar: stopped; nothing was written"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("corpus", "run the same command again to continue"),
        ("score", "run the same command again to continue"),
        ("mine", "nothing was written"),
        ("demo", "remove its folder, or choose another, before you run it again"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_command_names_how_to_go_on(command, expected, number, tmp_path, tokenizer):
    write_trajectories(toy.trajectories(3), tmp_path / "t.jsonl")
    tokenizer.save(tmp_path / "model")
    logs, model, out = tmp_path / "t.jsonl", tmp_path / "model", tmp_path / "out"
    arguments = {
        "corpus": (logs, "--tokenizer", model, "-o", out),
        "score": (tmp_path, "--model", model),
        "mine": (logs, "--tokenizer", model, "-o", out),
        "demo": ("-o", out),
    }[command]
    line = stopped(LATER, int(number), command, *arguments, number=number)
    assert line == f"lar: stopped; {expected}"
    assert not out.exists()


def test_the_handler_is_left_as_it_was(run):
    before = signal.getsignal(signal.SIGINT)
    run("--help")
    assert signal.getsignal(signal.SIGINT) is before


# A call into compiled code that takes minutes, during which Python hears no signal.
LONG = (
    HEARD
    + """
import hashlib, sys
from lar.corpus import Corpus
def long(*_, **__):
    while True:
        try:
            print("running", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"text", b"salt", 2**30)
        except KeyboardInterrupt:
            pass  # it came before the call had begun
Corpus.build = long
sys.argv = ["lar", "mine", *sys.argv[1:]]
from lar.__main__ import main
main()
"""
)


def in_a_long_call(tmp_path, tokenizer):
    """A command within a call into compiled code."""
    write_trajectories(toy.trajectories(3), tmp_path / "t.jsonl")
    tokenizer.save(tmp_path / "model")
    arguments = (tmp_path / "t.jsonl", "--tokenizer", tmp_path / "model", "-o", tmp_path / "out")
    command = [sys.executable, "-c", LONG, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="the test sends Ctrl-C as a signal")
def test_a_second_ctrl_c_ends_a_long_call(tmp_path, tokenizer):
    with in_a_long_call(tmp_path, tokenizer) as process:
        process.send_signal(signal.SIGINT)
        expected = "lar: stopping after this step; press Ctrl-C again to stop at once\n"
        assert process.stderr.readline() == expected
        process.send_signal(signal.SIGINT)
        assert process.stderr.readlines() == ["lar: stopped\n"]
        assert process.wait() == 130


@pytest.mark.skipif(sys.platform == "win32", reason="the test sends a signal")
def test_sigterm_ends_a_long_call_by_itself(tmp_path, tokenizer):
    with in_a_long_call(tmp_path, tokenizer) as process:
        process.send_signal(signal.SIGTERM)
        (line,) = process.stderr.readlines()
        assert line.startswith("lar: stopped")  # and how to go on, if it came before the call had begun
        assert process.wait() == 143


# The command takes longer to remove its files than the signal has to be heard.
SLOW_END = """
import os, signal, time
from lar.cli import interrupt
interrupt._GRACE = 0.1
interrupt.watch_interrupts()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
finally:
    time.sleep(1)
    print("removed", flush=True)
"""


def test_sigterm_leaves_the_time_to_remove_files():
    result = subprocess.run([sys.executable, "-c", SLOW_END], capture_output=True, text=True, check=False)
    assert result.stdout == "removed\n", result


# A pool of a user's success function forks its processes, and ends them by SIGTERM.
FORKS = """
import os, signal, time
from lar.cli import interrupt
interrupt._GRACE = 0.1
interrupt.watch_interrupts()
child = os.fork()
if child == 0:
    time.sleep(60)
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
time.sleep(1)
print("alive")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_the_end_of_a_forked_process_is_not_the_end_of_the_command():
    result = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "alive\n"), result
