"""Each format: a small file, and the trajectories that must be read from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from lar.trajectories import Report, Trajectory, read_trajectories

SYSTEM = {"role": "system", "content": "# Airline Agent Policy\nBe brief."}
USER = {"role": "user", "content": "Book a flight."}
CALL = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"to":"NYC"}'}}
TALK = [
    SYSTEM,
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "book", "content": "ok"},
    {"role": "assistant", "content": "Done."},
]


def read(path: Path, content: Any, *, lines: bool = False, **options: Any) -> list[Trajectory]:
    """Write `content` (text, one JSON document or a list of JSON lines) and read it strictly."""
    if lines:
        content = "".join(json.dumps(value) + "\n" for value in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return list(read_trajectories(path, **({"strict": True} | options)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"  # no suffix: files are recognised by their content


def roles(trajectory: Trajectory) -> list[str]:
    return [message["role"] for message in trajectory.messages]


def test_chat_lines(path: Path) -> None:
    schemas = [{"type": "function", "function": {"name": "book"}}]
    found = read(path, [{"messages": TALK, "tools": schemas, "model": "m"}] * 2, lines=True)
    assert [item.id for item in found] == ["log:1", "log:2"]
    first = found[0]
    assert first.messages[2] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert first.messages[3] == {"role": "tool", "content": "ok", "name": "book", "tool_call_id": "c1"}
    assert (first.tools, first.model, first.success, first.source) == (schemas, "m", None, "log")
    assert first.task == found[1].task
    assert first.task.startswith("first_message:")


@pytest.mark.parametrize("indent", [None, 2])
def test_chat_document_of_many(path: Path, indent: int | None) -> None:
    other = [{"role": "user", "content": "Cancel."}, {"role": "assistant", "content": "Cancelled."}]
    found = read(path, json.dumps([{"messages": TALK}, {"messages": other}], indent=indent))
    assert [len(item.messages) for item in found] == [5, 2]
    assert len({item.task for item in found}) == 2


@pytest.mark.parametrize("content", [TALK, {"messages": TALK}, [TALK], {"data": [{"messages": TALK}]}])
def test_one_conversation_however_it_is_wrapped(path: Path, content: Any) -> None:
    for indent in (None, 1):
        (found,) = read(path, json.dumps(content, indent=indent))
        assert roles(found) == ["system", "user", "assistant", "tool", "assistant"]


def test_legacy_function_calls(path: Path) -> None:
    said = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{ }"}}
    (found,) = read(path, {"messages": [USER, said, {"role": "function", "name": "f", "content": "1"}]})
    assert found.messages[1]["tool_calls"] == [
        {"id": None, "type": "function", "function": {"name": "f", "arguments": "{ }"}}
    ]
    assert found.messages[2] == {"role": "tool", "content": "1", "name": "f"}


def test_request_and_response_of_a_proxy(path: Path) -> None:
    answer = {"choices": [{"message": {"role": "assistant", "content": "Yes."}}]}
    record = {"request": {"model": "m", "messages": [USER]}, "response": answer}
    (found,) = read(path, record)
    assert roles(found) == ["user", "assistant"]
    assert found.model == "m"


def test_content_in_parts(path: Path) -> None:
    said = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Let me "},
            {"type": "text", "text": "see."},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}},
        ],
    }
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]}
    (found,) = read(path, {"messages": [USER, said, result]})
    assert found.messages[1]["content"] == "Let me see."
    assert found.messages[1]["reasoning_content"] == "hm"
    assert found.messages[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"x": 1}'}
    assert found.messages[2] == {"role": "tool", "content": "seen", "tool_call_id": "t1"}


def test_split_key_is_the_task_before_task(path: Path) -> None:
    record = {"id": "a", "task": "long text", "split_key": "tau:1", "success": True, "messages": TALK}
    found = read(path, [record, {k: v for k, v in record.items() if k != "split_key"}], lines=True)
    assert [item.task for item in found] == ["tau:1", "long text"]
    assert found[0].success is True


def test_sharegpt(path: Path) -> None:
    turns = [
        {"from": "human", "value": "Look it up."},
        {"from": "function_call", "value": '{"name": "find", "arguments": {"q": "é"}}'},
        {"from": "observation", "value": "found"},
        {"from": "gpt", "value": "Here."},
    ]
    (found,) = read(path, [{"id": "x_0", "system": "Be kind.", "conversations": turns}], lines=True)
    assert roles(found) == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[2]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q": "é"}'}
    assert found.id == "x_0"


def test_tau_bench(path: Path) -> None:
    runs = [
        {"task_id": number, "reward": reward, "info": {}, "traj": TALK, "trial": trial}
        for number, reward, trial in [(0, 1.0, 0), (0, 0.0, 1), (1, 0.0, 0)]
    ]
    found = read(path, runs)
    assert [item.task for item in found] == ["tau_bench/airline/0"] * 2 + ["tau_bench/airline/1"]
    assert [item.success for item in found] == [True, False, False]
    assert len({item.id for item in found}) == 3


def tau2_file() -> dict[str, Any]:
    flat = {"id": "c1", "name": "book", "arguments": {"to": "NYC"}, "requestor": "assistant"}
    messages = [
        {"role": "assistant", "content": "Hi!", "tool_calls": None},
        {**USER, "turn_idx": 1},
        {"role": "assistant", "content": None, "tool_calls": [flat]},
        {"id": "c1", "role": "tool", "content": "ok", "requestor": "assistant"},
    ]
    return {
        "info": {"agent_info": {"llm": "m"}, "environment_info": {"domain_name": "telecom", "policy": "p"}},
        "tasks": [{"id": "a[PERSONA:Hard]"}, {"id": "b"}],
        "simulations": [
            {"id": f"s{at}", "task_id": task, "messages": messages, "reward_info": {"reward": 1.0 - at}}
            for at, task in enumerate(["a[PERSONA:Hard]", "b"])
        ],
    }


@pytest.mark.parametrize("text", [json.dumps(tau2_file()), json.dumps(tau2_file(), indent=2)])
@pytest.mark.parametrize("name", ["results.json", "results.jsonl"])
def test_tau2(tmp_path: Path, text: str, name: str) -> None:
    found = read(tmp_path / name, text)
    assert [item.task for item in found] == ["tau2/telecom/a", "tau2/telecom/b"]
    assert [item.success for item in found] == [True, False]
    assert [item.id for item in found] == ["s0", "s1"]
    assert found[0].model == "m"
    assert found[0].messages[2]["tool_calls"][0]["function"]["arguments"] == '{"to": "NYC"}'
    assert found[0].messages[3]["tool_call_id"] == "c1"


def test_a_turn_of_tau2_that_no_model_wrote_is_context(path: Path) -> None:
    content = tau2_file()
    greeting, _, turn, _ = content["simulations"][0]["messages"]
    turn["usage"] = {"completion_tokens": 5}
    assert [found.messages[0] for found in read(path, content)] == [
        {"role": "assistant", "content": "Hi!", "weight": 0}
    ] * 2
    assert "weight" not in read(path, content)[0].messages[2]
    del turn["usage"]  # nothing tells them apart then, but tau2's own greeting
    assert "weight" not in read(path, content)[0].messages[0]
    greeting["content"] = "Hi! How can I help you today?"
    assert read(path, content)[0].messages[0]["weight"] == 0


def test_calls_of_tau2s_simulated_user_are_counted_and_not_read(path: Path) -> None:
    content = tau2_file()
    asked = {"id": "u1", "name": "check_status_bar", "arguments": {"at": "the top"}, "requestor": "user"}
    of_the_user = [
        {"role": "user", "content": None, "tool_calls": [asked]},
        {"role": "tool", "id": "u1", "content": "No signal", "requestor": "user"},
        {"role": "user", "content": "I look again.", "tool_calls": [asked]},
    ]
    simulation = content["simulations"][0]
    simulation["messages"] = [*simulation["messages"], *of_the_user]
    path.write_text(json.dumps(content))
    report = Report()
    with_calls, without = read_trajectories(path, strict=True, report=report)
    assert with_calls.messages == [*without.messages, {"role": "user", "content": "I look again."}]
    assert report.left_out["tau2", "messages[].content"].characters == len("No signal")
    assert report.left_out["tau2", "messages[].tool_calls[].arguments.at"].characters == 2 * len("the top")


def swe_agent_file(identifier: str | None = None) -> dict[str, Any]:
    history = [
        {"role": "system", "content": "You are an engineer.", "agent": "main"},
        {"role": "user", "content": "A demonstration.", "agent": "main", "is_demo": True},
        {"role": "user", "content": f"Fix {identifier}.", "agent": "main"},
        {"role": "assistant", "content": "Look.", "thought": "Look.", "agent": "main", "tool_calls": [CALL]},
        {"role": "tool", "content": "a.py", "agent": "main", "tool_call_ids": ["c1"]},
    ]
    config = {"problem_statement": {"id": identifier}, "agent": {"model": {"name": "m"}}}
    return {"environment": "main", "trajectory": [], "history": history, "replay_config": json.dumps(config)}


def test_swe_agent(path: Path) -> None:
    (found,) = read(path, swe_agent_file("django-1"))
    assert (found.task, found.model) == ("swe/django-1", "m")
    assert found.messages[-1] == {"role": "tool", "content": "a.py", "tool_call_id": "c1"}


def test_a_demonstration_in_a_swe_agent_log_is_context(path: Path) -> None:
    content = swe_agent_file("django-1")
    content["history"].insert(1, {"role": "assistant", "content": "DEMO: look.", "is_demo": True})
    (found,) = read(path, content)
    assert [message.get("weight") for message in found if message["role"] == "assistant"] == [0, None]


@pytest.mark.parametrize("status", ["exit_cost", "submitted (exit_context)", "submitted", None])
def test_the_last_turn_of_a_run_that_swe_agent_ended_is_context(path: Path, status: str | None) -> None:
    said = {"role": "assistant", "content": "Exit due to cost limit", "agent": "main"}
    content = swe_agent_file("django-1") | {"info": {"exit_status": status}}
    content["history"] += [said, {"role": "user", "content": "Exited (autosubmitted)", "agent": "main"}]
    step = {"action": "", "observation": "", "response": said["content"]}
    steps = {**content, "history": [], "trajectory": [{**step, "response": "Look."}, step]}
    for raw in (content, steps):
        (found,) = read(path, raw)
        weights = [message.get("weight") for message in found if message["role"] == "assistant"]
        assert weights == [None, 0 if status and "exit_" in status else None]


def test_thinking_blocks_of_swe_agent_are_the_agents_reasoning(path: Path) -> None:
    content = swe_agent_file("django-1")
    content["history"][3]["thinking_blocks"] = [
        {"type": "thinking", "thinking": "Let me reason.", "signature": "s"},
        {"type": "redacted_thinking", "data": "zzz"},
    ]
    (found,) = read(path, content)
    assert found.messages[3]["reasoning_content"] == "Let me reason."


def test_swe_agent_without_an_instance_is_not_one_task_for_all(tmp_path: Path) -> None:
    for number in range(2):
        content = swe_agent_file() | {"replay_config": None}
        content["history"][2]["content"] = f"Fix {number}."
        (tmp_path / f"{number}.traj").write_text(json.dumps(content))
    assert len({item.task for item in read_trajectories(tmp_path, strict=True)}) == 2


def test_swe_agent_demonstration_in_yaml(path: Path) -> None:
    content = """# replay me
history:
  - role: user
    content: |-
      Fix it.
    agent: main
  - role: assistant
    content: Let me look.
    agent: main
    tool_calls:
      - function: {arguments: '{"path":"/a"}', name: view}
        id: c1
        type: function
  - role: tool
    content: seen
    agent: main
    tool_call_ids: [c1]
replay_config:
  problem_statement: {id: 1c2844}
"""
    (found,) = read(path, content)
    assert roles(found) == ["user", "assistant", "tool"]
    assert found.messages[1]["tool_calls"][0]["function"] == {"arguments": '{"path":"/a"}', "name": "view"}
    assert found.task == "swe/1c2844"


def test_mini_swe_agent_shares_its_tasks_with_swe_agent(path: Path) -> None:
    content = {
        "info": {
            "mini_version": "1.15",
            "config": {"model": {"model_name": "m"}},
            "exit_status": "Submitted",
        },
        "messages": [
            USER,
            {"role": "assistant", "content": "THOUGHT: ok"},
            {"role": "exit", "content": "bye"},
        ],
        "trajectory_format": "mini-swe-agent-1",
        "instance_id": "django-1",
    }
    (found,) = read(path, json.dumps(content, indent=1))
    assert (found.task, found.model, roles(found)) == ("swe/django-1", "m", ["user", "assistant", "user"])


NUMBERED = """12 Claim: Water is wet.
Thought 1: Search.
Action 1: Search[water]
Observation 1: It is.

Thought 2: So it is.
Action 2: Finish[SUPPORTS]
Observation 2: Episode finished, reward = 1


{'steps': 2, 'answer': 'SUPPORTS'}

1 1 1.0 4.08
-----------

13 Claim: Fire is cold.
Thought 1: No.
Action 1: Finish[SUPPORTS]
Observation 1: Episode finished, reward = 0


{'steps': 1, 'answer': 'SUPPORTS'}

1 2 0.5 4.08
-----------
"""


def test_react_numbered(path: Path) -> None:
    first, second = read(path, NUMBERED)
    assert [message["content"] for message in first.messages] == [
        "Claim: Water is wet.\n",
        "Thought 1: Search.\nAction 1: Search[water]\n",
        "Observation 1: It is.\n\n",
        "Thought 2: So it is.\nAction 2: Finish[SUPPORTS]\n",
        "Observation 2: Episode finished, reward = 1\n\n\n",
    ]
    assert roles(first) == ["user", "assistant", "user", "assistant", "user"]
    assert (first.success, second.success) == (True, False)
    assert first.task == "question:water is wet"
    assert second.messages[0]["content"] == "Claim: Fire is cold.\n"


def test_react_unnumbered_with_several_questions(path: Path) -> None:
    runs = [
        "Question: What is 6*7?\nThought: Compute.\nAction: calc\nAction Input: 6*7\nObservation: 42\n"
        "Thought: I know.\nFinal Answer: 42\n",
        "Question: And 6*8?\nThought: Compute.\nAction: calc\nAction Input: 6*8\nObservation: 48\n",
    ]
    found = read(path, "\n".join(runs))
    assert [len(item.messages) for item in found] == [4, 3]
    assert found[0].messages[1]["content"] == "Thought: Compute.\nAction: calc\nAction Input: 6*7\n"
    assert found[1].messages[2]["content"] == "Observation: 48\n"  # a number is an observation too
    assert [item.task for item in found] == ["question:what is 6 7", "question:and 6 8"]


def test_react_a_question_within_an_observation_starts_no_run(path: Path) -> None:
    log = (
        "Question: Who?\nThought 1: Search.\nAction 1: Search[forum]\nObservation 1: A page says\n"
        "Question: why?\n==========\nand more.\nThought 2: Done.\nAction 2: Finish[me]\nObservation 2: ok\n"
    )
    (found,) = read(path, log)
    assert "".join(message["content"] for message in found.messages) == log


def test_react_rooms_with_short_labels(path: Path) -> None:
    room = "You are in the middle of a room.\nYour task is to: find {}.\nAct 1: > think: go\nObs 1: OK.\n"
    found = read(path, room.format("a cup") + room.format("a pan") + "Act 2: take pan 1\nObs 2: Taken.\n")
    assert [len(item.messages) for item in found] == [3, 5]
    assert (
        found[1].messages[0]["content"].startswith("You are in the middle of a room.\nYour task is to: find")
    )
    assert len({item.task for item in found}) == 2


def test_react_reset_and_scores(path: Path) -> None:
    block = (
        "-----------------\n{0}\nAction: reset\nObservation: \nWebshop \nInstruction:  \nbuy {0} \n[Go] \n"
        "\nAction: search[{0}]\nObservation: Your score (min 0.0, max 1.0): {1}\n\n1 0.5 0.5\n"
        "-------------\n"
    )
    found = read(path, block.format(1, 1.0) + block.format(2, 0.5) + "-----------------\n3\nWebshop \n")
    assert [item.success for item in found] == [True, False]
    assert found[0].messages[0]["content"].startswith("Action: reset\nObservation: \n")
    assert roles(found[0]) == ["user", "assistant", "user"]
    assert found[0].messages[-1]["content"] == "Observation: Your score (min 0.0, max 1.0): 1.0\n\n"
    assert [item.task for item in found] == ["question:buy 1", "question:buy 2"]


def test_reflections_do_not_make_another_task(path: Path) -> None:
    run = "Question: Who?{}\nThought 1: Me.\nAction 1: Finish[me]\nObservation 1: Answer is {}\n"
    run += "Correct answer: me\n\n"
    plan = "You have attempted to answer following question before and failed.\nReflections:\n- Think."
    log = (
        "########\nBEGIN TRIAL 1\n" + run.format("", "INCORRECT") + "########\n" + run.format(plan, "CORRECT")
    )
    found = read(path, log)
    assert {item.task for item in found} == {"question:who"}
    assert [item.success for item in found] == [False, True]
    assert found[1].messages[0]["content"] == f"Question: Who?{plan}\n"


def test_intercode(path: Path) -> None:
    turns = {"actions": ["execute[ls]", "submit"], "observations": ["a\n", "a\n"], "rewards": [0, 1]}
    run = {"environment": "ic_bash", "query": "List files.", "summary": {"max_reward": 1.0}}
    with_thoughts = turns | {"thoughts": ["I list.", "Done."]}
    found = read(path, {"0": run | {"turn_history": turns}, "7": run | {"turn_history": with_thoughts}})
    assert [item.id for item in found] == ["log:0", "log:7"]
    assert found[0].messages[1]["content"] == "execute[ls]"
    assert found[1].messages[1]["content"] == "Thought 1: I list.\nAction 1: execute[ls]"
    assert found[1].messages[2]["content"] == "Observation 1: a\n"
    assert {item.task for item in found} == {"intercode/bash/question:list files"}
    assert found[0].success is True


def test_knowagent(path: Path) -> None:
    system = "Use the graph.\n(END OF EXAMPLES)\n"
    prompt = system + "Question: Who?\nActionPath 1: Start\nThought 1: Me.\nAction 1: F[me]\n"
    question = {"question": "Who?", "prompt": prompt, "correct": False}
    house = {
        "name": "pick-Egg/trial_1",
        "result": 0,
        "traj": "You are in a room.\n> Think: go\u2028on\n> go to shelf 1\nOk.\u2028> go",
    }
    first, second = read(path, [question, house], lines=True)
    assert roles(first) == ["system", "user", "assistant"]
    assert first.messages[0]["content"] == system
    assert first.messages[2]["content"].startswith("ActionPath 1: Start\nThought 1")
    assert [message["content"] for message in second.messages] == [
        "You are in a room.\n",
        "> Think: go\u2028on\n> go to shelf 1\n",
        "Ok.\u2028> go",
    ]
    assert (first.task, second.task, second.success) == ("question:who", "alfworld/pick-Egg", False)


def test_fireact(path: Path) -> None:
    talk = [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Thought: Me.\nAction: finish[me]"},
    ]
    said = "Thought: Me.\nAction: finish[me]\n"
    text = f"Below.\n\n### Instruction:\nWho?\n\n### Response:\n{said}Observation: ok\n"
    verdict = {"em": True, "pred": "me", "reward": True}
    found = read(path, {"5": verdict | {"traj": talk}, "9": verdict | {"traj": text}})
    assert [item.task for item in found] == ["question:who"] * 2
    assert roles(found[1]) == ["user", "assistant", "user"]
    assert found[1].messages[1]["content"] == said


def test_toolbench(path: Path) -> None:
    chains = [
        [USER],
        [USER, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}],
    ]
    answer = {
        "query": "Q",
        "train_messages": chains,
        "finish_type": "give_answer",
        "function": [{"type": "function", "function": {"name": "f"}}],
    }
    (found,) = read(path, {"win": True, "tree": {}, "answer_generation": answer})
    assert (roles(found), found.success, found.tools) == (
        ["user", "assistant"],
        True,
        [{"type": "function", "function": {"name": "f"}}],
    )


def test_toolbench_converted_answers(path: Path) -> None:
    tool = {"role": "tool", "message": "{'name': 'f', 'arguments': '{}', 'response': 'r'}", "next": []}
    root = {"role": "user", "message": "Q", "next": [tool]}
    (found,) = read(path, {"11": {"query": "Q", "available_tools": [], "answer": {"answer_details": [root]}}})
    assert roles(found) == ["user", "assistant", "tool"]
    cut = {**root, "next": [{**tool, "message": tool["message"][:20]}]}
    report = Report()
    problems = report.problems
    both = {"1": {"query": "Q", "answer": {"answer_details": [root]}}}
    both["2"] = {"query": "Q", "answer": {"answer_details": [cut]}}
    assert len(read(path, both, strict=False, report=report)) == 1
    assert "cut off" in str(problems.records[0])


def test_bfcl(path: Path) -> None:
    step = [
        {"role": "inference_input", "content": {"message": "", "tools": [{"type": "function"}]}},
        {"role": "assistant", "content": [{"ls": "{}"}]},
        {"role": "handler_log", "content": "decoded"},
        {"role": "tool", "content": "a.txt"},
    ]
    log = [[{"role": "state_info"}], {"begin_of_turn_query": [USER], "step_0": step}]
    (found,) = read(path, {"id": "multi_turn_0", "result": [], "inference_log": log})
    assert (found.task, roles(found)) == ("bfcl/multi_turn_0", ["user", "assistant", "tool"])
    assert found.messages[1]["tool_calls"][0]["function"] == {"name": "ls", "arguments": "{}"}
    assert found.tools == [{"type": "function"}]
