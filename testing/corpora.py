"""A small corpus to build, and the files of a folder."""

from pathlib import Path

from lar.corpus import Corpus
from lar.trajectories.schema import Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import agent, call, result, tokenizer_with, user

CHATML = tokenizer_with(without_tags(TEMPLATES["chatml"]))


def make_trajectories(count: int = 200, tasks: int = 20) -> list[Trajectory]:
    return [
        Trajectory(
            id=f"run{number}",
            task=f"task{number % tasks}",
            messages=[
                user(f"do {number}"),
                {**call(content="I will."), **({} if number % 3 else {"reasoning_content": f"{number}"})},
                result("x" * (number % 7)),
                agent("done"),
            ],
            success=[True, False, None][number % 3],
        )
        for number in range(count)
    ]


def build(tmp_path: Path, name: str = "corpus", **options) -> Corpus:
    return Corpus.build(make_trajectories(), CHATML, tmp_path / name, **{"shard_tokens": 2000, **options})


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
