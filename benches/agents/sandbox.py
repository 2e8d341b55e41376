"""Runs a program that a model wrote: without a network, and with limits of time, memory, processes and files.

The isolation is bubblewrap's (`bwrap`, on Linux): the program gets its own process, network and mount
namespaces, sees the file system read-only, and can write to nothing but an empty folder in memory. When the
time is up, or the caller dies, the kernel ends every process that the program started, since they share its
process namespace. `prlimit` sets the other limits.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("bwrap", "prlimit", "setpriv")
_NOBODY = 65534
_PROGRAM = "program.py"
_FOLDER = "/tmp"  # of the program; in memory
_HIDDEN = ("/root", "/home", "/run", "/var")  # empty for the program


@dataclass(frozen=True)
class Limits:
    """seconds: wall time. memory: bytes of address space of a process. files: bytes of all written files.

    processes: at most so many at a time. output: bytes that are kept of what the program prints.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    files: int = 16 << 20
    processes: int = 64
    output: int = 4000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Outcome:
    """What a program did. `exit_code` is None where the time was up; `output` has both its streams."""

    exit_code: int | None
    output: str


def check_available() -> None:
    """SystemExit with one line where the sandbox's tools are absent."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        raise SystemExit(
            f"the sandbox needs {' and '.join(absent)} (Debian: apt-get install bubblewrap util-linux);"
            " no program runs without it"
        )


def run_python(program: str, limits: Limits = DEFAULT_LIMITS, module: Sequence[str] = ()) -> Outcome:
    """Run a Python program in an empty folder; with `module`, `python -m *module program.py`."""
    check_available()
    with tempfile.NamedTemporaryFile(suffix=".py") as file:
        file.write(program.encode("utf-8", "replace"))
        file.flush()
        Path(file.name).chmod(0o644)
        options = ("-m", *module) if module else ()
        return _run([*_isolation(file.name, limits), sys.executable, "-Bu", *options, _PROGRAM], limits)


def _run(command: list[str], limits: Limits) -> Outcome:
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=limits.seconds,
                check=False,
                env={},
            )
            exit_code = process.returncode
        except subprocess.TimeoutExpired:
            exit_code = None
        printed.seek(0)
        return Outcome(exit_code, printed.read(limits.output).decode("utf-8", "replace"))


def _isolation(program: str, limits: Limits) -> list[str]:
    """The command that isolates the program behind it."""
    bwrap, prlimit, setpriv = (shutil.which(tool) or tool for tool in TOOLS)
    hidden = [part for place in _HIDDEN if Path(place).is_dir() for part in ("--tmpfs", place)]
    python = [part for place in _python_folders() for part in (*_way_to(place), "--ro-bind", place, place)]
    limited = [
        prlimit,
        f"--as={limits.memory}",
        f"--fsize={limits.files}",
        f"--nproc={limits.processes}",
        f"--cpu={int(limits.seconds) + 1}",
        "--core=0",
    ]
    isolated = [
        bwrap,
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *hidden,
        *("--perms", "1777", "--size", str(limits.files), "--tmpfs", _FOLDER, "--chdir", _FOLDER),
        *("--ro-bind", program, f"{_FOLDER}/{_PROGRAM}"),
        *python,
        *("--clearenv", "--setenv", "HOME", _FOLDER, "--setenv", "PATH", "/usr/bin:/bin"),
    ]
    if os.geteuid() != 0:
        return [*limited, *isolated, "--unshare-user", "--"]
    # Root has no limit of processes, so the program becomes nobody once its folders are in place.
    as_nobody = [setpriv, f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return [*isolated, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", *as_nobody, *limited]


def _python_folders() -> list[str]:
    """The folders of this Python, which may lie in a hidden one."""
    return sorted({sys.prefix, sys.base_prefix})


def _way_to(place: str) -> list[str]:
    """Make the folders above a place in a hidden folder, where everybody may pass."""
    above = [parent for parent in reversed(Path(place).parents) if str(parent.parent) != str(parent)]
    hidden = {Path(folder) for folder in (*_HIDDEN, _FOLDER)}
    below = [parent for parent in above if not hidden.isdisjoint(parent.parents)]
    return [part for parent in below for part in ("--perms", "0755", "--dir", str(parent))]
