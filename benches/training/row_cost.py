"""The cost of the new rows: a training step with ours, with PEFT's, and with frozen embeddings, on a CPU.

    python -m benches.training.row_cost -o row_cost.json

All arms have the same LoRA and read one batch of random units: forward, cross-entropy over all positions,
backward, alternating. `frozen` has no latents (base token 0 replaces those of the batch), `split` has our
rows, and `peft` has the latents inside resized matrices with `trainable_token_indices` in the embedding and
the head. Memory is the peak of a process for each arm, minus its memory before the first step.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional

from benches import entry
from benches.training.shapes import SHAPES, random_model
from benches.training.training_arms import forget_peak, peak_memory, sharing_weights
from lar.distillation.rows.rows import LatentRows
from lar.models.device import autocast
from lar.utils.files import write_json

Step = Callable[[], None]
ROWS, LATENTS, UNITS = 151_936, 1024, 256


@dataclass(frozen=True)
class Batch:
    """Random units (1, n) over `rows` base rows and `latents` latents; every fourth is a latent."""

    units: Tensor
    rows: int
    latents: int

    @classmethod
    def random(cls, length: int, rows: int, latents: int, device: torch.device) -> "Batch":
        """A batch of `length` units, always the same."""
        generator = torch.Generator().manual_seed(0)
        units = torch.randint(rows, (1, length), generator=generator)
        units[:, ::4] = rows + torch.randint(latents, units[:, ::4].shape, generator=generator)
        return cls(units.to(device), rows, latents)

    @property
    def base(self) -> Tensor:
        """The units with token 0 in place of each latent."""
        return self.units.masked_fill(self.units >= self.rows, 0)


def frozen(model: Any, batch: Batch) -> Step:
    """LoRA alone."""
    return _step(_with_lora(sharing_weights(model)), batch.base, model)


def split(model: Any, batch: Batch) -> Step:
    """LoRA, with the rows of the latents beside the base matrices."""
    adapted = _with_lora(sharing_weights(model))
    start = torch.randn(batch.latents, model.config.hidden_size, device=model.device) * 0.02
    LatentRows(batch.rows, start, start).attach(adapted)
    return _step(adapted, batch.units, model)


def peft(model: Any, batch: Batch) -> Step:
    """LoRA with `trainable_token_indices` for both matrices (the list form trains only one)."""
    matrices = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    resized = sharing_weights(model, but=matrices)  # resizing changes them in place
    resized.resize_token_embeddings(batch.rows + batch.latents, mean_resizing=False)
    latents = list(range(batch.rows, batch.rows + batch.latents))
    names = ["embed_tokens"] if model.config.tie_word_embeddings else ["embed_tokens", "lm_head"]
    adapted = _with_lora(resized, trainable_token_indices=dict.fromkeys(names, latents))
    return _step(adapted, batch.units, model)


ARMS: dict[str, Callable[[Any, Batch], Step]] = {"frozen": frozen, "split": split, "peft": peft}


def _with_lora(model: Any, **settings: Any) -> Any:
    return get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    ).train()


def _step(model: Any, units: Tensor, frozen: Any) -> Step:
    """Forward and backward in the precision of the `frozen` weights; gradients are discarded."""

    def step() -> None:
        with autocast(frozen):
            logits = model(input_ids=units, use_cache=False).logits
        functional.cross_entropy(logits[0, :-1].float(), units[0, 1:]).backward()
        model.zero_grad(set_to_none=True)
        if units.is_cuda:
            torch.cuda.synchronize()

    return step


def main() -> None:
    """Measure all arms, write the record and print the table."""
    parser = entry.parser(__doc__)
    parser.add_argument(
        "--rounds", type=entry.positive, default=7, help="number of measurements; the median is reported"
    )
    parser.add_argument("--threads", type=entry.positive, help="torch threads (default: torch's)")
    parser.add_argument(
        "--memory-of",
        choices=ARMS,
        help="only print the memory of this arm's steps, in bytes (default: measure all)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("row_cost.json"), help="JSON file of the figures"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cpu")
    model = random_model(SHAPES["row-cost"], ROWS, device)
    batch = Batch.random(UNITS, ROWS, LATENTS, device)
    if options.memory_of:
        print(memory(ARMS[options.memory_of](model, batch), device))
        return
    record = measure(model, batch, options.rounds)
    record["setting"] = {name: str(value) for name, value in vars(options).items()}
    write_json(options.output, record)
    for name, found in record["arms"].items():
        print(
            f"{name:<8} {found['seconds']:8.3f} s {found['ratio']:6.3f}x {found['memory'] / 2**30:8.3f} GiB"
        )


def measure(
    model: Any, batch: Batch, rounds: int, memory_of: Callable[[str], int] | None = None
) -> dict[str, Any]:
    """Median seconds of each arm's step, and the median of its ratios to `frozen`; the arms alternate.

    `memory_of` returns the bytes that an arm's steps take; by default a separate process measures them.
    """
    steps = {name: make(model, batch) for name, make in ARMS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    arms = {
        name: {
            "seconds": median(found[1:]),
            "ratio": median(a / b for a, b in zip(found[1:], seconds["frozen"][1:], strict=True)),
            "memory": (memory_of or _memory_of_process)(name),
        }
        for name, found in seconds.items()
    }
    return {"arms": arms}


def memory(step: Step, device: torch.device) -> int:
    """Peak bytes of two steps over the memory in use before them, which includes the arm's own weights."""
    forget_peak(device)
    before = peak_memory(device)
    step()
    step()
    return peak_memory(device) - before


def _memory_of_process(name: str) -> int:
    command = [sys.executable, "-m", "benches.training.row_cost", *sys.argv[1:], "--memory-of", name]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(ended.stdout.splitlines()[-1])


if __name__ == "__main__":
    entry.run(main)
