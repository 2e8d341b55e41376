"""How fast `lar import` reads a large log, alternating with `datasets.load_dataset` on the same file.

    python -m benches.importing --make 200 --data DATA log.jsonl     # writes a log of 200 MB of OpenAI chat
    python -m benches.importing --make 200 --calls --data DATA calls.jsonl     # with calls of tools
    python -m benches.importing --make 40 --producer litellm --data DATA litellm.jsonl
    python -m benches.importing --make 40 --producer claude_code --data DATA sessions    # a folder
    python -m benches.importing log.jsonl -o importing.json [--peer PYTHON] [--workers 1 2]

`--peer` is a Python that has `datasets`. Each measurement is a process of its own: wall seconds, CPU seconds
with those of its children, and the largest resident memory of any of them.
"""

import gzip
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benches import entry, producers
from lar.utils.files import write_json

PEER = """
import sys, tempfile
from datasets import load_dataset
path, kind = sys.argv[1:]
with tempfile.TemporaryDirectory(dir=sys.argv[1].rpartition("/")[0] or ".") as cache:
    print(load_dataset(kind, data_files=path, split="train", cache_dir=cache).num_rows)
"""
KINDS = {".jsonl": "json", ".parquet": "parquet"}


def make(data: Path, megabytes: int, target: Path, *, calls: bool = False) -> None:
    """Write a log of chat records: texts of `data`, repeated with other ids and first user messages.

    With `calls`, replies that a user answers become calls of a tool, and the answers their results.
    """
    records = [record for record in _records(data) if all(map(_is_text, record["messages"]))]
    written = 0
    with target.open("wb") as file:
        for record in _again_and_again(records):
            written += file.write(_line(_with_calls(record) if calls else record))
            if written >= megabytes * 1_000_000:
                return


def _records(data: Path) -> list[dict[str, Any]]:
    lines = (gzip.decompress(path.read_bytes()).splitlines() for path in sorted(data.glob("*.jsonl.gz")))
    return [json.loads(line) for some in lines for line in some]


def _again_and_again(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records with an id and a first user message of their own, round after round."""
    for round_ in count():
        for record in records:
            yield _changed(record, round_)


def _is_text(message: dict[str, Any]) -> bool:
    """Whether a message has no calls: `datasets` refuses a file in which only some messages have a member."""
    return message.keys() == {"role", "content"}


def _has_calls(run: dict[str, Any]) -> bool:
    return any(message.get("tool_calls") for message in run["messages"])


def _changed(record: dict[str, Any], round_: int) -> dict[str, Any]:
    messages = [dict(message) for message in record["messages"]]
    for message in messages:
        if message["role"] == "user":
            message["content"] = f"[run {round_}] {message['content']}"
            break
    kept = {name: record[name] for name in ("model", "success")}
    return {"id": f"{record['id']}-{round_}", "task": record["split_key"], **kept, "messages": messages}


def _with_calls(record: dict[str, Any]) -> dict[str, Any]:
    messages = record["messages"]
    for number, (reply, answer) in enumerate(pairwise(messages)):
        if (reply["role"], answer["role"]) == ("assistant", "user"):
            function = {"name": f"tool_{number % 8}", "arguments": json.dumps({"text": reply["content"]})}
            call = {"id": f"call_{number}", "type": "function", "function": function}
            reply |= {"content": None, "tool_calls": [call]}
            answer |= {"role": "tool", "tool_call_id": call["id"]}
    return {**record, "tools": [{"type": "function", "function": {"name": f"tool_{n}"}} for n in range(8)]}


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def measure(command: list[str]) -> dict[str, float]:
    """Run `command` and return its wall seconds, CPU seconds and largest resident megabytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    program = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)"
    )
    program += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code.returncode)"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "megabytes": int(done.stdout.split()[-1]) / 1024}


def compare(log: Path, peer: str | None, workers: list[int], rounds: int) -> dict[str, Any]:
    """Medians of `rounds` alternating measurements of each way to read `log`."""
    files = log.glob("*") if log.is_dir() else [log]
    size = sum(file.stat().st_size for file in files) / 1e6
    folder = Path(tempfile.mkdtemp(dir=log.parent))
    ways = {
        f"lar import --workers {number}": [
            *(sys.executable, "-m", "lar", "import", str(log), "-o", str(folder / "out.parquet")),
            *("--overwrite", "--workers", str(number)),
        ]
        for number in workers
    }
    if peer:
        ways["datasets.load_dataset"] = [peer, "-c", PEER, str(log), KINDS[log.suffix]]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    try:
        for _ in range(rounds):
            for name, command in ways.items():
                runs[name].append(measure(command))
                print(name, runs[name][-1], flush=True)
    finally:
        shutil.rmtree(folder)
    return {"megabytes": size, **{name: _medians(found, size) for name, found in runs.items()}}


def _medians(runs: list[dict[str, float]], size: float) -> dict[str, float]:
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    speeds = {"MB/s": size / found["seconds"], "MB/s of CPU": size / found["cpu"]}
    return {name: round(value, 2) for name, value in (found | speeds).items()}


def main() -> None:
    """Make a log, or measure one."""
    parser = entry.parser(__doc__)
    parser.add_argument("log", type=Path, help=".jsonl or .parquet, or a folder of sessions")
    parser.add_argument(
        "--make",
        type=entry.positive,
        metavar="MB",
        help="write the log, of so many megabytes (default: measure the log)",
    )
    parser.add_argument("--calls", action="store_true", help="write a log with calls of tools")
    parser.add_argument(
        "--producer",
        choices=[*producers.LINES, *producers.SESSIONS],
        help="write the log as this program does, of runs with calls (default: plain OpenAI chat)",
    )
    parser.add_argument("--data", type=Path, help="folder of *.jsonl.gz to make the log of (default: none)")
    parser.add_argument("--peer", help="a Python with `datasets` (default: no peer)")
    parser.add_argument(
        "--workers",
        type=entry.positive,
        nargs="+",
        default=[1, 2],
        help="numbers of processes of `lar import`",
    )
    parser.add_argument(
        "--rounds", type=entry.positive, default=5, help="number of measurements; the median is reported"
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON file of the figures (default: printed alone)")
    options = parser.parse_args()
    if options.log.suffix not in KINDS and (options.peer or not (options.producer or options.log.is_dir())):
        parser.error(f"{options.log}: the log must end in {' or '.join(KINDS)}")
    if options.producer and (options.calls or not options.make):
        parser.error("--producer goes with --make, and without --calls: its runs have their own")
    if options.make:
        if options.data is None:
            parser.error("--make needs --data")
        if options.producer:
            runs = [run for run in _records(options.data) if _has_calls(run) and producers.with_tools(run)]
            if not runs:
                parser.error(f"{options.data}: no run with calls of tools")
            producers.write(_again_and_again(runs), options.producer, options.make, options.log)
            return
        make(options.data, options.make, options.log, calls=options.calls)
        return
    found = compare(options.log, options.peer, options.workers, options.rounds)
    print(json.dumps(found, indent=2))
    if options.output:
        write_json(options.output, found)


if __name__ == "__main__":
    entry.run(main)
