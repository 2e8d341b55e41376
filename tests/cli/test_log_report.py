"""What `lar import` prints of a log: counts by format, what was left out, and warnings of it."""

import json

from click.testing import CliRunner

from lar.cli.import_ import command

TALK = [{"role": "user", "content": "How many crates?"}, {"role": "assistant", "content": "Twelve."}]


def run(tmp_path, records, *options):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    arguments = [str(log), "-o", str(tmp_path / "out.jsonl"), "--overwrite", *options]
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def test_counts_and_fields_that_were_left_out(tmp_path):
    records = [{"messages": TALK, "review": "A long review of this run, by hand."}] * 2
    shown = run(tmp_path, records).output
    assert "chat" in shown
    assert "review" in shown
    found = json.loads(run(tmp_path, records, "--json").stdout)
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


def test_brackets_in_a_log_are_no_markup(tmp_path):
    done = run(
        tmp_path, [{"messages": TALK, "[/INST]": "A long review of this run.", "[bold]": "Another one."}]
    )
    assert done.exception is None
    assert "[/INST]" in done.output


def test_a_text_that_looks_like_a_reply_is_warned_of(tmp_path, caplog):
    run(tmp_path, [{"messages": TALK, "response": "An answer that nobody has read."}])
    assert "response looks like text of the conversation" in caplog.text
    run(tmp_path, [{"messages": TALK, "blocks": [{"thinking": "A thought that nobody has read."}]}])
    assert "blocks[].thinking looks like text of the conversation" in caplog.text
    caplog.clear()
    run(tmp_path, [{"messages": TALK, "review": "An answer that nobody has read."}])
    assert "looks like" not in caplog.text


def test_repeated_histories_and_records_without_the_agent_are_counted(tmp_path):
    call = {"request": {"messages": TALK[:1]}, "response": TALK[1]}
    longer = {
        "request": {"messages": [*TALK, TALK[0]]},
        "response": {"role": "assistant", "content": "Still."},
    }
    found = json.loads(run(tmp_path, [call, longer, {"messages": TALK[:1]}], "--json").stdout)
    assert (found["trajectories"], found["repeated"], found["bad_records"]) == (1, 1, 1)
    assert "no turn of the agent" in found["problems"][0]
    assert (found["formats"]["chat"]["agent_turns"], found["agent_turns"]) == (3, 2)
    shown = run(tmp_path, [call, longer]).output.splitlines()
    read, written = (line.split() for line in shown if line.startswith(("chat", "written")))
    assert (read[2:4], written) == (["2", "3"], ["written,", "without", "repeats", "1", "2"])
    assert "written," not in run(tmp_path, [longer]).output


def test_each_bad_record_is_in_a_counted_group_that_names_the_file(tmp_path, caplog):
    broken = [{"messages": TALK[:1], "id": str(number)} for number in range(150)]
    records = [{"messages": TALK}, *broken, {"messages": [{**TALK[0], "role": "judge"}, TALK[1]]}]
    done = run(tmp_path, records, "--json")
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
    run(tmp_path, [{"messages": TALK}], str(tmp_path))
    bad = [line for line in caplog.messages if "bad record" in line]
    assert bad[0].startswith(f"bad records: {tmp_path}/24.jsonl: 2, the first at record 1, line 1: not JSON")
    assert len(bad) == 21
    assert bad[-1] == "5 more bad records, of 5 other files and reasons (lar import --json counts them)"
