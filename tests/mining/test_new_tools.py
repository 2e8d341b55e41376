"""Tools that the logs never call: their calls are mined from their schemas."""

import json
from dataclasses import replace

import numpy as np
import pytest

import lar
from lar.errors import OptionError, TokenizerError
from lar.mining.mine import mine
from lar.mining.new_tools import NewTools, calls_of, repeated_runs, writes_compact
from lar.mining.one_machine import OneMachine
from lar.mining.options import MiningOptions
from lar.mining.tool_scaffolds import tool_scaffolds
from lar.mining.tool_schemas import ToolSchema
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory
from testing import conversations, toy
from testing.chat_templates import LLAMA3, without_tags
from testing.scores import score_with

CITY = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
CALLED = {"name": "get_weather", "parameters": CITY}
NEW = {"name": "get_traffic", "parameters": CITY}
OPENING = '<tool_call>\n{"name": "get_traffic", "arguments": {"city": "'


@pytest.fixture
def tools(tmp_path):
    """Write a file of tools."""

    def write(*listed):
        file = tmp_path / "tools.json"
        file.write_text(json.dumps(listed))
        return file

    return write


def schemas(*listed):
    return [ToolSchema(tool["name"], tool["parameters"]) for tool in listed]


def compactly(trajectory):
    """The trajectory with calls whose arguments have no spaces."""
    messages = json.loads(json.dumps(trajectory.messages))
    for message in messages:
        for call in message.get("tool_calls", ()):
            function = call["function"]
            function["arguments"] = json.dumps(json.loads(function["arguments"]), separators=(",", ":"))
    return replace(trajectory, messages=messages)


def runs_of(corpus):
    return OneMachine().fold(corpus, None)


def corpus_with(trajectories, folder, tokenizer=None):
    return lar.Corpus.build(trajectories, tokenizer or toy.tokenizer(), folder)


def test_calls_are_counted_in_runs_and_in_tasks(tokenizer, tmp_path):
    twice = [toy.trajectory(seed, task=seed % 7) for seed in range(20)]
    runs = runs_of(corpus_with(twice, tmp_path / "corpus"))
    counts, supports = calls_of(tool_scaffolds(schemas(NEW, CALLED), tokenizer), runs)
    assert counts.tolist() == [0, 20]
    assert supports.tolist() == [0, 7]


NAMES = {"get_user": 0, "get_user_details": 3, "details": 2, "s": 4, "get_user_details_of": 0}


def calling(names, folder, before, after):
    """A corpus whose template writes a call's name between two texts, with each name called so often."""
    tokenizer = conversations.tokenizer_with(
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "{% for call in message.tool_calls or [] %}"
        + before
        + "{{ call.function.name }}"
        + after
        + "{{ call.function.arguments }}<|/call|>{% endfor %}<|im_end|>\n{% endfor %}"
    )
    texts = ["", *(f"{name}: not {other}, {name}" for name in names for other in names)]
    calls = [name for name, count in names.items() for _ in range(count)]
    turns = [conversations.call('{"city": "Oslo"}', name, content) for name in calls for content in texts]
    turns += map(conversations.agent, texts[1:])
    runs = [Trajectory(f"t{n}", f"t{n}", [conversations.user("Go."), turn]) for n, turn in enumerate(turns)]
    return lar.Corpus.build(runs, tokenizer, folder)


@pytest.mark.parametrize("before", ["<|call|>", "<|call|>to="])
@pytest.mark.parametrize("after", ["<|message|>", "\n"])
@pytest.mark.parametrize("sampled", [False, True])
def test_a_name_at_an_added_token_is_called_where_nothing_else_stands(
    tmp_path, before, after, sampled, monkeypatch
):
    corpus = calling(NAMES, tmp_path / "corpus", before, after)
    runs = runs_of(corpus)
    if sampled:  # all runs that occur twice are in it
        monkeypatch.setattr("lar.mining.new_tools._SAMPLE", runs.distinct_tokens - 1)
    scaffolds = tool_scaffolds(schemas(*({**CALLED, "name": name} for name in NAMES)), corpus.tokenizer)
    assert {(one.begins, one.ends) for one in scaffolds} == {(before == "<|call|>", after == "<|message|>")}
    expected = [count * (1 + len(NAMES) ** 2) for count in NAMES.values()]
    single = list(NAMES).index("s")  # one token
    if len(scaffolds[single].opening) == 1 and sampled:
        expected[single] = 0
    for found in calls_of(scaffolds, runs):
        assert found.tolist() == expected


def test_a_run_for_each_piece_with_its_calls():
    arrays = repeated_runs([(5, 6), (7, 8, 9), (5, 6)], count=10, support=3).to_arrays()
    assert [array.tolist() for array in arrays] == [
        [5, 6, 7, 8, 9],
        [0, 2, 5],
        [20, 10],
        [0, 1, 2, 0, 1, 2],
        [0, 3, 6],
    ]
    assert len(repeated_runs([], count=10, support=3)) == 0


def test_the_spaces_of_calls_are_those_of_most_calls_in_the_logs(tokenizer, corpus, tmp_path):
    assert not writes_compact(tokenizer, runs_of(corpus))
    for compact, expected in ((20, True), (8, False)):
        mixed = [*map(compactly, toy.trajectories(compact)), *toy.trajectories(20 - compact, first=100)]
        assert writes_compact(tokenizer, runs_of(corpus_with(mixed, tmp_path / str(compact)))) is expected


def test_a_template_that_writes_the_arguments_has_its_own_spaces(tokenizer, tmp_path):
    own = Tokenizer(tokenizer.backend, chat_template=without_tags(LLAMA3.replace("{{- bos_token }}", "")))
    corpus = corpus_with(map(compactly, toy.trajectories(20)), tmp_path / "corpus", own)
    assert not writes_compact(own, runs_of(corpus))


@pytest.mark.parametrize("compact", [False, True])
def test_a_new_tool_gets_its_latent_and_counts_stay_those_of_the_logs(tools, tmp_path, compact):
    logs = toy.trajectories(40)
    corpus = corpus_with(map(compactly, logs) if compact else logs, tmp_path / "corpus")
    opening = '<tool_call>\n{"name": "get_traffic", "arguments": {"city":"' if compact else OPENING
    found = mine(corpus, size=30, tools=tools(CALLED, NEW))
    [latent] = [latent for latent in found if 'get_traffic", "arg' in latent.text]
    assert opening.endswith(latent.text)
    assert (latent.count, latent.support, latent.uses) == (0, 0, 0)
    assert found.mining["tools"] == {"tools": 2, "new": ["get_traffic"], "count": 40, "support": 40}
    # What is reported is what the latents save in the logs.
    total = lar.evaluate(corpus, found).total
    assert sum(latent.saving for latent in found) == total.base_tokens - total.units
    assert found.mining["gates"][-1]["reduction"] == pytest.approx(total.reduction, abs=1e-6)
    call = f'{opening}Oslo"}}}}\n</tool_call>'
    assert len(found.encode_text(call)) < len(mine(corpus, size=30).encode_text(call))


def test_tools_that_the_logs_call_change_nothing(corpus, vocabulary, tools):
    found = mine(corpus, size=12, tools=tools(CALLED))
    assert found.latents == vocabulary.latents
    assert found.mining["gates"] == vocabulary.mining["gates"]
    assert found.mining["tools"]["new"] == []


def test_a_new_tool_is_called_as_often_as_the_others_on_average(tokenizer, corpus):
    runs, options = runs_of(corpus), MiningOptions(min_count=7, min_support=3)
    found = NewTools.of(schemas(CALLED, NEW), tokenizer, runs, options)
    assert (found.called.tolist(), found.count, found.support) == ([True, False], 60, 60)
    alone = NewTools.of(schemas(NEW), tokenizer, runs, options)
    assert (alone.called.tolist(), alone.count, alone.support) == ([False], 7, 3)
    often = NewTools.of(schemas(CALLED, NEW), tokenizer, runs, MiningOptions(min_count=61, min_support=62))
    assert (often.count, often.support) == (61, 62)


def test_behind_an_entropy_gate_no_latent_decides_which_tool_is_called(tools, tmp_path):
    corpus = corpus_with(toy.trajectories(40), tmp_path / "corpus")
    sure = score_with(corpus, lambda shard: np.zeros(len(shard.tokens)))
    found = [latent.text for latent in mine(sure, 40, max_entropy=1.0, tools=tools(CALLED, NEW))]
    of_new = [text for text in found if "traffic" in text or "raffic" in text]
    assert of_new
    assert not any("get_" in text for text in of_new)


def test_prompts_with_a_weight_leave_new_tools_their_share(corpus, tools):
    found = mine(corpus, size=40, prompt_weight=0.3, tools=tools(CALLED, NEW))
    assert any("get_traffic" in latent.text for latent in found)
    total = lar.evaluate(corpus, found).total
    assert sum(latent.saving for latent in found) == total.base_tokens - total.units


def test_updates_keep_the_latents_of_tools_that_are_still_new(corpus, tools):
    file = tools(CALLED, NEW)
    before = mine(corpus, size=20, tools=file)
    after = mine(corpus, update=before, tools=file)
    assert after.latents == before.latents


def test_bad_tools_and_templates_are_refused(corpus, tools, tmp_path):
    with pytest.raises(OptionError, match="tool 1: not an object with a name"):
        mine(corpus, size=4, tools=tools("look"))
    with pytest.raises(FileNotFoundError):
        mine(corpus, size=4, tools=tmp_path / "none.json")
    # Calls would be put into the content, but this template takes no braces there.
    template = (
        "{% for message in messages %}{% if '{' in message.content %}{{ raise_exception('a brace') }}"
        "{% endif %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    )
    plain = [replace(run, messages=run.messages[:1] + run.messages[-1:]) for run in toy.trajectories(10)]
    mute = corpus_with(plain, tmp_path / "mute", toy.tokenizer(template))
    assert mine(mute, size=4).size
    with pytest.raises(TokenizerError, match=r"the chat template cannot write a tool call: .*a brace"):
        mine(mute, size=4, tools=tools(NEW))
