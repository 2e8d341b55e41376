"""Servers for tests: they answer within the block, end after it, and explain a failed start."""

import sys

import pytest

from testing.engines.servers import ServerError, answers, free_port, running_server


def command(port):
    """A server of the standard library."""
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


def test_a_server_is_up_inside_the_block_and_gone_after_it(tmp_path):
    port = free_port()
    with running_server(command(port), tmp_path / "log", port=port, ready="/") as server:
        assert answers(f"{server.url}/")
        assert server.base_url == f"http://127.0.0.1:{port}/v1"
    assert server.process.poll() is not None
    assert not answers(f"{server.url}/")
    assert "GET / " in (tmp_path / "log").read_text()


def test_it_is_gone_after_an_error_too(tmp_path):
    port = free_port()
    with (
        pytest.raises(ZeroDivisionError),
        running_server(command(port), tmp_path / "log", port=port, ready="/") as server,
    ):
        raise ZeroDivisionError
    assert server.process.poll() is not None


def test_a_server_that_ends_says_why(tmp_path):
    port = free_port()
    with (
        running_server(command(port), tmp_path / "first", port=port, ready="/"),
        pytest.raises(ServerError, match=r"ended with 1: (.|\n)*Address already in use"),
        running_server(command(port), tmp_path / "second", port=port, ready="/nowhere"),
    ):
        pass


def test_a_server_that_never_answers_is_given_up(tmp_path):
    port = free_port()
    waiting = [sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(600)"]
    with (
        pytest.raises(ServerError, match=r"no answer from http://127.0.0.1:\d+/ after 1 s: loading"),
        running_server(waiting, tmp_path / "log", port=port, ready="/", timeout=1.0),
    ):
        pass
