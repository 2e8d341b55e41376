"""The files in `shared/data/RAW_SAMPLES`, compared with the same runs in `shared/data`."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.schema import Message

# File -> (its number of trajectories, the corpus that has all of them too).
SAMPLES = {
    "FireAct__finetune_gpt_format.100_dev_lines.jsonl": (100, "fireact"),
    "FireAct__traj_gpt-3.5.60_dev_entries.json": (60, "fireact"),
    "FireAct__traj_llama13b.60_dev_entries.json": (60, "fireact"),
    "KnowAgent__ALFWorld_D0.dev_lines.jsonl": (40, "knowagent_alfworld"),
    "KnowAgent__HotpotQA_D0.dev_lines.jsonl": (20, "knowagent_hotpotqa"),
    "ReAct__FEVER_notebook_stdout.60_dev_entries.txt": (60, "react_fever"),
    "ReAct__WebShop_notebook_stdout.60_dev_entries.txt": (60, "react_webshop"),
    "SWE-agent__ctf_crypto_katy.traj": (1, "swe_agent_demos"),
    "SWE-agent__default_sys-env_window100.traj": (1, "swe_agent_demos"),
    "SWE-agent__function_calling_replace__install-1.traj": (1, "swe_agent_demos"),
    "SWE-agent__function_calling_simple.traj": (1, "swe_agent_demos"),
    "SWE-agent__pydicom-1458.traj": (1, "swe_agent_demos"),
    "ToolBench__10_ChatGPT_DFS_woFilter_w2.json": (1, "toolbench_example"),
    "ToolBench__11_ChatGPT_DFS_woFilter_w2.json": (1, "toolbench_example"),
    "intercode__bash_react.dev_entries.json": (34, "intercode_bash"),
    "intercode__sql_multiturn.dev_entries.json": (14, "intercode_sql"),
    "intercode__sql_react.dev_entries.json": (60, "intercode_sql"),
    "mini-swe-agent__astropy__astropy-12907.traj.json": (1, "mini_swe_gemini3"),
    "reflexion__ReAct_base_100_questions_5_trials.dev_entries.txt": (69, "reflexion_hotpotqa"),
    "tau-bench__gpt-4o-airline.first_dev_entries.json": (6, "tau_bench"),
    "tau2-bench__gpt-4.1_airline.3_dev_simulations.json": (3, "tau2"),
    "tau2-bench__gpt-4.1_telecom.3_dev_simulations.json": (3, "tau2"),
}
# Read, but not among the corpora.
ALONE = {
    "BFCL__DeepSeek-V3.1_multi_turn_with_inference_log.1_line.CUT.json": 1,
    "SWE-agent__str_replace_anthropic_demo.yaml": 1,
}
# Refused, and why.
REFUSED = {
    "BFCL__glyphh_multi_turn_base_result.no_tool_results.json": "without its inference log",
    "ToolBench__tooleval_G1_category.10_entries.TRUNCATED_MESSAGES.json": "cut off",
}


@cache
def corpus(path: Path) -> dict[str, list[Trajectory]]:
    """The trajectories of a corpus by their messages."""
    found = defaultdict(list)
    for trajectory in read_trajectories(path, strict=True):
        found[as_text(of_the_agent(trajectory.messages))].append(trajectory)
    return found


def key(trajectory: Trajectory) -> str:
    return as_text(trajectory.messages)


def as_text(messages: list[Message]) -> str:
    """The messages without weights: the corpora count what a harness wrote as the agent's."""
    unweighted = [{key: value for key, value in message.items() if key != "weight"} for message in messages]
    return json.dumps(unweighted, sort_keys=True)


def of_the_agent(messages: list[Message]) -> list[Message]:
    """The messages of a corpus without the calls of a simulated user, which the agent did not read."""
    users = [message for message in messages if message["role"] == "user"]
    ids = {call["id"] for message in users for call in message.get("tool_calls", ())}
    kept = [message.copy() for message in messages if message.get("tool_call_id") not in ids]
    for message in kept:
        if message["role"] == "user":
            message.pop("tool_calls", None)
    return [message for message in kept if message["role"] != "user" or message["content"]]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_reads_as_the_corpus_has_it(shared: Path, name: str) -> None:
    count, corpus_name = SAMPLES[name]
    found = list(read_trajectories(shared / "data" / "RAW_SAMPLES" / name, strict=True))
    assert len(found) == count
    known = corpus(shared / "data" / f"{corpus_name}.jsonl.gz")
    for trajectory in found:
        assert key(trajectory) in known, f"{trajectory.id} differs from the corpus"
        same = known[key(trajectory)]
        assert trajectory.success is None or any(trajectory.success == other.success for other in same)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith("tau2")])
def test_the_greeting_of_tau2_is_context(shared: Path, name: str) -> None:
    for trajectory in read_trajectories(shared / "data" / "RAW_SAMPLES" / name, strict=True):
        turns = [message for message in trajectory if message["role"] == "assistant"]
        assert [message.get("weight") for message in turns] == [0] + [None] * (len(turns) - 1)


@pytest.mark.parametrize("name", SAMPLES)
def test_tasks_are_no_coarser_than_the_corpus_has_them(shared: Path, name: str) -> None:
    known = corpus(shared / "data" / f"{SAMPLES[name][1]}.jsonl.gz")
    tasks = defaultdict(set)
    for trajectory in read_trajectories(shared / "data" / "RAW_SAMPLES" / name, strict=True):
        tasks[trajectory.task].add(known[key(trajectory)][0].task)
    assert all(len(others) == 1 for others in tasks.values())


@pytest.mark.parametrize("name", ALONE)
def test_samples_without_a_corpus(shared: Path, name: str) -> None:
    found = list(read_trajectories(shared / "data" / "RAW_SAMPLES" / name, strict=True))
    assert len(found) == ALONE[name]
    assert any(message.get("tool_calls") for message in found[0].messages)


@pytest.mark.parametrize("name", REFUSED)
def test_samples_that_are_cut_are_refused_with_their_place(shared: Path, name: str) -> None:
    with pytest.raises(TrajectoryError) as caught:
        list(read_trajectories(shared / "data" / "RAW_SAMPLES" / name))
    assert REFUSED[name] in str(caught.value)
    assert f"{name}, record 1, line" in str(caught.value)


def test_every_sample_is_in_one_of_the_lists(shared: Path) -> None:
    names = {path.name for path in (shared / "data" / "RAW_SAMPLES").iterdir()}
    assert names == set(SAMPLES) | set(ALONE) | set(REFUSED)


def test_a_corpus_keeps_its_split_keys_ids_and_count(shared: Path) -> None:
    report = Report()
    problems = report.problems
    found = list(read_trajectories(shared / "data" / "tau_bench.jsonl.gz", report=report))
    assert (len(found), len({item.task for item in found}), problems.count) == (190, 57, 0)
    assert all(item.task.startswith("tau:") for item in found)
