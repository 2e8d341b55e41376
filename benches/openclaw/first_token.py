"""Time to the first token of OpenClaw's full prompt, with and without latents in it, in llama-server.

    python -m benches.openclaw.first_token --llama-cpp llama.cpp/ --models base/ student/ prompts/ \
        --transcripts sessions.jsonl -o first_token.json

Each of --models is an export with a `model.gguf` and a name of its own; the first one is the reference. All
servers run at once and are asked in turn, with nothing in their caches. A request is the first one of a
session: OpenClaw's system message, its tools and the user's message.
"""

import contextlib
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from benches import entry
from lar.utils.files import write_json
from testing.engines import engines
from testing.engines.servers import Server

CONTEXT = 32768


def main() -> None:
    """Ask all models for the first token of each session, print the table, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--llama-cpp", type=Path, required=True, help="its source folder, built")
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="exports with a model.gguf")
    parser.add_argument("--transcripts", type=Path, required=True, help="JSONL of benches.openclaw.prompt")
    parser.add_argument(
        "--sessions", type=entry.positive, default=5, help="number of sessions, the last ones"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    lines = options.transcripts.read_text(encoding="utf-8").splitlines()
    requests = [_request(json.loads(line)) for line in lines[-options.sessions :]]
    asked: dict[str, list[dict[str, float]]] = {model.name: [] for model in options.models}
    with tempfile.TemporaryDirectory() as logs, contextlib.ExitStack() as stack:
        servers = {
            model.name: stack.enter_context(
                engines.llama_server(
                    model, Path(logs) / model.name, "-c", str(CONTEXT), llama_cpp=options.llama_cpp
                )
            )
            for model in options.models
        }
        for number, request in enumerate(requests):
            order = list(servers) if number % 2 else list(reversed(servers))
            for name in order:
                asked[name].append(_first_token(servers[name], request))
    write_json(options.output, asked)
    _print(asked)


def _request(session: dict[str, Any]) -> dict[str, Any]:
    messages = session["messages"]
    first = next(place for place, message in enumerate(messages) if message["role"] == "assistant")
    return {
        "messages": messages[:first],
        "tools": session["tools"],
        "max_tokens": 1,
        "temperature": 0,
        "cache_prompt": False,
    }


def _first_token(server: Server, request: dict[str, Any]) -> dict[str, float]:
    """Prompt ids, the server's own milliseconds of reading them, and the seconds until its answer."""
    body = json.dumps(request).encode()
    call = urllib.request.Request(
        f"{server.base_url}/chat/completions", body, {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(call, timeout=3600) as answer:
        done = json.load(answer)
    return {
        "prompt_tokens": done["usage"]["prompt_tokens"],
        "prompt_ms": done["timings"]["prompt_ms"],
        "seconds": time.perf_counter() - began,
    }


def _print(asked: dict[str, list[dict[str, float]]]) -> None:
    reference = next(iter(asked.values()))
    print("| model | prompt ids | seconds to the first token, median | ratio, median |\n|---|---|---|---|")
    for name, answers in asked.items():
        ids = sum(answer["prompt_tokens"] for answer in answers) / len(answers)
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(answers, reference, strict=True)]
        seconds = median(answer["seconds"] for answer in answers)
        print(f"| {name} | {ids:,.0f} | {seconds:.1f} | {median(ratios):.2f} |")


if __name__ == "__main__":
    entry.run(main)
