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
