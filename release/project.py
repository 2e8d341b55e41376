"""What pyproject.toml, Cargo.toml and CHANGELOG.md say of the project, and whether a tag may release it.

python -m release.project v0.1.0 https://github.com/OWNER/lar
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def repository() -> str:
    """The address of the repository: the project's URL of that name."""
    return str(_toml("pyproject.toml")["project"]["urls"]["Repository"])


def version() -> str:
    """The version of all crates and of the Python package. Cargo.toml alone has it."""
    return str(_toml("Cargo.toml")["workspace"]["package"]["version"])


def faults(tag: str, address: str, *, changelog: str) -> list[str]:
    """What keeps `tag`, pushed to the repository at `address`, from being released; empty if nothing does."""
    found = []
    if tag != f"v{version()}":
        found.append(f"the tag {tag} is not v{version()}, the version of Cargo.toml")
    if not re.search(rf"^## \[{re.escape(version())}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no section '## [{version()}] - YYYY-MM-DD'")
    if address != repository():
        found.append(f"pyproject.toml names the repository {repository()}, but this is {address}")
    return found


def _toml(name: str) -> dict:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def main() -> None:
    """Check a tag: exit with its faults, one a line."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m release.project TAG REPOSITORY")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sys.exit("\n".join(faults(*sys.argv[1:], changelog=changelog)) or None)


if __name__ == "__main__":
    main()
