"""Starts and ends servers for tests: a free port, a log file, and waiting until the server answers."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_LOG_TAIL = 2000  # characters of a log in an error message


class ServerError(Exception):
    """A server did not start; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Server:
    """A server process at `http://127.0.0.1:port`, and the file of its output."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The base URL for a client of the OpenAI API."""
        return f"{self.url}/v1"


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running_server(
    command: Sequence[str | Path],
    log: Path,
    *,
    port: int,
    ready: str = "/health",
    environment: Mapping[str, str] | None = None,
    timeout: float = 300.0,
) -> Iterator[Server]:
    """Run `command`, which listens at `port`, until the block ends; its output goes to `log`.

    The block begins when GET `ready` returns 200. `environment` is added to this process's environment.

    Raises:
        ServerError: the server ended before that, or was not ready after `timeout` seconds.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        wait_until_ready(server, ready, timeout)
        yield server
    finally:
        end_session(process)


def wait_until_ready(server: Server, path: str, timeout: float) -> None:
    """Return when GET `path` returns 200; ServerError if the server ends or takes too long."""
    deadline = time.monotonic() + timeout
    while not answers(server.url + path):
        if server.process.poll() is not None:
            raise ServerError(f"ended with {server.process.returncode}: {_tail(server.log)}")
        if time.monotonic() > deadline:
            raise ServerError(f"no answer from {server.url}{path} after {timeout:.0f} s: {_tail(server.log)}")
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether GET `url` returns 200 within a few seconds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own session, and all other processes of its group."""
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_TAIL:].strip()
