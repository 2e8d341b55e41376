"""The sandbox: what a program may not do, it cannot do, and nothing of it is left running."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benches.agents import sandbox
from benches.agents.sandbox import Limits, run_python

absent = [tool for tool in sandbox.TOOLS if sandbox.shutil.which(tool) is None]
QUICK = Limits(seconds=2)


def is_usable():
    try:
        return not absent and run_python("print(1)").output == "1\n"
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not is_usable(), reason="needs bubblewrap, and namespaces that it may make")


def test_what_a_program_prints_is_read():
    assert run_python("import sys\nprint(1 + 1)\nprint('no', file=sys.stderr)").output == "2\nno\n"
    assert run_python("raise SystemExit(3)").exit_code == 3
    assert run_python("def test_it(): assert True", module=("pytest", "-q")).exit_code == 0
    assert run_python("def test_it(): assert False", module=("pytest", "-q")).exit_code == 1


def test_a_program_that_never_ends_is_stopped():
    assert run_python("while True: pass", QUICK).exit_code is None


def running():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_a_program_that_forks_ends_with_all_its_processes():
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(300)\n"
    bomb = "import os\nwhile True:\n    os.fork()\n"
    assert run_python(program, QUICK).exit_code == 0
    found = run_python(bomb, QUICK)
    assert found.exit_code is None or "Resource temporarily unavailable" in found.output
    for _ in range(300):  # the kernel ends them a little later
        if sandbox._PROGRAM not in running():
            return
        time.sleep(0.1)
    pytest.fail(running())


def test_nothing_is_written_elsewhere(tmp_path):
    tmp_path.chmod(0o777)
    target = tmp_path / "written"
    found = run_python(f"open({str(target)!r}, 'w').write('x')")
    assert found.exit_code == 1
    assert not target.exists()
    assert run_python("open('mine', 'w').write('x'); print(open('mine').read())").output == "x\n"
    assert run_python("import os; print(os.listdir('.'))").output == "['program.py']\n"
    assert not Path(sandbox._FOLDER, "mine").exists()


def test_what_lies_in_home_folders_is_not_seen():
    home = Path.home()
    seen = run_python(f"import os\nprint([n for n in os.listdir({str(home)!r}) if not n.startswith('.')])")
    assert seen.output == "[]\n" or home not in [Path(folder) for folder in sandbox._HIDDEN]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)", "Connection refused"),
        ("import socket\nsocket.create_connection(('192.0.2.1', 80), 1)", "unreachable"),
        ("text = ' ' * (2 << 30)", "MemoryError"),
        ("open('large', 'w').write('x' * (20 << 20))", "File too large"),
        ("for n in range(9): open(str(n), 'w').write('x' * (4 << 20))", "No space left"),
    ],
)
def test_a_limit_is_an_error_of_the_program(program, error):
    found = run_python(program)
    assert found.exit_code == 1
    assert error in found.output


def test_output_is_cut():
    assert len(run_python("print('x' * 10_000_000)", replace(QUICK, output=100)).output) == 100


def test_without_its_tools_no_program_runs(monkeypatch):
    monkeypatch.setattr(sandbox, "TOOLS", ("no-such-tool",))
    with pytest.raises(SystemExit, match="the sandbox needs no-such-tool"):
        run_python("print(1)")
