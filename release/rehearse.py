"""Rehearse a release for Linux x86-64 on this machine: `make wheels`, or `python -m release.rehearse FOLDER`.

It makes the sdist and the wheels by the commands of .github/workflows/release.yml, from a copy of the files
that git has or would add, and checks what they hold. It installs the wheel and the sdist, which compiles, in
fresh virtual environments, runs release/smoke.py in each, and checks that nothing is left in the sources.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

from release.project import ROOT, version

TARGET = "x86_64-unknown-linux-gnu"
# As in the workflow.
BUILD = f"--release --zig --target {TARGET} --auditwheel check --compatibility manylinux2014 pypi".split()
INTERPRETERS = ["--interpreter", f"python3.{sys.version_info.minor}", "python3.14t"]
PLATFORM = "manylinux2014_x86_64.manylinux_2_17_x86_64"
WHEELS = [f"cp311-abi3-{PLATFORM}", f"cp314-cp314t-{PLATFORM}"]
# All that an sdist holds, beside the package's files and the crates.
SOURCES = {
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    "release/backend.py",
}
NOT_REHEARSED = """\
Not rehearsed: wheels for arm64, musllinux, macOS and Windows, which need Rust's standard library for each;
the free-threaded wheel without a python3.14t; the workflow itself; uploads by trusted publishing."""


def main() -> None:
    """Print each step; exit with the first fault."""
    if sysconfig.get_platform() != "linux-x86_64":
        sys.exit(f"a release is rehearsed on linux-x86_64; this is {sysconfig.get_platform()}")
    dist = ROOT / sys.argv[1]
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="lar-release-") as folder:
        sources = Path(folder) / "sources"
        copy_sources(sources)
        step("the README's links", sys.executable, "-m", "release.readme", cwd=sources)
        step("sdist", "maturin", "sdist", "--out", dist, cwd=sources)
        sdist = dist / f"lar-{version()}.tar.gz"
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        unpacked = Path(folder) / sdist.name.removesuffix(".tar.gz")
        check_sdist(unpacked)
        build = ["maturin", "build", *BUILD, "--out", dist, *INTERPRETERS]
        step("wheels from the sdist", *build, cwd=unpacked, keep=True)
        wheels = [dist / f"lar-{version()}-{tags}.whl" for tags in WHEELS]
        assert sorted(dist.iterdir()) == sorted([sdist, *wheels]), sorted(dist.iterdir())
        for wheel in wheels:
            check_wheel(wheel)
        step("twine", sys.executable, "-m", "twine", "--no-color", "check", "--strict", sdist, *wheels)
        before = sorted(unpacked.rglob("*"))
        environment = Path(folder) / "environment"
        try_out(wheels[0], environment, sys.executable)
        if free_threaded := shutil.which("python3.14t"):
            try_out(wheels[1], environment, free_threaded)
        try_out(unpacked, environment, sys.executable)
        left = sorted(set(unpacked.rglob("*")) - set(before))
        assert not left, f"pip left in the sources: {left}"
    print()
    for file in sorted(dist.iterdir()):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size >> 10} KiB")
    print(NOT_REHEARSED)


def copy_sources(folder: Path) -> None:
    """Copy the files of the checkout that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def check_sdist(folder: Path) -> None:
    """Check that an unpacked sdist holds all that a build needs, the licence, and no more."""
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    package = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "python").rglob("*.py*")
        if file.suffix != ".pyc"
    }
    assert package <= names, f"left out of the sdist: {sorted(package - names)}"
    others = {name for name in names if not name.startswith(("python/lar/", "rust/"))}
    assert others == SOURCES, f"in the sdist, beside the package and the crates: {sorted(others)}"


def check_wheel(wheel: Path) -> None:
    """Check that a wheel holds the package, its licence and metadata whose links are absolute."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = BytesParser().parsebytes(archive.read(metadata))
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"lar", f"lar-{version()}.dist-info"}
    assert described["Version"] == version()
    assert len(described.get_all("Project-URL", [])) >= 4
    assert "](docs/" not in described.get_payload()


def try_out(artifact: Path, environment: Path, interpreter: str) -> None:
    """Install `artifact` into a fresh `environment` of `interpreter`, and run the smoke test there."""
    python = environment / "bin" / "python"
    step("environment", interpreter, "-m", "venv", "--clear", environment)
    step(f"install {artifact.name}", python, "-m", "pip", "install", "--quiet", artifact, cwd=environment)
    step("smoke test", python, "-I", ROOT / "release" / "smoke.py", cwd=environment)


def step(name: str, *command: str | Path, cwd: Path = ROOT, keep: bool = False) -> None:
    """Run `command`; exit where it fails. `keep` keeps what Cargo compiles in the checkout's target/."""
    print(f"\n== {name}", flush=True)
    environment = os.environ | {
        "CARGO_TERM_QUIET": "true",
        "NO_COLOR": "1",
        "CARGO_TARGET_DIR": str(ROOT / "target"),
    }
    if not keep:
        del environment["CARGO_TARGET_DIR"]
    if subprocess.run(command, cwd=cwd, env=environment, check=False).returncode:
        sys.exit(f"{name}: failed")


if __name__ == "__main__":
    main()
