"""The store of a rehearsal: a few tickets of the demo's order desk, made-up questions, and a tiny model."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import lar
from benches.gpu import manifest
from benches.gpu.agents_piece import Scale as AgentsScale
from benches.gpu.manifest import LOGS
from benches.gpu.pretrained_piece import Scale as PretrainedScale
from benches.gpu.throughput_piece import Scale as ThroughputScale
from lar.demo.base_model import BaseModelOptions, new_model
from lar.demo.base_tokenizer import train_tokenizer
from lar.demo.expert import demonstrations
from lar.demo.tasks import training_tasks

TICKETS = 40
THROUGHPUT = ThroughputScale(
    shape="tiny",
    device="cpu",
    rounds=1,
    steps=1,
    max_length=256,
    batch_tokens=512,
    row_units=32,
    row_rounds=1,
)
PRETRAINED = PretrainedScale(
    device="cpu",
    sizes=(8, 16),
    max_length=256,
    batch_tokens=512,
    windows=4,
    evaluations=2,
    least_steps=4,
    most_steps=4,
    adapt_steps=4,
    probe_steps=3,
)
AGENTS = AgentsScale(
    device="cpu",
    arms=("react", "lar-256"),
    splits=("test", "unseen"),
    tasks=4,
    batch=2,
    max_units=8,
    max_length=512,
    batch_tokens=512,
    adapt_steps=4,
    steps=4,
)
SCALES = {
    **dict.fromkeys(manifest.THROUGHPUT, THROUGHPUT),
    **dict.fromkeys(manifest.PRETRAINED, PRETRAINED),
    **dict.fromkeys(manifest.AGENTS, AGENTS),
}
QUESTIONS = 420  # the world holds 400 of them out


def make(store: Path) -> None:
    """Write corpora, latents, questions and a model into the store, and set torch to one thread."""
    torch.set_num_threads(1)  # matrices this small are slower on several threads
    tickets = list(demonstrations(training_tasks(TICKETS, seed=0)))
    tokenizer = train_tokenizer(tickets, size=512)
    model = new_model(tokenizer.base_size, BaseModelOptions(width=48, layers=2))
    folder = store / "model"
    model.save_pretrained(folder)
    tokenizer.save(folder)
    for name in LOGS:
        lar.Corpus.build(tickets, folder, store / name)
    for name in ("scored", "trained"):
        lar.Corpus.build(tickets[:8], folder, store / "throughput" / name)
    corpus = lar.Corpus.load(store / LOGS[0])
    lar.mine(corpus, size=8).save(store / "throughput" / "vocabulary")
    _make_questions(store / "agents" / "tasks" / "search_qa")


def _make_questions(folder: Path) -> None:
    """Write made-up questions, their passages and runs, with the names and fields of `search_qa`."""
    folder.mkdir(parents=True)
    names = [f"thing {number}" for number in range(QUESTIONS)]
    _write(
        folder / "questions.jsonl.gz",
        (
            {"split_key": n, "dataset": "nq", "question": f"where is {n}", "answers": [f"in {n}"]}
            for n in names
        ),
    )
    _write(folder / "passages.jsonl.gz", ({"title": name, "text": f"It is in {name}."} for name in names))
    _write(folder / "trajectories.jsonl.gz", map(_run, names))


def _run(name: str) -> dict[str, Any]:
    said = [
        ("system", "You help."),
        ("user", f"Search, then answer. Question: where is {name}?\n"),
        ("assistant", f"<think> I look for it. </think> <search> {name} </search>"),
        ("user", f"\n\n<information>It is in {name}.</information>\n\n"),
        ("assistant", f"<think> I found it. </think> <answer> in {name} </answer>"),
    ]
    messages = [{"role": role, "content": content} for role, content in said]
    about = {"id": name, "split_key": name, "success": True, "model": "made up", "meta": {"run": "v1"}}
    return {**about, "messages": messages}


def _write(file: Path, records: Iterable[dict[str, Any]]) -> None:
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)
