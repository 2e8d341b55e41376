"""The command line in this process."""

import sys

import pytest

from lar import cli


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command; returns its exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        return end.value.code or 0, out.out, out.err

    return call
