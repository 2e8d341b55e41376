r"""A student and its control in real engines, alternately, on held-out turns of real logs.

    python -m benches.engines.serving --models models/ --trajectories shared/data/tau_bench.jsonl.gz \
        --vllm vllm/bin/python --llama-cpp llama.cpp/ -o serving.json

`--models` holds two exports, `student` and `control` (`make engine-models`). A turn is the agent's next
message in a real conversation, of a task that the vocabulary has not seen. Decoding is greedy, in float32,
with at most `--max-tokens` base tokens or units. Each engine serves both models at once, and they are asked
alternately. `same text`: replies equal to those of transformers with the same export. Where a reply differs,
the bench prints the margin by which transformers chose the first unit that differs.
"""

import argparse
import contextlib
import json
import re
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import lar
from lar.vocabulary.vocabulary import LatentVocabulary
from testing.engines import engines
from testing.engines.expected import Cached, Reply

ARMS = ("control", "student")
LONGEST = 2000  # base tokens of a prompt
NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4, "prompt_lookup_min": 2}


@dataclass(frozen=True)
class Turn:
    """A conversation up to a turn of the agent."""

    id: str
    messages: list[dict[str, Any]]


def main() -> None:
    """Measure the chosen engines, print a row for each arm, and write all turns as JSON."""
    options = _arguments()
    exports = {arm: options.models / arm for arm in ARMS}
    expected = {arm: Cached(folder) for arm, folder in exports.items()}
    turns = chosen_turns(options, expected["control"])
    replies = {
        arm: [reference.reply(as_engines_read(turn.messages), options.max_tokens) for turn in turns]
        for arm, reference in expected.items()
    }
    tokenizers = {arm: reference.tokenizer for arm, reference in expected.items()}
    del expected
    results: dict[str, Any] = {}
    print(
        "engine  arm      units a turn  base tokens  seconds (median)  for 100  context  same text",
        flush=True,
    )
    for engine, serve in _engines(options):
        with tempfile.TemporaryDirectory() as logs:
            asked = ask_all(serve, exports, turns, options.max_tokens, Path(logs))
        for arm in ARMS:
            row = results[f"{engine} {arm}"] = summary(asked[arm], replies[arm], tokenizers["control"])
            row["margins"] = margins_where_they_part(asked[arm], replies[arm], tokenizers[arm])
            print(
                f"{engine:7} {arm:8} {row['units']:12.1f} {row['base_tokens']:12.1f} {row['seconds']:17.2f} "
                f"{row['seconds_for_100']:8.2f} "
                f"{row['context']:8.1f} {row['same_text']:4d} of {len(turns)}, "
                f"margins {[round(margin, 4) for margin in row['margins']]}",
                flush=True,
            )
        both = [[one["seconds"] for one in asked[arm]] for arm in ARMS]
        ratios = [student / control for control, student in zip(*both, strict=True)]
        results[f"{engine} ratio"] = statistics.median(ratios)
        print(f"{engine}: student's seconds over control's, median of turns {results[f'{engine} ratio']:.3f}")
        if counted := {arm: asked[arm][-1]["counters"] for arm in ARMS if asked[arm][-1]["counters"]}:
            print(f"{engine}: {json.dumps(counted)}", flush=True)
        results[f"{engine} turns"] = asked
    options.output.write_text(json.dumps(results, indent=1) + "\n")


def chosen_turns(options: argparse.Namespace, reference: Cached) -> list[Turn]:
    """`--turns` turns of unseen tasks with prompts of at most LONGEST tokens, evenly spaced."""
    vocabulary = LatentVocabulary.load(options.models / "student" / "latent_vocabulary")
    turns = [
        turn
        for trajectory in lar.read_trajectories([options.trajectories])
        if not vocabulary.has_seen(trajectory.task)
        for turn in turns_of(trajectory)
        if len(reference.prompt(as_engines_read(turn.messages))) <= LONGEST
    ]
    if len(turns) < options.turns:
        raise SystemExit(f"{options.trajectories}: only {len(turns)} turns of unseen tasks")
    return [turns[index * len(turns) // options.turns] for index in range(options.turns)]


def turns_of(trajectory: lar.Trajectory) -> Iterator[Turn]:
    """A turn for each message of the agent after the first message of the user."""
    for place, message in enumerate(trajectory.messages):
        before = [_plain(earlier) for earlier in trajectory.messages[:place]]
        if message["role"] == "assistant" and any(earlier["role"] == "user" for earlier in before):
            yield Turn(f"{trajectory.id}#{place}", before)


def _plain(message: Any) -> dict[str, Any]:
    """The message in the format of the OpenAI API."""
    plain = {"role": message["role"], "content": message.get("content") or ""}
    if calls := message.get("tool_calls"):
        plain["tool_calls"] = [
            {"id": call.get("id") or f"call{index}", "type": "function", "function": call["function"]}
            for index, call in enumerate(calls)
        ]
    if message["role"] == "tool":
        plain["tool_call_id"] = message.get("tool_call_id") or "call0"
    return plain


def as_engines_read(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as vLLM and llama-server pass them to a template: arguments of calls as objects."""
    return [
        {**message, "tool_calls": _read_calls(message)} if _calls(message) else message
        for message in messages
    ]


def _read_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    read = []
    for call in _calls(message):
        function = call["function"]
        read.append({**call, "function": {**function, "arguments": json.loads(function["arguments"])}})
    return read


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = message.get("tool_calls") or []
    return calls


def _engines(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    if options.vllm:
        yield "vllm", lambda folder, log: engines.vllm_serve(folder, log, python=options.vllm, length=4096)
    if options.vllm_ngram:
        speculation = ("--speculative-config", json.dumps(NGRAM))
        yield (
            "ngram",
            lambda folder, log: engines.vllm_serve(
                folder, log, *speculation, python=options.vllm_ngram, length=4096
            ),
        )
    if options.llama_cpp:
        yield "llama", lambda folder, log: engines.llama_server(folder, log, llama_cpp=options.llama_cpp)


def ask_all(
    serve: Any, exports: dict[str, Path], turns: list[Turn], max_tokens: int, logs: Path
) -> dict[str, list[dict[str, Any]]]:
    """Ask both models for each turn; the first one alternates."""
    asked: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    servers: dict[str, AbstractContextManager[engines.Server]] = {
        arm: serve(folder, logs / arm) for arm, folder in exports.items()
    }
    with servers["control"] as control, servers["student"] as student:
        clients = {"control": engines.client(control), "student": engines.client(student)}
        for number, turn in enumerate(turns):
            for arm in ARMS if number % 2 else reversed(ARMS):
                asked[arm].append(ask(clients[arm], arm, turn, max_tokens))
        for arm, server in (("control", control), ("student", student)):
            asked[arm][-1] |= {"counters": counters(server)}
    return asked


def counters(server: engines.Server) -> dict[str, float]:
    """Counters of a vLLM server: prompt tokens, prefix cache hits, drafts, accepted ids."""
    found = {}
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if match := re.match(r"vllm:(prefix_cache_\w+|spec_decode_num_\w+)_total\S* (\S+)", line):
                found[match[1]] = float(match[2])
    return found


def ask(client: Any, model: str, turn: Turn, max_tokens: int) -> dict[str, Any]:
    """One greedy reply: text, number of generated and of prompt ids, seconds."""
    began = time.perf_counter()
    done = client.chat.completions.create(
        model=model, messages=turn.messages, temperature=0, max_tokens=max_tokens
    )
    return {
        "turn": turn.id,
        "seconds": time.perf_counter() - began,
        "tokens": done.usage.completion_tokens,
        "context": done.usage.prompt_tokens,
        "finish": done.choices[0].finish_reason,
        "text": done.choices[0].message.content or "",
    }


def summary(asked: list[dict[str, Any]], replies: list[Reply], base: Any) -> dict[str, Any]:
    """Means of counts, the median of seconds, seconds for 100 base tokens, and the number of equal texts.

    `base_tokens`: the tokens of the same text by the tokenizer `base`, which a model without latents would
    have to generate, plus the end of the turn where it was reached.
    """
    base_tokens = [len(base.encode(one["text"])) + (one["finish"] != "length") for one in asked]
    return {
        "units": statistics.fmean(one["tokens"] for one in asked),
        "base_tokens": statistics.fmean(base_tokens),
        "seconds": statistics.median(one["seconds"] for one in asked),
        "seconds_for_100": 100 * sum(one["seconds"] for one in asked) / sum(base_tokens),
        "context": statistics.fmean(one["context"] for one in asked),
        "ended": sum(one["finish"] != "length" for one in asked),
        "same_text": sum(map(is_same_text, asked, replies)),
    }


def is_same_text(one: dict[str, Any], reply: Reply) -> bool:
    """Whether the engine's text equals that of transformers, apart from white space around it."""
    return bool(one["text"].strip() == reply.text.strip())


def margins_where_they_part(asked: list[dict[str, Any]], replies: list[Reply], tokenizer: Any) -> list[float]:
    """The margin of the first differing unit of each text that differs from transformers', ascending."""
    margins = []
    for one, reply in zip(asked, replies, strict=True):
        if not is_same_text(one, reply):
            agreed = agreed_units(one["text"], reply, tokenizer)
            margins.append(reply.margins[min(agreed, len(reply.margins) - 1)])
    return sorted(margins)


def agreed_units(text: str, reply: Reply, tokenizer: Any) -> int:
    """The number of leading units of the reply that the text begins with."""
    texts = (tokenizer.decode(reply.ids[: number + 1]).lstrip() for number in range(len(reply.ids)))
    return sum(1 for _ in takewhile(text.lstrip().startswith, texts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with `student` and `control`")
    parser.add_argument("--trajectories", type=Path, required=True)
    parser.add_argument("--vllm", type=Path, help="the Python of an environment with vLLM")
    parser.add_argument("--vllm-ngram", type=Path, help="the same, with n-gram speculation")
    parser.add_argument("--llama-cpp", type=Path, help="llama.cpp's source folder, built")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
