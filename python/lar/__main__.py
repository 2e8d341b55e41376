"""The command line, as `lar` and as `python -m lar`."""

import os
import signal
from typing import Any


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends with one line, too."""
    before = signal.signal(signal.SIGINT, _stop)
    from lar.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


def _stop(*_: Any) -> None:
    """End at once: nothing has begun. An exception would be a traceback out of some import."""
    os.write(2, b"lar: stopped; nothing was written\n")
    os._exit(130)


if __name__ == "__main__":
    main()
