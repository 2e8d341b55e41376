"""What `lar mine --tools` saves in calls to tools that the logs have not met.

    python -m benches.mining.new_tools --data tau_bench.jsonl.gz --tokenizer qwen3 -o new_tools.json

A third of the tools, drawn by a seed among those with enough calls, is new: all messages of the training
tasks with a call to one of them are left out, with their results. Three vocabularies of one size are mined:
without these calls, without them but with the schemas of all tools, and with them (the control). Figures are
reductions on held-out tasks: of the calls to new tools, of the other calls, and of all the agent's text.

Where the logs hold no schemas, they are derived from the calls of all training tasks: the keys that every
call to a tool has are required, in the order of its first call, with the types of its values.
"""

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import lar
from benches import entry
from lar.errors import OptionError, TokenizerError
from lar.tokenizer import render
from lar.trajectories.schema import Message, ToolCall, Trajectory
from lar.utils.files import write_json
from lar.vocabulary.served_parse import ServedParse

HELD_OUT = 0.3
FEWEST_CALLS = 10  # of a tool that may be new, in training tasks
ARMS = ("without", "with --tools", "control")
PARTS = ("new calls", "other calls", "all text")
CALL = "<tool_call>"  # what begins a call in the texts of chat templates like Qwen's
# JSON's name of each type that JSON texts are read as.
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def main() -> None:
    """Measure each seed and size, print the means, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of trajectories with tool calls")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[64, 256, 1024], help="numbers of latents"
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0, 1, 2],
        help="each splits the tasks and draws the new tools",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    trajectories = list(lar.read_trajectories(options.data))
    tokenizer = lar.Tokenizer.load(options.tokenizer)
    splits = [measure(trajectories, tokenizer, options.sizes, seed) for seed in options.seeds]
    write_json(options.output, splits)
    for split in splits:
        print(f"seed {split['seed']}: {', '.join(split['new'])} are new")
        print("  calls to new tools and others in held-out tasks:", split["calls"])
    print(f"reduction on held-out tasks, percent, mean of {len(splits)} splits")
    for size in map(str, options.sizes):
        for arm in ARMS:
            cells = [mean(split["reductions"][size][arm][part] for split in splits) for part in PARTS]
            print(
                f"K = {size:<5} {arm:<13}",
                *(f"{part} -{100 * c:.1f}" for part, c in zip(PARTS, cells, strict=True)),
            )


def measure(
    trajectories: list[Trajectory], tokenizer: lar.Tokenizer, sizes: list[int], seed: int
) -> dict[str, Any]:
    """All figures of one split of the tasks and one draw of the tools."""
    tasks = sorted({t.task for t in trajectories})
    held_out = set(random.Random(seed).sample(tasks, round(HELD_OUT * len(tasks))))
    train = [t for t in trajectories if t.task not in held_out]
    calls = [call for t in train for call in calls_of(t)]
    new = draw([call["function"]["name"] for call in calls], seed)
    texts = parts_of([t for t in trajectories if t.task in held_out], tokenizer, new)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schemas = folder / "tools.json"
        schemas.write_text(json.dumps(schemas_of(calls)))
        full = lar.Corpus.build(train, tokenizer, folder / "full")
        cut = lar.Corpus.build([without(t, new) for t in train], tokenizer, folder / "cut")
        found: dict[str, Any] = {}
        for size in sizes:
            arms = lar.mine(cut, size), lar.mine(cut, size, tools=schemas), lar.mine(full, size)
            found[str(size)] = {
                arm: reductions(texts, tokenizer, vocabulary)
                for arm, vocabulary in zip(ARMS, arms, strict=True)
            }
            tools = arms[1].mining["tools"]
    numbers = [len(texts[part]) for part in PARTS[:2]]
    return {"seed": seed, "new": sorted(new), "calls": numbers, "tools": tools, "reductions": found}


def calls_of(trajectory: Trajectory) -> Iterator[ToolCall]:
    """All calls of a trajectory."""
    for message in trajectory:
        yield from message.get("tool_calls", ())


def draw(names: list[str], seed: int) -> set[str]:
    """A third of the tools that are called often enough."""
    often = sorted({name for name in names if names.count(name) >= FEWEST_CALLS})
    return set(random.Random(seed).sample(often, round(len(often) / 3)))


def without(trajectory: Trajectory, new: set[str]) -> Trajectory:
    """The trajectory without the messages that call a new tool, and without their results."""
    messages: list[Message] = []
    left_out = False
    for message in trajectory:
        if message["role"] != "tool":
            left_out = calls_new(message, new)
        if not left_out:
            messages.append(message)
    return replace(trajectory, messages=messages)


def calls_new(message: Message, new: set[str]) -> bool:
    """Whether a message calls a new tool."""
    return any(call["function"]["name"] in new for call in message.get("tool_calls", ()))


def schemas_of(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """The schemas of the tools that are called."""
    arguments: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        arguments[call["function"]["name"]].append(json.loads(call["function"]["arguments"]))
    return [{"name": name, "parameters": schema_of(values)} for name, values in arguments.items()]


def schema_of(values: list[Any]) -> dict[str, Any]:
    """The JSON schema of values of one type; of objects, the keys that all have are required."""
    types = {type(value) for value in values}
    if len(types) != 1 or types <= {type(None)}:
        return {}
    schema: dict[str, Any] = {"type": TYPES[types.pop()]}
    if schema["type"] == "object":
        keys = [key for key in values[0] if all(key in value for value in values)]
        schema["properties"] = {key: schema_of([value[key] for value in values]) for key in keys}
        schema["required"] = keys
    items = [item for value in values for item in value] if schema["type"] == "array" else []
    return schema | ({"items": schema_of(items)} if items else {})


def parts_of(
    trajectories: Iterable[Trajectory], tokenizer: lar.Tokenizer, new: set[str]
) -> dict[str, list[str]]:
    """The agent's texts of each part; a call is the text of its turn behind the content.

    Raises:
        OptionError: a part has no text.
        TokenizerError: see `call_text`.
    """
    texts: dict[str, list[str]] = {part: [] for part in PARTS}
    for trajectory in trajectories:
        spans = [span.text for span in render(tokenizer, trajectory) if span.agent]
        texts["all text"] += spans
        turns = [message for message in trajectory if message["role"] == "assistant"]
        for message, span in zip(turns, spans, strict=True):
            if message.get("tool_calls"):
                part = "new calls" if calls_new(message, new) else "other calls"
                texts[part].append(call_text(span))
    for part, listed in texts.items():
        if not listed:
            raise OptionError(f"the held-out tasks hold none of the text '{part}': give more logs with calls")
    return texts


def call_text(turn: str) -> str:
    """The calls in the text of a turn.

    Raises:
        TokenizerError: the chat template writes calls in another way.
    """
    _, begin, calls = turn.partition(CALL)
    if not begin:
        raise TokenizerError(f"the chat template writes calls without {CALL}, by which they are found here")
    return begin + calls


def reductions(
    texts: dict[str, list[str]], tokenizer: lar.Tokenizer, vocabulary: lar.LatentVocabulary
) -> dict[str, float]:
    """1 - units / base tokens of each part, in the parse that engines read."""
    parse = ServedParse(tokenizer, vocabulary.segments)
    found = {}
    for part, listed in texts.items():
        ids = tokenizer.encode_batch(listed)
        tokens = np.concatenate(ids)
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        units, *_ = parse.parse(tokens, np.ones(len(tokens), dtype=np.bool_), offsets)
        found[part] = 1 - len(units) / len(tokens)
    return found


if __name__ == "__main__":
    entry.run(main)
