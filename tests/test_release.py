"""A release: one version, links that an index can follow, and a workflow whose parts are pinned."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import lar
from lar import _core
from release import project, readme, rehearse

ROOT = Path(__file__).parent.parent
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
URL = "https://example.org/lar"


def test_cargo_toml_alone_has_the_version():
    assert lar.__version__ == _core.__version__ == project.version()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in settings["project"]["dynamic"]
    for url in settings["project"]["urls"].values():
        assert url.startswith(project.repository())


def test_the_crates_name_the_same_repository_and_the_oldest_compiler_that_is_tried():
    package = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]
    assert package["repository"] == project.repository()
    tried = (ROOT / ".github" / "workflows" / "rust.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"cargo \+(\S+)", tried)) == {package["rust-version"]}


def test_the_crate_that_is_published_carries_the_licence():
    crate = ROOT / "rust" / "core"
    # A copy: checkouts without symbolic links would have the link's target as its text.
    assert not (crate / "LICENSE").is_symlink()
    assert (crate / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    package = tomllib.loads((crate / "Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert "LICENSE" in package["include"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/core.md)", "[a](URL/blob/v1/docs/core.md)"),
        ("[a](docs/core.md#b), [c](LICENSE)", "[a](URL/blob/v1/docs/core.md#b), [c](URL/blob/v1/LICENSE)"),
        ("![a](docs/core.md)", "![a](URL/raw/v1/docs/core.md)"),
        ("[![a](LICENSE)](docs)", "[![a](URL/raw/v1/LICENSE)](URL/blob/v1/docs)"),
        ("[![a](https://x)](docs)", "[![a](https://x)](URL/blob/v1/docs)"),
        ("[a]\n\n[a]: docs/core.md\n", "[a]\n\n[a]: URL/blob/v1/docs/core.md\n"),
        ('<a href="docs"><img src="LICENSE">', '<a href="URL/blob/v1/docs"><img src="URL/raw/v1/LICENSE">'),
        ("[a](#b) [c](https://x.org/y) [d](mailto:e)", "[a](#b) [c](https://x.org/y) [d](mailto:e)"),
        ("`row[0](x)`\n```\nrow[0](x)\n```\n", "`row[0](x)`\n```\nrow[0](x)\n```\n"),
    ],
)
def test_relative_links_become_absolute(text, expected):
    assert readme.absolute(text, url=URL, ref="v1") == expected.replace("URL", URL)


def test_a_link_to_no_file_is_refused():
    with pytest.raises(ValueError, match=r"^README.md: docs/nothing.md: no such file$"):
        readme.absolute("[a](docs/nothing.md)", url=URL, ref="v1")


def test_the_readme_of_an_index_has_absolute_links_alone():
    text = readme.absolute((ROOT / "README.md").read_text(encoding="utf-8"), url=URL, ref="v1")
    targets = readme.targets(text)
    assert targets
    assert not [target for target in targets if not re.match("https?://|#", target)]


def test_a_tag_is_released_only_if_it_is_the_version_and_the_changelog_has_it():
    version = project.version()
    changelog = f"# Changelog\n\n## [Unreleased]\n\n## [{version}] - 2026-01-31\n"
    assert project.faults(f"v{version}", project.repository(), changelog=changelog) == []
    tag, section, address = project.faults("v9", "https://example.org/other", changelog="## [Unreleased]\n")
    assert tag == f"the tag v9 is not v{version}, the version of Cargo.toml"
    assert section.startswith("CHANGELOG.md has no section")
    assert address.endswith("but this is https://example.org/other")


def test_all_that_the_workflow_runs_is_pinned():
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    uses = re.findall(r"uses: (\S+)(.*)", WORKFLOW)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action, _ in uses)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", comment) for _, comment in uses)
    assert "latest" not in WORKFLOW
    assert all(
        re.search(r"@sha256:[0-9a-f]{64}$", job["env"]["IMAGE"]) for job in jobs.values() if "env" in job
    )
    lock = (ROOT / "release" / "requirements.lock").read_text(encoding="utf-8")
    (maturin,) = re.findall(r"^maturin==(\S+)", lock, re.MULTILINE)
    assert yaml.safe_load(WORKFLOW)["env"]["MATURIN"] == f"v{maturin}"


def test_only_a_tag_publishes_and_only_after_all_other_jobs():
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    publish = jobs.pop("publish")
    assert publish["if"] == "github.event_name == 'push'"
    assert set(publish["needs"]) == set(jobs)
    assert publish["permissions"] == {"id-token": "write"}
    assert all(job["permissions"] == {"contents": "read"} for job in jobs.values())


def test_the_rehearsal_builds_as_the_workflow_does():
    matrix = yaml.safe_load(WORKFLOW)["jobs"]["linux"]["strategy"]["matrix"]["include"]
    (tag,) = (entry["tag"] for entry in matrix if entry["target"] == rehearse.TARGET)
    (step,) = (
        s for s in yaml.safe_load(WORKFLOW)["jobs"]["linux"]["steps"] if "maturin" in s.get("uses", "")
    )
    arguments = step["with"]["args"].replace("${{ matrix.tag }}", tag).split()
    assert set(rehearse.BUILD) <= {*arguments, "--target", rehearse.TARGET}
    assert rehearse.INTERPRETERS[-1] == arguments[-1]
