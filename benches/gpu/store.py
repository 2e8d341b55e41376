"""Stores the files of a load outside of the working tree, so that the next load can replace it there.

    python -m benches.gpu.store gpu-pack/load-00 --store ~/lar-gpu

Each file is checked against its SHA-256. A wheel is installed into STORE/site only if its module cannot be
imported yet; nothing is downloaded. Archives are unpacked. After the last part of the weights, the parts are
joined, checked and written as a checkpoint, STORE/model. The last lines list the files that each piece still
lacks. A load may be stored twice.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # it runs as a file as well as a module

from benches import entry
from benches.gpu.manifest import PIECES, Manifest, Packed, archive_folder, sha256

DEFAULT = Path.home() / "lar-gpu"


def main(arguments: list[str] | None = None) -> None:
    """Store the loads and print the files that each piece lacks."""
    parser = entry.parser(__doc__)
    parser.add_argument("loads", type=Path, nargs="+", help="folders load-00, load-01, ...")
    parser.add_argument("--store", type=Path, default=DEFAULT, help="folder that keeps the files")
    options = parser.parse_args(arguments)
    for load in options.loads:
        keep(load, options.store)
    for piece in PIECES:
        print(f"{piece}: {', '.join(missing(options.store, piece)) or 'ready'}")


def keep(load: Path, store: Path) -> None:
    """Copy, unpack or install the files of a load."""
    manifest = Manifest.read(load)
    _refuse_another_pack(manifest, store)
    carried = [one for one in manifest.files if (load / one.name).is_file()]
    for one in carried:
        if sha256(load / one.name) != one.sha256:
            raise SystemExit(f"{load / one.name}: its SHA-256 is not the manifest's; copy the load again")
    for one in carried:
        if one.kind == "wheel" or not _is_there(one, store):
            (_unpack if one.kind == "archive" else _copy)(load / one.name, one, store)
    _install([one for one in carried if one.kind == "wheel"], store)
    print(f"{load}: {len(carried)} files stored in {store}")
    _join(manifest, store)


def missing(store: Path, piece: str) -> list[str]:
    """The names of the files that a piece needs and the store lacks."""
    add_site(store)
    needed = [one for one in Manifest.read(store).files if piece in one.pieces]
    if not needed:
        return ["every file of the piece (this pack has none)"]
    found = [one.name for one in needed if not _is_there(one, store)]
    unjoined = any(one.kind == "part" for one in needed) and not (store / "model").is_dir()
    return found or (["the joined model"] if unjoined else [])


def add_site(store: Path) -> None:
    """Let Python import the packages in the store, and keep Hugging Face libraries offline."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if str(store / "site") not in sys.path:
        sys.path.insert(1, str(store / "site"))


def _refuse_another_pack(manifest: Manifest, store: Path) -> None:
    """Keep the manifest of the first load; SystemExit where a later load is of another pack."""
    store.mkdir(parents=True, exist_ok=True)
    if not (store / "manifest.json").exists():
        manifest.write(store)
    if Manifest.read(store) != manifest:
        raise SystemExit(f"{store}: contains files of another pack; remove it or choose another --store")


def _is_there(one: Packed, store: Path) -> bool:
    if one.kind == "archive":
        return (store / archive_folder(one.name)).is_dir()
    if one.kind == "part":
        return (store / "model").is_dir() or (store / "parts" / one.name).is_file()
    if one.module is not None:
        return find_spec(one.module) is not None
    return any((store / "site").glob("lar-*.dist-info"))


def _copy(file: Path, one: Packed, store: Path) -> None:
    folder = store / f"{one.kind}s"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(file, folder / one.name)


def _unpack(file: Path, one: Packed, store: Path) -> None:
    target = store / archive_folder(one.name)
    with tempfile.TemporaryDirectory(dir=store) as temporary, tarfile.open(file) as archive:
        # Python 3.11.4 and newer; the archive is our own, and its SHA-256 has been compared.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(temporary, **safely)
        Path(temporary).rename(target)
        Path(temporary).mkdir()  # TemporaryDirectory removes it


def _install(wheels: list[Packed], store: Path) -> None:
    """Install lar, and the other wheels whose module Python lacks."""
    add_site(store)
    wanted = [one for one in wheels if one.module is None or find_spec(one.module) is None]
    if not wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--upgrade", "--disable-pip-version-check", "--target", str(store / "site")]
    subprocess.run([*command, *(str(store / "wheels" / one.name) for one in wanted)], check=True)
    invalidate_caches()


def _join(manifest: Manifest, store: Path) -> None:
    """Write the checkpoint if all parts are stored."""
    parts = [store / "parts" / one.name for one in manifest.parts()]
    if manifest.joined is None or (store / "model").exists() or not all(part.is_file() for part in parts):
        return
    whole = store / manifest.joined.name
    with whole.open("wb") as target:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target)
    if sha256(whole) != manifest.joined.sha256:
        raise SystemExit(f"{whole}: its SHA-256 is not the manifest's; remove {store} and begin again")
    from benches.gpu.weights import write_checkpoint  # needs torch and transformers

    write_checkpoint(whole, store / "tokenizer", store / "model")
    whole.unlink(missing_ok=True)
    shutil.rmtree(store / "parts")
    print(f"joined and written as a checkpoint: {store / 'model'}")


if __name__ == "__main__":
    entry.run(main)
