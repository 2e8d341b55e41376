"""A smoke test of an installed `lar`: run it by the interpreter that has it, outside the checkout.

It needs no more than the package itself: no extra, no network, no other file of the repository.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import lar
from lar import _core
from lar.demo.base_tokenizer import train_tokenizer
from lar.demo.expert import demonstrate
from lar.demo.tasks import make_task


def main() -> None:
    """Print what was checked, one line a check; raise where one fails."""
    where = Path(lar.__file__).parent
    assert Path(sysconfig.get_path("platlib")) in where.parents, f"{where} is not in this environment"
    assert lar.__version__ == _core.__version__ == importlib.metadata.version("lar")
    print(f"lar {lar.__version__}, Python {sys.version.split()[0]}, {sysconfig.get_platform()}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        # In a process of its own: a dependency may turn the GIL on.
        program = "import sys, lar._core; sys.exit(sys._is_gil_enabled())"
        subprocess.run([sys.executable, "-c", program], check=True)
        print("free-threaded: the core leaves the GIL off")
    with tempfile.TemporaryDirectory() as folder:
        _round_trip(Path(folder))
        _command_line(Path(folder))
    start, bare = (min(_seconds(program) for _ in range(3)) for program in ("import lar", "pass"))
    print(f"import lar: {start - bare:.3f} s on top of the interpreter's {bare:.3f} s")


def _round_trip(folder: Path) -> None:
    """Mine a small vocabulary; encode all conversations, and expand them again, whole and as streams."""
    trajectories = [demonstrate(make_task(seed)) for seed in range(100)]
    train_tokenizer(trajectories, size=600).save(folder / "tokenizer")
    lar.write_trajectories(trajectories, folder / "logs.jsonl")
    corpus = lar.Corpus.build(lar.read_trajectories(folder / "logs.jsonl"), folder / "tokenizer")
    vocabulary = lar.mine(corpus, size=64)
    vocabulary.save(folder / "vocabulary")
    vocabulary = lar.LatentVocabulary.load(folder / "vocabulary")
    tokens = 0
    saved = 0
    for row in corpus:
        text = corpus.tokenizer.decode(row.tokens)
        units = vocabulary.encode_text(text)
        expanded = vocabulary.expand(units)
        assert corpus.tokenizer.decode(expanded) == text
        stream = vocabulary.stream(skip_special_tokens=False)
        assert "".join(stream.push(unit) for unit in units) + stream.flush() == text
        tokens += len(expanded)
        saved += len(expanded) - len(units)
    assert saved > 0
    print(f"round trip: {tokens} tokens in {tokens - saved} units, {len(vocabulary)} latents")


def _command_line(folder: Path) -> None:
    """The command `lar` of this environment: its help, and a stage."""
    command = shutil.which("lar", path=sysconfig.get_path("scripts"))
    assert command, "the command lar is not installed"
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Commands:" in shown
    logs, tokenizer = folder / "logs.jsonl", folder / "tokenizer"
    arguments = [logs, "--tokenizer", tokenizer, "--size", "16", "-o", folder / "mined"]
    subprocess.run([command, "mine", *arguments], capture_output=True, check=True)
    print("command line: lar --help, lar mine")


def _seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
