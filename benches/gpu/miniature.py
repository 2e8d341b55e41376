"""The store of a rehearsal: a few tickets of the demo's order desk and a tiny model."""

from pathlib import Path

import torch

import lar
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


def make(store: Path) -> None:
    """Write corpora, latents and a model into the store, and set torch to one thread."""
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
