"""A piece's JSON: its figures, and what they were measured on. It is written anew after each figure."""

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
    """The figures of one run of a piece; a run that is killed has left those that it had."""

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
        """Keep a figure."""
        self.figures[name] = value
        self.write()

    def was_cut(self, text: str) -> None:
        """Keep a line about work that was not finished or not begun for want of time."""
        print(f"cut: {text}", flush=True)
        self.cut.append(text)
        self.write()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; an error in it is kept, and the piece goes on with the next."""
        began = self.clock.seconds
        try:
            yield
        except TimeUpError:
            self.was_cut(f"{name}: time was up before its first figure")
        except Exception:  # whatever it is, the other figures shall come back
            self.errors[name] = traceback.format_exc()
            print(f"{name} failed:\n{self.errors[name]}", flush=True)
        seconds = self.clock.seconds - began
        print(f"{name}: {seconds:.1f} s, {self.clock.left:.0f} s left", flush=True)
        self.figures.setdefault("seconds", {})[name] = round(seconds, 2)
        self.write()

    def end(self) -> None:
        """Note that the piece came to its end by itself."""
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
    """The GPU's name, memory and driver; without one the CPU's threads."""
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
    """Of Python, CUDA and the packages; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
