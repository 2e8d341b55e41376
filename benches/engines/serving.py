r"""A student and its control in real engines, alternately, on held-out turns of real logs.

    python -m benches.engines.serving --models models/ --trajectories shared/data/tau_bench.jsonl.gz \
        --vllm vllm/bin/python --speculation none ngram suffix --llama-cpp llama.cpp/ -o serving.json

`--models` holds two exports, `student` and `control` (`make engine-models`). A turn is the agent's next
message in a real conversation, of a task that the vocabulary has not seen. Decoding is greedy, in float32,
with at most `--max-tokens` base tokens or units. Each engine serves both models at once, and they are asked
alternately, after one request to each that is not counted. vLLM is started anew for each method of
`--speculation`.

- `CPU seconds`: of all processes of the server. On a shared machine they vary less than the seconds.
- `tokens a pass`: base tokens of the text for each pass of the model that wrote any; only vLLM counts them.
- `transformers`: replies equal to those of transformers with the same export. Where one differs, the bench
  prints the margin by which transformers chose the first unit that differs.
- `alone`: replies equal to those of the same model in vLLM without speculation.
"""

import argparse
import contextlib
import json
import os
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
from benches import entry
from lar.utils.files import write_json
from lar.vocabulary.vocabulary import LatentVocabulary
from testing.engines import engines
from testing.engines.expected import Cached, Reply

ARMS = ("control", "student")
LONGEST = 2000  # base tokens of a prompt
CONTEXT = 4096  # base tokens or units that a server has room for
COUNTERS = re.compile(
    r"^vllm:(prefix_cache_\w+_total|spec_decode_num_(?:drafts|draft_tokens|accepted_tokens)_total"
    r"|iteration_tokens_total_count)\S* (\S+)",
    re.MULTILINE,
)
PASSES = "iteration_tokens_total_count"  # passes that wrote at least one unit
ROW = "{:12} {:8} {:>12} {:>11} {:>7} {:>7} {:>11} {:>7} {:>13} {:>12} {:>8}"
HEADER = ("engine", "arm", "units a turn", "base tokens", "seconds", "for 100", "CPU for 100", "context")
HEADER += ("tokens a pass", "transformers", "alone")


@dataclass(frozen=True)
class Turn:
    """A conversation up to a turn of the agent."""

    id: str
    messages: list[dict[str, Any]]


# Asked before the clock runs: a server's first pass allocates and compiles what later ones find ready.
WARM_UP = Turn("warm-up", [{"role": "user", "content": "Count from one to one hundred in words."}])


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
    print(ROW.format(*HEADER), flush=True)
    for engine, serve in _engines(options):
        with tempfile.TemporaryDirectory() as logs:
            asked = ask_all(serve, exports, turns, options.max_tokens, Path(logs))
        alone = results.get("vllm turns") if engine.startswith("vllm") else None
        for arm in ARMS:
            row = results[f"{engine} {arm}"] = summary(asked[arm], replies[arm], tokenizers["control"])
            row["same_alone"] = same_texts(asked[arm], alone[arm]) if alone else None
            row["margins"] = margins_where_they_part(asked[arm], replies[arm], tokenizers[arm])
            print_row(engine, arm, row)
        both = [[one["seconds"] for one in asked[arm]] for arm in ARMS]
        ratios = [student / control for control, student in zip(*both, strict=True)]
        results[f"{engine} ratio"] = statistics.median(ratios)
        print(f"{engine}: student's seconds over control's, median of turns {results[f'{engine} ratio']:.3f}")
        if counted := {arm: asked[arm][-1]["counters"] for arm in ARMS if asked[arm][-1]["counters"]}:
            print(f"{engine}: {json.dumps(counted)}", flush=True)
        results[f"{engine} turns"] = asked
    write_json(options.output, results)


def print_row(engine: str, arm: str, row: dict[str, Any]) -> None:
    """Print a row of the table, and below it the margins where texts differ from transformers'."""
    cells = [f"{row[name]:.1f}" for name in ("units", "base_tokens")]
    cells += [f"{row[name]:.2f}" for name in ("seconds", "seconds_for_100", "cpu_for_100")]
    cells += [f"{row['context']:.1f}", f"{row['tokens_a_pass']:.2f}" if row["tokens_a_pass"] else "-"]
    cells += [str(row["same_text"]), "-" if row["same_alone"] is None else str(row["same_alone"])]
    print(ROW.format(engine, arm, *cells), flush=True)
    if row["margins"]:
        print(f"    margins {[round(margin, 4) for margin in row['margins']]}", flush=True)


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
    """The engines by name, each with a function that serves a folder."""
    for method in options.speculation if options.vllm else ():
        speculation = () if method == "none" else engines.speculation(method)
        yield (
            "vllm" if method == "none" else f"vllm {method}",
            lambda folder, log, arguments=speculation: engines.vllm_serve(
                folder, log, *arguments, python=options.vllm, length=CONTEXT
            ),
        )
    if options.llama_cpp:
        yield "llama", lambda folder, log: engines.llama_server(folder, log, llama_cpp=options.llama_cpp)


def ask_all(
    serve: Any, exports: dict[str, Path], turns: list[Turn], max_tokens: int, logs: Path
) -> dict[str, list[dict[str, Any]]]:
    """Ask both models for each turn; the first one alternates. Each has answered `WARM_UP` before."""
    asked: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    servers: dict[str, AbstractContextManager[engines.Server]] = {
        arm: serve(folder, logs / arm) for arm, folder in exports.items()
    }
    with servers["control"] as control, servers["student"] as student:
        running = {"control": control, "student": student}
        for arm, server in running.items():
            ask(server, arm, WARM_UP, max_tokens)
        before = {arm: counters(server) for arm, server in running.items()}
        for number, turn in enumerate(turns):
            for arm in ARMS if number % 2 else reversed(ARMS):
                asked[arm].append(ask(running[arm], arm, turn, max_tokens))
        for arm, server in running.items():
            counted = {name: value - before[arm][name] for name, value in counters(server).items()}
            asked[arm][-1] |= {"counters": counted}
    return asked


def counters(server: engines.Server) -> dict[str, float]:
    """Counters of a vLLM server: prefix cache hits, drafts, accepted units, passes; empty for others."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        return read_counters(answer.read().decode())
    return {}


def read_counters(metrics: str) -> dict[str, float]:
    """The counters in the text of vLLM's metrics."""
    return {name: float(value) for name, value in COUNTERS.findall(metrics)}


def ask(server: engines.Server, model: str, turn: Turn, max_tokens: int) -> dict[str, Any]:
    """One greedy reply: text, number of generated and of prompt ids, seconds."""
    client, worked, began = engines.client(server), cpu_seconds(server), time.perf_counter()
    done = client.chat.completions.create(
        model=model, messages=turn.messages, temperature=0, max_tokens=max_tokens
    )
    return {
        "turn": turn.id,
        "seconds": time.perf_counter() - began,
        "cpu": cpu_seconds(server) - worked,
        "tokens": done.usage.completion_tokens,
        "context": done.usage.prompt_tokens,
        "finish": done.choices[0].finish_reason,
        "text": done.choices[0].message.content or "",
    }


def cpu_seconds(server: engines.Server) -> float:
    """The seconds that all living processes of a server's session have computed."""
    ticks = 0
    for process in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = process.read_text().rpartition(")")[2].split()  # from the third field on (man proc)
            if int(fields[3]) == server.process.pid:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def summary(asked: list[dict[str, Any]], replies: list[Reply], base: Any) -> dict[str, Any]:
    """Means of counts, the median of seconds, seconds for 100 base tokens, and the number of equal texts.

    `base_tokens`: the tokens of the same text by the tokenizer `base`, which a model without latents would
    have to generate, plus the end of the turn where it was reached. `tokens_a_pass`: None without counters.
    """
    passes = asked[-1]["counters"].get(PASSES)
    base_tokens = [len(base.encode(one["text"])) + (one["finish"] != "length") for one in asked]
    return {
        "units": statistics.fmean(one["tokens"] for one in asked),
        "base_tokens": statistics.fmean(base_tokens),
        "seconds": statistics.median(one["seconds"] for one in asked),
        "seconds_for_100": 100 * sum(one["seconds"] for one in asked) / sum(base_tokens),
        "cpu_for_100": 100 * sum(one["cpu"] for one in asked) / sum(base_tokens),
        "tokens_a_pass": sum(base_tokens) / passes if passes else None,
        "context": statistics.fmean(one["context"] for one in asked),
        "ended": sum(one["finish"] != "length" for one in asked),
        "same_text": sum(map(is_same_text, asked, replies)),
    }


def is_same_text(one: dict[str, Any], reply: Reply) -> bool:
    """Whether the engine's text equals that of transformers, apart from white space around it."""
    return bool(one["text"].strip() == reply.text.strip())


def same_texts(asked: list[dict[str, Any]], others: list[dict[str, Any]]) -> int:
    """The number of replies whose text equals the other reply's to the same turn."""
    return sum(one["text"] == other["text"] for one, other in zip(asked, others, strict=True))


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
    parser = entry.parser(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with `student` and `control`")
    parser.add_argument("--trajectories", type=Path, required=True, help="file of trajectories")
    parser.add_argument(
        "--vllm", type=Path, help="the Python of an environment with vLLM (default: vLLM is left out)"
    )
    parser.add_argument(
        "--speculation",
        nargs="+",
        default=["none"],
        choices=["none", *engines.SPECULATION],
        help="methods of vLLM, one after another",
    )
    parser.add_argument(
        "--llama-cpp", type=Path, help="llama.cpp's source folder, built (default: llama.cpp is left out)"
    )
    parser.add_argument("--turns", type=entry.positive, default=50, help="number of turns of the agent")
    parser.add_argument(
        "--max-tokens", type=entry.positive, default=96, help="base tokens or units of a reply, at most"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    return parser.parse_args()


if __name__ == "__main__":
    entry.run(main)
