"""`lar report`: what it makes of its inputs, and one line for each that it cannot use."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lar
from lar.cli import group
from lar.corpus import Corpus
from lar.errors import LarError, OptionError
from lar.evaluation.reporting.evidence import check_whole
from testing import toy

MISSING = {
    "how the logs were read",
    "the teacher's entropies",
    "the curve over sizes",
    "money",
    "an evaluation",
    "a student",
}


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(group, ["-q", *map(str, arguments)], standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return done.output

    return call


@pytest.fixture
def folder(tmp_path, corpus, vocabulary):
    """A vocabulary, logs and a model beside each other."""
    vocabulary.save(tmp_path / "vocabulary")
    corpus.tokenizer.save(tmp_path / "model")
    lar.write_trajectories(toy.trajectories(12), tmp_path / "logs.jsonl")
    return tmp_path


def report(run, *arguments):
    return json.loads(run("report", *arguments, "--json"))


def test_what_the_other_commands_print_is_recognised(run, folder, corpus):
    prices = ["--price-input", 0.2, "--price-output", 0.6, "--runs-per-month", 1000]
    for name, arguments in {
        "estimate": ["estimate", corpus.path, "--size", 4, "--splits", 2, *prices],
        "evaluation": ["evaluate", corpus.path, "vocabulary"],
        "import": ["import", "logs.jsonl", "-o", "trajectories.parquet"],
    }.items():
        (folder / f"{name}.json").write_text(run(*arguments, "--json"))
    arms = {"arms": {"student": {"success": 0.5, "units": 3}}, "tasks": 10}
    (folder / "arms.json").write_text(json.dumps(arms))
    inputs = ["arms.json", "evaluation.json", "vocabulary", corpus.path, "import.json", "estimate.json"]
    found = report(run, *inputs)
    assert found["report"] == "report.html"
    assert {"sizes", "money", "evaluation", "success"} <= set(found["sections"])
    assert {one["what"] for one in found["missing"]} & MISSING == {"the teacher's entropies", "a student"}
    text = (folder / "report.html").read_text()
    assert f"lar report arms.json evaluation.json vocabulary {corpus.path}" in text
    assert "How the logs were read" in text


def test_logs_alone_are_mined_and_how_they_were_read_is_shown(run, folder):
    with (folder / "logs.jsonl").open("a") as file:
        file.write("{broken\n")
    found = report(run, "logs.jsonl", "--tokenizer", "model", "--size", 8, "-o", "new/out.html")
    text = (folder / "new" / "out.html").read_text()
    assert "They were mined for this report." in text
    assert "lar report logs.jsonl --tokenizer model --size 8 -o new/out.html" in text
    assert "lar mine logs" not in text
    assert "Records that could not be read: 1." in text
    assert "how the logs were read" not in {one["what"] for one in found["missing"]}


def test_logs_with_a_vocabulary_are_sources_of_their_own(run, folder):
    lar.write_trajectories(toy.trajectories(5, first=100), folder / "more.jsonl")
    report(run, "logs.jsonl", "more.jsonl", "vocabulary", "--most-tokens", 9_000)
    assert (
        "lar report logs.jsonl more.jsonl vocabulary --most-tokens 9000 -o report.html"
        in (folder / "report.html").read_text()
    )
    assert "What latents save: logs, more" in (folder / "report.html").read_text()


def test_several_logs_without_a_vocabulary_are_mined_together(run, folder):
    lar.write_trajectories(toy.trajectories(5, first=100), folder / "more.jsonl")
    report(run, "logs.jsonl", "more.jsonl", "--tokenizer", "model", "--size", 4)
    assert "in all 17 runs" in (folder / "report.html").read_text()


def test_a_folder_of_stages_is_taken_whole(run, folder):
    Corpus.build(toy.trajectories(12), folder / "model", folder / "work" / "corpus")
    (folder / "vocabulary").rename(folder / "work" / "vocabulary")
    (folder / "work" / "arms.json").write_text('{"arms": {"base": {"success": 1, "units": 2}}}')
    assert "success" in report(run, "work")["sections"]
    assert "What latents save: work" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("folder")
def test_without_a_vocabulary_or_a_size_there_are_as_many_latents_as_mining_takes(run, corpus, folder):
    run("report", corpus.path)
    mined = lar.mine(corpus.with_split(0.2)).size
    text = (folder / "report.html").read_text()
    assert f"{mined} latents" in text
    assert f"lar report {corpus.path} -o report.html" in text


@pytest.mark.usefixtures("folder")
def test_it_prints_where_the_report_is_and_replaces_an_older_one(run, corpus):
    for _ in range(2):
        assert run("report", corpus.path, "vocabulary").startswith("report.html: overview, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vocabulary"], "needs a corpus folder or logs"),
        (["nothing"], "nothing: no such file"),
        (["CORPUS", "vocabulary", "-o", "logs.jsonl"], "logs.jsonl: there is something that is no report"),
        (["CORPUS", "vocabulary", "-o", "model"], "model: a folder"),
        (["CORPUS", "vocabulary", "other"], "hold different latents"),
        (["CORPUS", "vocabulary", "--size", "8"], "--size is for logs alone"),
        (["CORPUS", "foreign"], "tokenizer"),
        (["CORPUS", "--tokenizer", "other corpus/tokenizer"], "corpus/tokenizer: leave it out"),
        (["CORPUS", "broken.json"], "broken.json: a broken estimate: runs: "),
        (["CORPUS", "arms.json", "again.json"], "again.json: there is another arms"),
        (["logs.jsonl", "import.json", "vocabulary"], "not both"),
        (["logs.jsonl"], "--tokenizer"),
        (["empty.jsonl", "vocabulary"], "no trajectory could be read"),
        (["CORPUS", "vocabulary", "empty.json"], "empty.json: an empty JSON file"),
        (["CORPUS", "vocabulary", "cut.json"], "cut.json: a JSON file that is cut off"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, folder, corpus, arguments, message):
    lar.mine(corpus, size=2).save(folder / "other")
    other = Corpus.build(toy.trajectories(9), toy.tokenizer(size=300), folder / "other corpus")
    lar.mine(other, size=2).save(folder / "foreign")
    (folder / "broken.json").write_text('{"points": [], "recommended": {}}')
    for name in ("arms.json", "again.json"):
        (folder / name).write_text('{"arms": {"base": {"success": 1, "units": 2}}}')
    reading = {"formats": {}, "repeated": 0, "left_out": [], "redacted": {}, "bad_records": 0, "problems": []}
    (folder / "import.json").write_text(json.dumps(reading))
    for name in ("empty.jsonl", "empty.json"):
        (folder / name).write_text("")
    (folder / "cut.json").write_text('{\n  "runs": 60,\n  "tas')
    before = sorted(folder.rglob("*"))
    with pytest.raises((LarError, OptionError)) as error:
        run("report", *[corpus.path if one == "CORPUS" else one for one in arguments])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(folder.rglob("*")) == before


@given(share=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(["estimate", "evaluation", "import"]))
@example(share=0.0, kind="estimate")
@example(share=0.001, kind="estimate")
@settings(max_examples=20, deadline=None)
def test_a_cut_json_file_of_a_command_is_no_log(printed, tmp_path_factory, share, kind):
    file = tmp_path_factory.mktemp("cut") / "printed.json"
    text = printed[kind]
    file.write_text(text[: int(share * len(text))], encoding="utf-8")
    whole = text.rstrip() == file.read_text(encoding="utf-8").rstrip()
    if whole:
        check_whole(file)
        return
    with pytest.raises(OptionError, match=r"empty JSON file|cut off") as error:
        check_whole(file)
    assert str(file) in str(error.value)


@pytest.fixture(scope="module")
def printed(corpus, vocabulary, tmp_path_factory):
    """What commands print with --json, by what it is."""
    folder = tmp_path_factory.mktemp("printed")
    vocabulary.save(folder / "vocabulary")
    lar.write_trajectories(toy.trajectories(12), folder / "logs.jsonl")
    commands = {
        "estimate": ["estimate", corpus.path, "--size", 4, "--splits", 2],
        "evaluation": ["evaluate", corpus.path, folder / "vocabulary"],
        "import": ["import", folder / "logs.jsonl", "-o", folder / "trajectories.parquet"],
    }
    found = {}
    for name, arguments in commands.items():
        done = CliRunner().invoke(group, ["-q", *map(str, arguments), "--json"], standalone_mode=False)
        found[name] = done.output
    return found


@pytest.mark.parametrize(
    "text", ['{"messages": []}\n{"messages": []}\n', '{"messages": [', '{\n  "messages": [', "[{", "words"]
)
def test_logs_that_are_no_json_or_are_cut_are_logs(tmp_path, text):
    file = tmp_path / "logs.json"
    file.write_text(text, encoding="utf-8")
    check_whole(file)
