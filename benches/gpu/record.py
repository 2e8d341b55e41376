"""The JSON record of a piece: its figures and its setting, written again after each figure."""

import json
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benches.gpu.clock import Clock, TimeUpError
from benches.gpu.manifest import output_of
from lar.utils.files import atomic_file

PACKAGES = ("lar", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy")


class Record:
    """The figures of one run of a piece. A killed run leaves the figures that it had."""

    def __init__(self, file: Path, piece: str, options: dict[str, Any], clock: Clock, commit: str) -> None:
        self.file = file
        self.clock = clock
        self.figures: dict[str, Any] = {}
        self.cut: list[str] = []
        self.errors: dict[str, str] = {}
        self._head = {
            "piece": piece,
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit,
            "device": device(),
            "versions": versions(),
            "options": options,
        }
        self.ended = False
        self.write()

    def figure(self, name: str, value: Any) -> None:
        """Record a figure."""
        self.figures[name] = value
        self.write()

    def was_cut(self, text: str) -> None:
        """Record a line about work that was not finished or not begun for lack of time."""
        print(f"cut: {text}", flush=True)
        self.cut.append(text)
        self.write()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage. An error in it is recorded, and the piece continues with the next stage."""
        began = self.clock.seconds
        try:
            yield
        except TimeUpError:
            self.was_cut(f"{name}: time was up before its first figure")
        except Exception:  # any error: the other figures must come back
            self.errors[name] = traceback.format_exc()
            print(f"{name} failed:\n{self.errors[name]}", flush=True)
        seconds = self.clock.seconds - began
        print(f"{name}: {seconds:.1f} s, {self.clock.left:.0f} s left", flush=True)
        self.figures.setdefault("seconds", {})[name] = round(seconds, 2)
        self.write()

    def end(self) -> None:
        """Record that the piece ended by itself."""
        self.ended = True
        self.write()

    def write(self) -> None:
        """Write the file in one step."""
        content = {
            **self._head,
            "seconds": round(self.clock.seconds, 1),
            "ended": self.ended,
            "cut": self.cut,
            "errors": self.errors,
            "figures": self.figures,
        }
        with atomic_file(self.file) as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def device() -> dict[str, Any]:
    """The GPU's name, memory and driver; without a GPU the number of CPU threads."""
    if not torch.cuda.is_available():
        return {"name": f"cpu, {torch.get_num_threads()} threads", "processor": platform.processor()}
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "memory": found.total_memory,
        "capability": f"{found.major}.{found.minor}",
        "driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python, CUDA and the packages; None for a package that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
