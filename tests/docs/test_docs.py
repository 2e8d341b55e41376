"""The documentation: its code runs and prints what the pages show, and its commands have the options used."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import lar
from lar.cli import COMMANDS, group
from testing.docs import DOCS, ROOT, TUTORIAL, blocks, notebook_with_outputs, runs, with_outputs

PAGES = sorted(DOCS.rglob("*.md"))
# Older pages whose programs need a real tokenizer, a model or a cluster.
SHOWN = {DOCS / "how-it-works.md"}
RUN = [page for page in PAGES if page not in SHOWN and runs(page.read_text("utf-8"))]
NOTEBOOK = DOCS / "tutorial.ipynb"
REFERENCE = (DOCS / "reference/python.md").read_text("utf-8")


def of(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def after_the_tutorial(tmp_path_factory):
    """A folder with the files that the tutorial makes, and the tutorial with its outputs of today."""
    folder = tmp_path_factory.mktemp("tutorial")
    return folder, with_outputs(TUTORIAL.read_text("utf-8"), folder)


@pytest.mark.slow
def test_the_tutorial_prints_what_it_shows(after_the_tutorial):
    assert after_the_tutorial[1] == TUTORIAL.read_text("utf-8"), f"python -m testing.docs {of(TUTORIAL)}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if page != TUTORIAL], ids=of)
def test_pages_print_what_they_show(page, after_the_tutorial, tmp_path):
    folder = shutil.copytree(after_the_tutorial[0], tmp_path / "page")
    text = page.read_text("utf-8")
    assert with_outputs(text, folder) == text, f"python -m testing.docs {of(page)}"


@pytest.mark.slow
def test_the_notebook_prints_what_it_shows(tmp_path):
    text = NOTEBOOK.read_text("utf-8")
    assert notebook_with_outputs(text, tmp_path) == text, f"python -m testing.docs {of(NOTEBOOK)}"


def test_the_tutorial_is_run():
    assert TUTORIAL in RUN


def commands_in(page):
    """The lines of a page's code that call `lar`, each as words; without those that leave something out."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for line in re.findall(r"(?m)^(?: {4})?(?:\$ )?(lar [a-z].*)$", text):
        words = shlex.split(re.split(r" && | \| | > ", line)[0], comments=True)
        if "..." not in words and words[1] in COMMANDS:
            yield words


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=of)
def test_commands_have_the_options_that_pages_use(page):
    context = click.Context(group, info_name="lar")
    for words in commands_in(page):
        command = group.get_command(context, words[1])
        try:
            command.make_parser(click.Context(command)).parse_args(words[2:])
        except click.UsageError as error:
            raise AssertionError(f"{' '.join(words)}: {error}") from error


# A page that a program names, and of it an anchor, or a heading in quotes or up to the end of the brackets.
NAMED = re.compile(r'docs/([\w/.-]+\.md)(?:#([\w-]+)|, "([^"]+)"|, ([A-Z][^()"]*)\))?')
WRAPPED = re.compile(r'"\n\s*f?"|\n\s*# ')  # a text that goes on in the next line, and a comment


def named_places():
    """The pages that the sources of the package name, each with its anchor or heading, if it has one."""
    for path in sorted(Path(lar.__file__).parent.rglob("*.py")):
        source = WRAPPED.sub(lambda wrap: " " if "#" in wrap[0] else "", path.read_text("utf-8"))
        for page, *parts in NAMED.findall(source):
            yield page, "".join(parts)


def anchor_of(heading):
    """The anchor that the site gives a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_the_pages_and_headings_that_the_package_names_are_there():
    places = set(named_places())
    assert ("logs.md", "Not in the list?") in places  # the pattern finds them
    for page, part in sorted(places):
        assert (DOCS / page).is_file(), page
        headings = re.findall(r"(?m)^#+ (.*)$", (DOCS / page).read_text("utf-8"))
        assert not part or anchor_of(part) in map(anchor_of, headings), f"{page}: no heading {part!r}"


def test_the_reference_has_every_public_name():
    assert sorted(re.findall(r"^::: lar\.([A-Za-z_]+)$", REFERENCE, re.MULTILINE)) == sorted(
        [*lar.__all__, "errors"]
    )


def test_outputs_are_written_below_their_commands(tmp_path):
    page = "```console\n$ python -c 'print(6 * 7)'\nold\n```\n\n```python\nprint('x')\n```\n\n```text\n```\n"
    assert with_outputs(page, tmp_path) == page.replace("old\n", "42\n").replace("```text\n", "```text\nx\n")


def test_what_only_shows_stays_as_it_is(tmp_path):
    page = "a\n\n```sh\nrm -r /\n```\n\n```text\nb\n```\n"
    assert with_outputs(page, tmp_path) == page
    assert not runs(page)


def test_seconds_may_differ(tmp_path):
    page = "```console\n$ python -c 'print(\"done in 1.5 s\")'\ndone in 9.9 s\n```\n"
    assert with_outputs(page, tmp_path) == page
    assert [block.kind for block in blocks(page)] == ["console"]


@pytest.fixture(scope="module")
def pages():
    """The module with which the site's builder changes pages."""
    found = importlib.util.spec_from_file_location("pages", DOCS / "building/pages.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_has_every_command_and_option(pages):
    text = pages.on_page_markdown((DOCS / "reference/commands.md").read_text("utf-8"))
    for name in COMMANDS:
        section = re.search(rf"(?ms)^## lar {name}\n(.*?)(?=^## |\Z)", text)[1]
        for parameter in group.get_command(click.Context(group), name).params:
            assert all(option in section for option in parameter.opts if option.startswith("-")), parameter


def test_lists_are_parted_from_paragraphs_but_not_in_code(pages):
    page = "a:\n- b\n- c\n  d\n\n```\ne:\n- f\n```\n1. g"
    assert pages.with_parted_lists(page) == "a:\n\n- b\n- c\n  d\n\n```\ne:\n- f\n```\n\n1. g"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_a_network(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
    built = subprocess.run(
        [*command, str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="https?://|<link[^>]* href="https?://')
    for page in (tmp_path / "site").rglob("*.html"):
        assert not loaded.search(page.read_text("utf-8")), page
