"""Packs all files that a GPU machine without a network needs, in loads of at most 57 MiB.

    make gpu-pack MODEL=model.gguf     a GGUF file or a checkpoint folder; `pretrained` and `agents` need it

Writes OUTPUT/load-00, load-01, ...: this package's wheel, other wheels that the machine may lack, tokenized
corpora, and the model's weights in parts. On the machine, `store.py` unpacks and joins them.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # it runs as a file as well as a module

import lar
from benches import entry
from benches.gpu import weights
from benches.gpu.manifest import (
    AGENTS,
    FILE,
    LOGS,
    PIECES,
    PRETRAINED,
    THROUGHPUT,
    Joined,
    Manifest,
    Packed,
    commit_of,
    sha256,
)
from lar.errors import OptionError
from lar.utils.files import atomic_folder, check_replaceable

ROOT = Path(__file__).parents[2]
MIB = 2**20
LOAD, PART = 57 * MIB, 56 * MIB  # 64 travel at once, with the working tree, which has 5
TASKS = {"tau_bench": None, "mini_swe_gemini3": 120}  # as many as a piece has time for; None: all
TRAINED_PIECES = (*PRETRAINED, *AGENTS)  # those that need the weights
SCORED, TRAINED, LATENTS = 8, 6, 1024  # trajectories and latents of the throughput pieces
# Packages that the machine may lack, and the module whose import shows it.
SPARE = {
    "click": "click",
    "rich": "rich",
    "markdown-it-py": "markdown_it",
    "mdurl": "mdurl",
    "pygments": "pygments",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "pyyaml": "yaml",
    "bm25s": "bm25s",
    "msgspec": "msgspec",
    "gguf": "gguf",
    "pyarrow": "pyarrow",
    "fsspec": "fsspec",
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "annotated-types": "annotated_types",
    "typing-inspection": "typing_inspection",
}
LARGE = "pyarrow"  # as large as a load, so it must not take the place of what all pieces need
_NEEDED_BY = {"bm25s": tuple(AGENTS), "gguf": TRAINED_PIECES}  # every other one is needed by all pieces
TARGET = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
for glibc in ("_2_28", "_2_27", "_2_17", "2014"):
    TARGET += ["--platform", f"manylinux{glibc}_x86_64"]


def main() -> None:
    """Write the pack and print the list of its loads."""
    parser = entry.parser(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tokenizers/qwen3")
    parser.add_argument(
        "--model",
        type=Path,
        help="GGUF file or checkpoint folder that is trained (default: none; throughput alone)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("gpu-pack"),
        help="folder of the pack; an earlier one is replaced",
    )
    options = parser.parse_args()
    check_pack(options.output)
    manifest = Manifest(commit_of(ROOT) or "unknown")
    with atomic_folder(options.output, holds=FILE) as pack:
        files = pack / "files"
        files.mkdir()
        found = list(_files(options, files, manifest))
        for number, load in enumerate(grouped(found)):
            manifest.files += _moved(load, pack / f"load-{number:02d}")
        files.rmdir()
        for folder in [pack, *sorted(pack.glob("load-*"))]:
            manifest.write(folder)
    _print(manifest, options.output)


def check_pack(folder: Path) -> None:
    """Raise OptionError unless `folder` is absent, empty or an earlier pack: it is replaced.

    Other folders have a manifest, too, such as those of corpora.
    """
    check_replaceable(folder, FILE)
    others = [one.name for one in folder.glob("*") if one.name != FILE and not one.name.startswith("load-")]
    if others:
        raise OptionError(f"{folder}: no pack, for it contains {others[0]}; choose another folder")


Found = tuple[Path, str, tuple[str, ...], str | None]  # file, kind, pieces, module


def _files(options: argparse.Namespace, folder: Path, manifest: Manifest) -> Iterator[Found]:
    """Make the files in order: first those that all pieces need, the largest last."""
    yield _wheel(folder), "wheel", PIECES, None
    spare = list(_spare(folder))
    yield from (one for one in spare if one[3] != LARGE)
    yield _throughput(options.shared, folder), "archive", tuple(THROUGHPUT), None
    parts: list[Path] = []
    if options.model is not None:
        companions = folder / "tokenizer"
        weights.write_companions(options.model, companions)
        for piece, log in PRETRAINED.items():
            yield _log(options.shared / "data", log, companions, folder), "archive", (piece,), None
        yield packed_folder(companions), "archive", TRAINED_PIECES, None
        yield _tasks(options.shared, folder), "archive", tuple(AGENTS), None
        manifest.joined, parts = _parts(options.model, folder)
    yield from (one for one in spare if one[3] == LARGE)
    for part in parts:
        yield part, "part", TRAINED_PIECES, None


def _wheel(folder: Path) -> Path:
    """Build the package's wheel, for Python 3.11 and newer."""
    command = ["maturin", "build", "--release", "--quiet", "--out", str(folder)]
    subprocess.run([sys.executable, "-m", *command], check=True, cwd=ROOT)
    return next(folder.glob("lar-*.whl"))


def _spare(folder: Path) -> Iterator[Found]:
    for name, module in SPARE.items():
        target = folder / name
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(target)]
        # The versions of this environment: pydantic works with one version of its core alone.
        subprocess.run([*command, *TARGET, f"{name}=={version(name)}"], check=True)
        (wheel,) = target.iterdir()
        wheel = wheel.rename(folder / wheel.name)
        target.rmdir()
        yield wheel, "wheel", _NEEDED_BY.get(name, PIECES), module


def _throughput(shared: Path, folder: Path) -> Path:
    """An archive of real conversations to score and to train on, and of latents mined from their log."""
    logs = lar.read_trajectories(shared / "data" / f"{LOGS[1]}.jsonl.gz")
    tokenizer = lar.Tokenizer.load(shared / "tokenizers" / "qwen3")
    target = folder / "throughput"
    trajectories = list(logs)
    first = iter(trajectories)
    lar.Corpus.build(islice(first, SCORED), tokenizer, target / "scored")
    lar.Corpus.build(islice(first, TRAINED), tokenizer, target / "trained")
    lar.mine(lar.Corpus.build(trajectories, tokenizer), size=LATENTS).save(target / "vocabulary")
    return packed_folder(target)


def _log(data: Path, log: str, tokenizer: Path, folder: Path) -> Path:
    """An archive of a log's first tasks, as a corpus of the model's tokenizer."""
    kept: set[str] = set()

    def chosen() -> Iterator[lar.Trajectory]:
        for one in lar.read_trajectories(data / f"{log}.jsonl.gz"):
            if one.task in kept or TASKS[log] is None or len(kept) < TASKS[log]:
                kept.add(one.task)
                yield one

    lar.Corpus.build(chosen(), tokenizer, folder / log)
    return packed_folder(folder / log)


def _tasks(shared: Path, folder: Path) -> Path:
    """An archive of the worlds' tasks and runs. Their files are stored, for the archive compresses better."""
    for world in AGENTS.values():
        target = folder / "agents" / "tasks" / world
        target.mkdir(parents=True)
        for file in sorted((shared / "tasks" / world).glob("*.gz")):
            with gzip.open(file) as source, gzip.open(target / file.name, "wb", compresslevel=0) as stored:
                shutil.copyfileobj(source, stored)
    return packed_folder(folder / "agents")


def _parts(model: Path, folder: Path) -> tuple[Joined, list[Path]]:
    """The description of the weights' file, and its parts in order."""
    whole = folder / ("model.safetensors" if model.is_dir() else "model.gguf")
    if model.is_dir():
        shutil.copyfile(model / "model.safetensors", whole)
    else:
        weights.tied(model, whole)
    joined = Joined(whole.name, whole.stat().st_size, sha256(whole))
    parts = list(split(whole, PART))
    whole.unlink()
    return joined, parts


def split(whole: Path, size: int) -> Iterator[Path]:
    """Write the parts of a file beside it, each of at most `size` bytes."""
    with whole.open("rb") as source:
        number = 0
        while content := source.read(size):
            part = whole.with_name(f"{whole.name}.{number:02d}")
            part.write_bytes(content)
            yield part
            number += 1


def packed_folder(folder: Path) -> Path:
    """Replace a folder by its archive, and return that."""
    target = folder.with_name(f"{folder.name}.tar.xz")
    with tarfile.open(target, "w:xz") as archive:
        archive.add(folder, ".")
    shutil.rmtree(folder)
    return target


def grouped(found: list[Found], limit: int = LOAD) -> list[list[Found]]:
    """The files by load; each goes into the first load with room, to keep loads few."""
    loads: list[list[Found]] = []
    sizes: list[int] = []
    for one in found:
        length = one[0].stat().st_size
        place = next((number for number, size in enumerate(sizes) if size + length <= limit), len(loads))
        if place == len(loads):
            loads.append([])
            sizes.append(0)
        loads[place].append(one)
        sizes[place] += length
    return loads


def _moved(load: list[Found], folder: Path) -> Iterator[Packed]:
    folder.mkdir()
    for file, kind, pieces, module in load:
        size, digest = file.stat().st_size, sha256(file)
        file.rename(folder / file.name)
        yield Packed(file.name, kind, folder.name, size, digest, list(pieces), module)


def _print(manifest: Manifest, output: Path) -> None:
    """Print the loads with their sizes, and the loads that each piece needs."""
    for load in dict.fromkeys(one.load for one in manifest.files):
        files = [one for one in manifest.files if one.load == load]
        print(f"{output / load}: {sum(one.size for one in files) / MIB:5.1f} MiB")
        for one in files:
            print(f"    {one.size / MIB:6.2f}  {one.name}")
    for piece in PIECES:
        needed = dict.fromkeys(one.load for one in manifest.files if piece in one.pieces)
        print(f"{piece}: {', '.join(needed)}")


if __name__ == "__main__":
    entry.run(main)
