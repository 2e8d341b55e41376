"""What commands print of a log: counts by format, what was left out, and warnings of it."""

import inspect
import json

import pytest
from click.testing import CliRunner

from lar.cli.import_ import command
from testing import toy

TALK = [{"role": "user", "content": "How many crates?"}, {"role": "assistant", "content": "Twelve."}]


def imported(tmp_path, records, *options):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    arguments = [str(log), "-o", str(tmp_path / "out.jsonl"), "--overwrite", *options]
    return _runner().invoke(command, arguments, standalone_mode=False)


def _runner():
    """With standard error apart, which click does before 8.2 only if it is told to."""
    mixes = "mix_stderr" in inspect.signature(CliRunner).parameters
    return CliRunner(mix_stderr=False) if mixes else CliRunner()


def test_counts_and_fields_that_were_left_out(tmp_path):
    records = [{"messages": TALK, "review": "A long review of this run, by hand."}] * 2
    shown = imported(tmp_path, records).output
    assert "chat" in shown
    assert "review" in shown
    found = json.loads(imported(tmp_path, records, "--json").stdout)
    assert found["formats"]["chat"] == {
        "records": 2,
        "trajectories": 2,
        "agent_turns": 2,
        "calls": 0,
        "agent_characters": 14,
    }
    [left_out] = found["left_out"]
    assert (left_out["field"], left_out["records"], left_out["characters"]) == ("review", 2, 70)
    assert left_out["first"].endswith("log.jsonl, record 1, line 1")


@pytest.mark.parametrize("short", [1, 2])
def test_one_short_field_is_named_and_several_are_counted(tmp_path, short):
    record = {"messages": TALK, "review": "A long review of this run, by hand.", "a": "x", "b": "yy"}
    if short == 1:
        del record["a"]
    shown = imported(tmp_path, [record]).output
    assert ("shorter fields (--json lists them)" in shown) is (short == 2)
    (line,) = [line for line in shown.splitlines() if line.startswith(("b ", "2 shorter"))]
    assert (" 2 " in line) is (short == 1)
    assert (" 3 " in line) is (short == 2)


def test_brackets_in_a_log_are_no_markup(tmp_path):
    done = imported(
        tmp_path, [{"messages": TALK, "[/INST]": "A long review of this run.", "[bold]": "Another one."}]
    )
    assert done.exception is None
    assert "[/INST]" in done.output


def test_a_text_that_looks_like_a_reply_is_warned_of(tmp_path, caplog):
    imported(tmp_path, [{"messages": TALK, "response": "An answer that nobody has read."}])
    assert "response looks like text of the conversation" in caplog.text
    imported(tmp_path, [{"messages": TALK, "blocks": [{"thinking": "A thought that nobody has read."}]}])
    assert "blocks[].thinking looks like text of the conversation" in caplog.text
    imported(tmp_path, [{"messages": TALK, "llm_output": "An answer that nobody has read."}])
    assert "llm_output looks like text of the conversation" in caplog.text
    caplog.clear()
    imported(tmp_path, [{"messages": TALK, "expected_output": "An answer that nobody has written."}])
    imported(tmp_path, [{"messages": TALK, "review": "An answer that nobody has read."}])
    assert "looks like" not in caplog.text


def test_repeated_histories_and_records_without_the_agent_are_counted(tmp_path):
    call = {"request": {"messages": TALK[:1]}, "response": TALK[1]}
    longer = {
        "request": {"messages": [*TALK, TALK[0]]},
        "response": {"role": "assistant", "content": "Still."},
    }
    found = json.loads(imported(tmp_path, [call, longer, {"messages": TALK[:1]}], "--json").stdout)
    assert (found["trajectories"], found["repeated"], found["bad_records"]) == (1, 1, 1)
    assert "no turn of the agent" in found["problems"][0]
    assert (found["formats"]["chat"]["agent_turns"], found["agent_turns"]) == (3, 2)
    shown = imported(tmp_path, [call, longer]).output.splitlines()
    read, written = (line.split() for line in shown if line.startswith(("chat", "written")))
    assert (read[2:4], written) == (["2", "3"], ["written,", "without", "repeats", "1", "2"])
    assert "written," not in imported(tmp_path, [longer]).output


def test_replies_that_were_cut_and_turns_that_changed_histories_repeat_are_warned_of(tmp_path, caplog):
    talk = [{**one, "content": f"{turn}".ljust(200, ".")} for turn in range(8) for one in TALK]
    for first, is_warned in (("It is now {}.", True), ("Hello.", False)):
        calls = [
            {
                "request": {"messages": [{"role": "user", "content": first.format(at)}, *talk[1:at]]},
                "response": talk[at],
            }
            for at in range(1, len(talk), 2)
        ]
        caplog.clear()
        found = json.loads(imported(tmp_path, calls, "--json").stdout)
        turns = found["long_turns_of_calls"]
        assert (3 * turns["resent"] > turns["turns"]) is is_warned
        assert ("word for word, in another call too" in caplog.text) is is_warned
    cut = {
        "request": {"messages": TALK[:1]},
        "response": 'data: {"choices": [{"delta": {"content": "Twelve."}}]}\n',
    }
    found = json.loads(imported(tmp_path, [cut], "--json").stdout)
    assert (found["cut_streams"], found["first_cut_stream"].endswith("record 1, line 1")) == (1, True)
    assert "1 reply is a stream without an end" in caplog.text


def test_each_bad_record_is_in_a_counted_group_that_names_the_file(tmp_path, caplog):
    broken = [{"messages": TALK[:1], "id": str(number)} for number in range(150)]
    records = [{"messages": TALK}, *broken, {"messages": [{**TALK[0], "role": "judge"}, TALK[1]]}]
    done = imported(tmp_path, records, "--json")
    found = json.loads(done.stdout)
    many, one = found["bad_record_groups"]
    assert (many["records"], one["records"], found["bad_records"]) == (150, 1, 151)
    assert many["file"] == one["file"] == str(tmp_path / "log.jsonl")
    assert many["first"].endswith(f"log.jsonl, record 2, line 2: {many['reason']}")
    assert len(found["problems"]) == 20  # the most of one file
    bad = [line for line in caplog.messages if line.startswith("bad record")]
    assert bad == [
        f"bad records: {many['file']}: 150, the first at record 2, line 2: {many['reason']}",
        f"bad record: {one['first']}",
    ]


def test_many_groups_of_bad_records_are_counted_on_one_line(tmp_path, caplog):
    for number in range(25):
        (tmp_path / f"{number:02}.jsonl").write_text("{broken\n" * (1 + (number == 24)))
    imported(tmp_path, [{"messages": TALK}], str(tmp_path))
    bad = [line for line in caplog.messages if "bad record" in line]
    assert bad[0].startswith(f"bad records: {tmp_path}/24.jsonl: 2, the first at record 1, line 1: not JSON")
    assert len(bad) == 21
    assert bad[-1] == "5 more bad records, of 5 other files and reasons (lar import --json counts them)"


READERS = {
    "corpus": ["corpus", "LOG", "--tokenizer", "model", "-o", "LOG.corpus"],
    "estimate": ["estimate", "LOG", "--tokenizer", "model", "--size", "2", "--splits", "1"],
    "mine": ["mine", "LOG", "--tokenizer", "model", "--size", "2", "-o", "mined", "--overwrite"],
    "evaluate": ["evaluate", "LOG", "vocabulary"],
    "report": ["report", "LOG", "vocabulary"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch, vocabulary):
    """A model, a vocabulary, a log that is read whole and one that is not."""
    monkeypatch.chdir(tmp_path)
    vocabulary.tokenizer.save("model")
    vocabulary.save("vocabulary")
    records = [
        {"messages": run.messages, "split_key": f"new/{number}"}
        for number, run in enumerate(toy.trajectories(12))
    ]
    lossy = [
        {"messages": [*records[0]["messages"], *TALK], "split_key": "new/0", "rejected": "Another reply."},
        *({**record, "note": "A note by hand."} for record in records),
    ]
    for name, rows in {"whole": records, "lossy": lossy}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", READERS)
def test_every_command_that_reads_logs_counts_as_import_does(run, name):
    def called(log, *more):
        code, out, err = run(*(word.replace("LOG", log) for word in READERS[name]), *more)
        assert code == 0, err
        return out

    found = json.loads(run("import", "lossy.jsonl", "-o", "lossy.parquet", "--json")[1])
    assert (found["repeated"], len(found["left_out"])) == (1, 2)
    reading = json.loads(called("lossy.jsonl", "--json"))["reading"]
    assert reading.items() <= found.items()
    assert reading.keys() >= {"formats", "repeated", "left_out", "redacted", "bad_records"}
    line = "1 repeated, 194 characters of 2 fields in no trajectory (lar import shows them)"
    assert line in called("lossy.jsonl").splitlines()
    assert "reading" not in json.loads(called("whole.jsonl", "--json"))
    assert "in no trajectory" not in called("whole.jsonl")


def test_what_was_redacted_is_counted_by_every_command(run, folder):
    pytest.importorskip("kingfisher_sdk", reason="needs lar[redact]")
    pytest.importorskip("phonenumbers", reason="needs lar[redact]")
    text = (folder / "whole.jsonl").read_text()
    talk = [{"role": "user", "content": "Write to jane@example.com"}, TALK[1]]
    (folder / "private.jsonl").write_text(text + json.dumps({"messages": talk}) + "\n")
    command = ("corpus", "private.jsonl", "--tokenizer", "model", "--redact", "-o", "corpus")
    assert "redacted: 1 EMAIL" in run(*command)[1]
    assert json.loads(run(*command, "--json")[1])["reading"]["redacted"] == {"EMAIL": 1}


def test_images_are_counted_and_an_estimate_says_that_their_tokens_are_missing(run, folder):
    text = (folder / "whole.jsonl").read_text()
    shown = [
        {"type": "text", "text": "See?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
    ]
    talk = [{"role": "user", "content": shown}, TALK[1], {"role": "user", "content": shown}, TALK[1]]
    (folder / "seen.jsonl").write_text(text + json.dumps({"messages": talk}) + "\n")
    _, out, _ = run("import", "seen.jsonl", "-o", "out.jsonl")
    line = "replaced by a word, such as [image]: 2 images; the first: seen.jsonl, record 13, line 13"
    assert line in out.splitlines()
    words = [word.replace("LOG", "seen.jsonl") for word in READERS["estimate"]]
    assert "the tokens of 2 images in no figure (lar import shows them)" in run(*words)[1].splitlines()
    replaced = {"kind": "image", "parts": 2, "first": "seen.jsonl, record 13, line 13"}
    assert json.loads(run(*words, "--json")[1])["reading"]["replaced"] == [replaced]
    assert "image" not in run(*READERS["estimate"][:1], "whole.jsonl", *READERS["estimate"][2:])[1]


def test_files_that_are_no_logs_are_counted_and_named(run, folder):
    job = folder / "job"
    (job / "t" / "agent").mkdir(parents=True)
    steps = [{"source": "user", "message": "Count."}, {"source": "agent", "message": "Twelve."}]
    trajectory = {"schema_version": "ATIF-v1.6", "agent": {"name": "a"}, "steps": steps}
    (job / "t" / "agent" / "trajectory.json").write_text(json.dumps(trajectory))
    for name in ("config.json", "result.json"):
        (job / "t" / name).write_text("{}")
    _, out, _ = run("import", "job", "-o", "out.jsonl")
    assert "not read: 2 files, Harbor's notes; the first: job/t/config.json" in out.splitlines()
    found = json.loads(run("import", "job", "-o", "out.jsonl", "--overwrite", "--json")[1])
    assert found["not_read"] == [{"what": "Harbor's notes", "files": 2, "first": "job/t/config.json"}]
    _, out, _ = run("corpus", "job", "--tokenizer", "model", "-o", "corpus")
    assert out.splitlines()[-1].endswith(", 2 files beside logs not read (lar import shows them)")


@pytest.mark.parametrize("name", ["import", "corpus", "mine", "estimate"])
def test_what_is_in_doubt_is_a_warning_of_every_command(run, folder, name):
    """Lines of several conversations without a known name, and a failed call of a model."""
    text = (folder / "whole.jsonl").read_text()
    failed = {"call_type": "acompletion", "messages": TALK[:1], "response": {}}
    (folder / "logs").mkdir()
    (folder / "logs/a.jsonl").write_text(text + json.dumps(failed) + "\n")
    told = [{**message, "ticket": ticket} for ticket in "xy" for message in TALK]
    (folder / "logs/b.jsonl").write_text("".join(json.dumps(message) + "\n" for message in told))
    words = READERS.get(name, ["import", "LOG", "-o", "out.jsonl"])
    code, out, err = run(*(word.replace("LOG", "logs") for word in words), "--json")
    assert code == 0, err
    said = " ".join(err.split())
    assert "1 model call without content: " in said
    assert "use --task-key ticket" in said
    found = json.loads(out)
    found = found if name == "import" else found["reading"]
    assert found["without_content"] == {"calls": 1, "first": "logs/a.jsonl, record 13, line 13"}
    assert found["fused"] == [{"field": "ticket", "values": 2, "files": 1, "first": "logs/b.jsonl"}]
