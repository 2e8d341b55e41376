r"""What an entropy gate without a teacher does to a student, beside the teacher's gate.

    OMP_NUM_THREADS=1 python -m benches.training.gate_substitute --data ../shared/data \
        --corpora fireact intercode_sql tau_bench -o results/

For each corpus:
1. A tokenizer, and a tiny Llama trained from scratch on the training tasks: the teacher.
2. The corpus twice: scored by the teacher, and unscored, where a gate takes n-gram entropies.
3. A vocabulary of --size latents behind the teacher's gate. Its reduction on the held-out tasks is the aim
   for the others: the substitute's quantile, and the number of latents without a gate, come as near as they
   can. Held-out text is used for nothing else before the end.
4. A student of each vocabulary, and a control without latents: the same data and steps.

Bits per byte are of the agent's text in one sample of held-out windows. Each stage writes a file or a folder
and is skipped if that exists, so a stopped run continues.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import lar
from benches import entry
from benches.claim import claim
from benches.training.pretrained import BITS, HELD_OUT, TOP_K, first_attempts, log_of, steps
from benches.training.training_arms import packed_rows
from lar.demo.base_model import BaseModelOptions, new_model
from lar.demo.base_tokenizer import train_tokenizer
from lar.distillation import DistillOptions
from lar.models.causal_lm import load_model, no_bar
from lar.models.hidden_states import hidden_states
from lar.utils.files import atomic_folder, write_json

SHAPE = BaseModelOptions(width=192, layers=3, heads=6, feed_forward=512, context=2048)
TEACHER, SUBSTITUTE, UNGATED, CONTROL = "teacher", "substitute", "none", "control"
ARMS = (CONTROL, TEACHER, SUBSTITUTE, UNGATED)


@dataclass(frozen=True)
class Settings:
    """What all corpora and arms share; see the options of the command line."""

    attempts: int = 1
    tasks: int | None = None
    ids: int = 4096
    size: int = 256
    min_support: int = 5
    gate: float = 60
    teacher_steps: int = 3000
    steps: int = 300
    max_length: int = 512
    windows: int = 64
    seed: int = 0

    @property
    def distillation(self) -> DistillOptions:
        """The options of every arm but for its vocabulary."""
        return DistillOptions(
            loss="marginal",
            cached_teacher=True,
            learning_rate=1e-3,
            max_steps=self.steps,
            max_length=self.max_length,
            evaluate_steps=max(1, self.steps // 3),
            evaluated_windows=self.windows,
            save_steps=max(1, self.steps // 3),
            device="cpu",
            seed=self.seed,
        )


MEANINGS = {
    "attempts": "number of trajectories used of each task",
    "tasks": "number of tasks used, the first of the logs (default: all)",
    "ids": "base ids of the tokenizer",
    "size": "number of latents behind the teacher's gate",
    "min_support": "tasks that a segment must occur in, at least",
    "gate": "the teacher's gate, in percent of the tokens",
    "teacher_steps": "steps of the teacher's training",
    "steps": "steps of each arm",
    "max_length": "base tokens of a window",
    "windows": "held-out windows of an evaluation",
    "seed": "of all training",
}
"""The options of the command line: the fields of `Settings`."""


def main() -> None:
    """Run what is missing of each corpus, and print one table."""
    parser = entry.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--corpora", nargs="+", required=True, help="file names without .jsonl.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of all stages and figures")
    for name, meaning in MEANINGS.items():
        value = getattr(Settings, name)
        kind = float if name == "gate" else int if name == "seed" else entry.positive
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, help=meaning)
    options = parser.parse_args()
    settings = Settings(**{name: getattr(options, name) for name in MEANINGS})
    studies = [Study(name, options.data, options.output / name, settings) for name in options.corpora]
    claim(options.output, asdict(settings))
    head = "| corpus | gate | latents | units, held out | bits a byte, by steps |\n|---|---|---|---|---|"
    for study in studies:
        for arm in ARMS:
            study.train(arm)
        print("\n".join((head, *study.table())), flush=True)


@dataclass(frozen=True)
class Study:
    """One corpus: its teacher, the vocabularies of equal reduction, and their students."""

    name: str
    data: Path
    folder: Path
    settings: Settings

    @cached_property
    def unscored(self) -> lar.Corpus:
        """The corpus without scores."""
        return self._built(self.folder / "unscored")

    @cached_property
    def scored(self) -> lar.Corpus:
        """The corpus with the teacher's entropies and likeliest tokens."""
        corpus, length = self._built(self.folder / "scored"), self.settings.max_length
        return lar.score(corpus, self.teacher, max_length=length, top_k=TOP_K, device="cpu", progress=steps)

    def _built(self, folder: Path) -> lar.Corpus:
        if folder.exists():
            return lar.Corpus.load(folder)
        logs = lar.read_trajectories(self.data / f"{self.name}.jsonl.gz")
        chosen = list(first_attempts(logs, self.settings.attempts, self.settings.tasks))
        return lar.Corpus.build(chosen, train_tokenizer(chosen, size=self.settings.ids), folder)

    @cached_property
    def teacher(self) -> Path:
        """The folder of the tiny model."""
        folder = self.folder / "teacher"
        if not folder.exists():
            learnt, _ = self.unscored.split(HELD_OUT)
            model = trained(learnt, self.settings)
            with atomic_folder(folder, holds=None) as temporary, no_bar():
                model.save_pretrained(temporary)
                learnt.tokenizer.save(temporary)
        return folder

    def vocabulary(self, arm: str) -> lar.LatentVocabulary:
        """The vocabulary of an arm, mined if it does not exist yet."""
        folder = self.folder / "vocabularies" / arm
        if not folder.exists():
            self._mined(arm).save(folder)
        return lar.LatentVocabulary.load(folder)

    def _mined(self, arm: str) -> lar.LatentVocabulary:
        size = self.settings.size
        if arm == TEACHER:
            return self.mined(self.scored, size, f"p{self.settings.gate:g}")
        aim = self.reduction(self.vocabulary(TEACHER))
        if arm == SUBSTITUTE:
            return self.nearest(aim, 99, lambda percent: self.mined(self.unscored, size, f"p{percent}"))
        return self.nearest(aim, size, lambda fewer: self.mined(self.unscored, fewer, None))

    def nearest(
        self, aim: float, most: int, mined: Callable[[int], lar.LatentVocabulary]
    ) -> lar.LatentVocabulary:
        """The vocabulary with the reduction nearest to `aim`, by bisection over the numbers up to `most`."""
        low, high, found = 1, most, []
        while low <= high:
            middle = (low + high) // 2
            vocabulary = mined(middle)
            reduction = self.reduction(vocabulary)
            found.append((abs(reduction - aim), vocabulary))
            low, high = (middle + 1, high) if reduction < aim else (low, middle - 1)
        return min(found, key=lambda pair: pair[0])[1]

    def mined(self, corpus: lar.Corpus, size: int, gate: str | None) -> lar.LatentVocabulary:
        """A vocabulary of the training tasks."""
        learnt, _ = corpus.split(HELD_OUT)
        return lar.mine(learnt, size=size, max_entropy=gate, min_support=self.settings.min_support)

    def reduction(self, vocabulary: lar.LatentVocabulary) -> float:
        """Share of the agent's held-out tokens that the vocabulary saves."""
        _, held_out = self.unscored.split(HELD_OUT)
        return float(lar.evaluate(held_out, vocabulary).total.reduction)

    def train(self, arm: str) -> None:
        """Train an arm's student, unless its record exists."""
        file = self.folder / "arms" / f"{arm}.json"
        if file.exists():
            return
        learnt, held_out = self.scored.split(HELD_OUT)
        options = self.settings.distillation
        vocabulary = None if arm == CONTROL else self.vocabulary(arm)
        folder = self.folder / "students" / arm
        if not folder.exists():
            options = replace(options, control=arm == CONTROL)
            teacher = load_model(self.teacher, device="cpu")
            lar.distill(learnt, teacher, vocabulary, options, folder, held_out=held_out, progress=steps)
        course = {line["step"]: line[BITS] for line in log_of(folder) if BITS in line}
        record = {
            "latents": len(vocabulary.latents) if vocabulary else 0,
            "reduction": self.reduction(vocabulary) if vocabulary else 0.0,
            "bits_per_byte": course,
        }
        file.parent.mkdir(exist_ok=True)
        write_json(file, record)

    def table(self) -> Iterator[str]:
        """One line for each arm."""
        for arm in ARMS:
            record = json.loads((self.folder / "arms" / f"{arm}.json").read_text())
            bits = ", ".join(f"{step}: {value:.3f}" for step, value in record["bits_per_byte"].items())
            yield f"| {self.name} | {arm} | {record['latents']} | {-record['reduction']:.1%} | {bits} |"


def trained(corpus: lar.Corpus, settings: Settings) -> Any:
    """A tiny Llama trained from scratch on the agent's tokens, one packed row of windows a step."""
    torch.manual_seed(settings.seed)
    model = new_model(corpus.tokenizer.base_size, SHAPE)
    rows = packed_rows(corpus, settings.distillation)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, settings.teacher_steps, pct_start=0.1)
    model.train()
    for step in range(settings.teacher_steps):
        row = rows[step % len(rows)]
        hidden = hidden_states(model, row["tokens"], row["token_positions"])[0, row["student_at"]]
        loss = cross_entropy(model.lm_head(hidden), row["labels"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        steps(step + 1, settings.teacher_steps)
    print(f"  loss of the last row: {loss.item():.3f} nats a token", flush=True)
    return model.eval()


if __name__ == "__main__":
    entry.run(main)
