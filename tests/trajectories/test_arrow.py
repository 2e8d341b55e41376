"""Arrow files and the folders that `datasets` saves: rows as in Parquet."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather

from testing.sessions import agent, call, read, result, user

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "Count bay 4"},
            {"role": "assistant", "tool_calls": [{"id": "c1", "name": "count", "arguments": {"bay": 4}}]},
            {"role": "tool", "content": "12", "tool_call_id": "c1"},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "Mail it"},
            {"role": "assistant", "tool_calls": [{"id": "c2", "name": "mail", "arguments": {"to": "ops"}}]},
            {"role": "tool", "content": "ok", "tool_call_id": "c2"},
        ]
    },
]
EXPECTED = [
    [user("Count bay 4"), agent("", call("count", '{"bay": 4}', "c1")), result("12", None, "c1")],
    [user("Mail it"), agent("", call("mail", '{"to": "ops"}', "c2")), result("ok", None, "c2")],
]


def write_stream(path: Path, rows: list[dict[str, Any]] = ROWS, *, whole: bool = True) -> Path:
    """Write one batch a row; without its end if not `whole`."""
    table = pa.Table.from_pylist(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = pa.ipc.new_stream(file, table.schema)
        for batch in table.to_batches(max_chunksize=1):
            writer.write_batch(batch)
        if whole:
            writer.close()
    return path


def save(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write a dataset as `datasets` saves it: its rows, notes, and what `map` has cached beside them."""
    write_stream(folder / "data-00000-of-00001.arrow", rows)
    write_stream(folder / "cache-0a1b.arrow")
    (folder / "dataset_info.json").write_text('{"features": {}}')
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def test_a_stream(tmp_path: Path) -> None:
    found, _ = read(write_stream(tmp_path / "rows.arrow"), strict=True)
    assert [item.messages for item in found] == EXPECTED


@pytest.mark.parametrize("compression", ["uncompressed", "zstd"])
def test_the_file_format(tmp_path: Path, compression: str) -> None:
    feather.write_feather(pa.Table.from_pylist(ROWS), tmp_path / "rows.feather", compression=compression)
    found, _ = read(tmp_path / "rows.feather", strict=True)
    assert [item.messages for item in found] == EXPECTED


def test_a_file_cut_between_two_batches_is_a_problem(tmp_path: Path) -> None:
    found, report = read(write_stream(tmp_path / "rows.arrow", whole=False))
    assert [item.messages for item in found] == EXPECTED
    assert "cut off" in report.problems.summary()


def test_damaged_files_give_one_clear_problem(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "rows.arrow")
    data = path.read_bytes()
    for size in range(4, len(data), 97):
        path.write_bytes(data[:size])
        write_stream(tmp_path / "whole.arrow")
        _, report = read(tmp_path)
        assert report.problems.count == 1
        assert "Arrow" in report.problems.summary()


def test_a_saved_dataset(tmp_path: Path) -> None:
    found, report = read(save(tmp_path / "bays"), strict=True)
    assert [item.messages for item in found] == EXPECTED
    assert report.problems.count == 0
    assert report.not_read["notes and caches of datasets"].files == 3


def test_a_saved_dataset_of_splits(tmp_path: Path) -> None:
    (tmp_path / "bays").mkdir()
    (tmp_path / "bays/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for split, row in zip(("train", "test"), ROWS, strict=True):
        save(tmp_path / "bays" / split, [row])
    found, _ = read(tmp_path / "bays", strict=True)
    names = [f"bays/{split}/data-00000-of-00001.arrow" for split in ("test", "train")]
    assert [item.source for item in found] == names


def test_a_cache_of_datasets_has_no_state(tmp_path: Path) -> None:
    folder = save(tmp_path / "bays")
    (folder / "state.json").unlink()
    found, _ = read(folder, strict=True)
    assert len(found) == 2


def test_what_datasets_itself_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=rows).save_to_disk(tmp_path / "bays")
    found, report = read(tmp_path / "bays", strict=True)
    assert [item.messages for item in found] == EXPECTED
    assert report.problems.count == 0


def test_a_map_is_an_object(tmp_path: Path) -> None:
    call_type = pa.struct([("name", pa.string()), ("arguments", pa.map_(pa.string(), pa.string()))])
    message = pa.struct(
        [("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(call_type))]
    )
    row = [
        {"role": "user", "content": "Mail it"},
        {"role": "assistant", "tool_calls": [{"name": "mail", "arguments": [("to", "ops")]}]},
    ]
    table = pa.table({"messages": pa.array([row], pa.list_(message))})
    feather.write_feather(table, tmp_path / "rows.arrow", compression="uncompressed")
    (found,), _ = read(tmp_path / "rows.arrow", strict=True)
    assert found.messages[1] == agent("", call("mail", '{"to": "ops"}'))


def test_an_object_of_nulls_alone_is_an_absent_one(tmp_path: Path) -> None:
    nothing = {"type": None}
    properties = {"bay": {"type": "integer"}, "to": nothing}
    tool = {"name": "count", "parameters": {"type": "object", "properties": properties}}
    calls = [{"name": name, "arguments": arguments} for name, arguments in TO_CALL]
    row = {"messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "tool_calls": calls}]}
    (found,), _ = read(write_stream(tmp_path / "rows.arrow", [{**row, "tools": [tool]}]), strict=True)
    assert found.messages[1] == agent("", call("count", '{"bay": {"number": 4}}'), call("stop", "{}"))
    assert found.tools is not None
    assert found.tools[0]["function"]["parameters"]["properties"] == {"bay": {"type": "integer"}}


TO_CALL: list[tuple[str, dict[str, Any]]] = [
    ("count", {"bay": {"number": 4}, "to": {"name": None}}),
    ("stop", {"bay": {"number": None}, "to": {"name": None}}),
]


def test_results_of_software_tasks(tmp_path: Path) -> None:
    """SWE-smith's rows: messages as JSON text, and whether the tests passed."""
    messages = json.dumps([{"role": "user", "content": "Fix it"}, {"role": "assistant", "content": "Done."}])
    rows = [{"messages": messages, "instance_id": "repo__1", "resolved": done} for done in (True, False)]
    found, _ = read(write_stream(tmp_path / "rows.arrow", rows), strict=True)
    assert [(item.task, item.success) for item in found] == [("chat/repo__1", True), ("chat/repo__1", False)]
