"""Measures one piece on a GPU within --minutes.

    python -m benches.gpu.run throughput-qwen3 --out results/
    python -m benches.gpu.run pretrained-tau_bench --rehearse --out results/

Reads the store of `store.py`, and downloads nothing. Writes OUT/PIECE.json after each figure, and prints a
short table at the end. `--arms` chooses the arms of an `agents` piece. METHOD.md explains the figures.
`--rehearse` runs the piece in miniature, with a tiny model and a few generated tickets of the demo's order
desk, on a CPU, in less than a minute.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # it runs as a file as well as a module

from benches import entry
from benches.gpu.clock import Clock, ended_at_limit
from benches.gpu.manifest import AGENTS, PIECES, PRETRAINED, THROUGHPUT, Manifest, commit_of
from benches.gpu.store import DEFAULT, add_site, missing

MINUTES = 7.0


def main(arguments: list[str] | None = None) -> int:
    """Run the piece; exit code 0, 1 if a stage failed, 2 if a file is missing, 3 if its time is up."""
    clock = Clock(MINUTES)  # before torch is imported, which takes seconds
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.arms and options.piece not in AGENTS:
        parser.error(f"{options.piece} has no --arms")
    clock.limit = 60 * options.minutes
    add_site(options.store)
    if options.rehearse:
        with tempfile.TemporaryDirectory() as folder:
            return _run(options, clock, Path(folder), "rehearsal")
    lacking = missing(options.store, options.piece)
    if lacking:
        print(f"{options.store} lacks {', '.join(lacking)}: store the loads first", file=sys.stderr)
        return 2
    return _run(options, clock, options.store, Manifest.read(options.store).commit)


def _run(options: argparse.Namespace, clock: Clock, store: Path, packed: str) -> int:
    from benches.gpu.record import Record

    given = {name: str(value) for name, value in vars(options).items()}
    commit = commit_of(Path(__file__).parent) or packed
    record = Record(options.out / f"{options.piece}.json", options.piece, given, clock, commit)
    piece, print_table, what = _piece(options.piece)
    scale = piece.FULL
    if options.rehearse:
        from benches.gpu import miniature

        miniature.make(store)
        scale = miniature.SCALES[options.piece]
    if options.arms:
        from benches.agents.arms import matching

        scale = replace(scale, arms=tuple(matching(options.arms)))

    def last_lines() -> None:
        print_table(record.figures)
        for line in [*record.cut, *(f"failed: {name}" for name in record.errors)]:
            print(line)
        print(f"{options.piece}: {clock.seconds:.0f} s; figures in {record.file}")

    def at_limit() -> None:
        record.was_cut("the piece was ended at its limit")
        last_lines()

    with ended_at_limit(clock, at_limit):
        piece.measure(store, what, scale, record)
    record.end()
    last_lines()
    return 1 if record.errors else 0


def _piece(name: str) -> tuple[Any, Callable[[dict[str, Any]], None], str]:
    """The module of a piece, what prints its figures, and what it measures; no other piece is imported."""
    if name in THROUGHPUT:
        from benches.gpu import throughput_piece

        return throughput_piece, throughput_piece.print_table, THROUGHPUT[name]
    if name in PRETRAINED:
        from benches.gpu import curves, pretrained_piece

        return pretrained_piece, curves.print_table, PRETRAINED[name]
    from benches.gpu import agents_piece

    return agents_piece, agents_piece.print_table, AGENTS[name]


def _parser() -> argparse.ArgumentParser:
    parser = entry.parser(__doc__)
    parser.add_argument("piece", choices=PIECES, help="the piece that is measured")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--store", type=Path, default=DEFAULT, help="folder of the stored loads")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="minutes that the piece may take")
    parser.add_argument(
        "--arms", nargs="+", help="patterns of an `agents` piece's arms (default: base to lar-1024)"
    )
    parser.add_argument("--rehearse", action="store_true", help="run in miniature on a CPU")
    return parser


if __name__ == "__main__":
    entry.run(main)
