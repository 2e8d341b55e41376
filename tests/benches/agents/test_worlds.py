"""The worlds: how they score, and that nothing is learnt from their held-out tasks."""

import json
import re

import pytest

from benches.agents.worlds.answers import contains, is_exact, normalized
from benches.agents.worlds.data import records, shuffled
from benches.agents.worlds.wording import OPENINGS, varied
from lar.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def search_qa(shared):
    pytest.importorskip("bm25s", reason="pip install bm25s")
    from benches.agents.worlds.search_qa import SearchQA

    return SearchQA(shared, Tokenizer.load(shared / "tokenizers" / "qwen3"))


@pytest.fixture(scope="module")
def telecom(shared):
    pytest.importorskip("inspect_evals", reason="pip install --no-deps inspect-evals==0.26.0")
    from benches.agents.worlds.telecom import Telecom

    return Telecom(shared)


def test_answers_are_normalized_as_squad_does():
    assert normalized(" The  U.S. Army, a  branch") == "us army branch"
    assert is_exact("the beatles", ["Beatles", "Fab Four"])
    assert not is_exact("beatles band", ["Beatles"])
    assert contains("It was The Beatles.", ["beatles"])
    assert not contains("anything", ["the", ""])


def test_an_order_depends_on_names_and_seed_alone():
    names = [f"task {number}" for number in range(50)]
    assert shuffled(names, "a") == shuffled([*reversed(names), names[3]], "a")
    assert sorted(shuffled(names, "a")) == sorted(names) != shuffled(names, "a")
    assert shuffled(names, "a") != shuffled(names, "b")


def test_absent_data_is_one_line_that_names_the_folder(tmp_path):
    with pytest.raises(SystemExit, match=r"questions.jsonl.gz is absent; --shared names the folder"):
        list(records(tmp_path / "questions.jsonl.gz"))


def test_a_wording_changes_no_fact():
    thought = "Airplane mode is on. I turn it off."
    worded = {varied(thought, "run", turn, seed=0) for turn in range(200)}
    assert worded == {f"Airplane mode is on. {opening} turn it off." for opening in OPENINGS}
    assert varied(thought, "run", 3, seed=0) == varied(thought, "run", 3, seed=0)
    for kept in ("I must escalate.", "The SIM card is locked.", "I am done."):
        assert {varied(kept, "run", turn, seed=0) for turn in range(50)} == {kept}


def test_no_question_of_a_split_is_learnt_from(search_qa):
    test, unseen, fresh = (search_qa.tasks(split) for split in search_qa.splits)
    every = [*test, *unseen, *fresh]
    asked = {re.sub(r"\W", "", task.source["question"].lower()) for task in every}
    assert (len(test), len(unseen), len(fresh), len({task.id for task in every})) == (200, 200, 1776, 2176)
    assert list(search_qa.runs("fresh")) == []
    learnt = list(search_qa.runs())
    for run in learnt:
        question = run.messages[1]["content"].partition("Question: ")[2]
        assert re.sub(r"\W", "", question.lower()) not in asked
    assert len(learnt) > 600
    assert all(run.success for run in learnt)
    assert {run.task for run in search_qa.runs("test")} <= {task.id for task in test}


def test_a_log_of_search_is_answered_as_it_was(search_qa):
    """The openings are those of the logs, and so are the scores of their answers."""
    logs = {run.task: run for run in search_qa.runs("test")}
    tasks = [task for task in search_qa.tasks("test") if task.id in logs]
    assert len(tasks) > 50
    for task in tasks:
        run, episode = logs[task.id], search_qa.reset(task)
        assert episode.opening.messages == run.messages[:2]
        observed = episode.step(run.messages[2]["content"]).observation["content"]
        assert observed.startswith("\n\n<information>")
        assert observed.endswith("</information>\n\n")
        assert episode.step(run.messages[-1]["content"]).success == run.success


def test_a_turn_without_an_action_is_told_so(search_qa):
    episode = search_qa.reset(search_qa.tasks("test", 1)[0])
    assert "neither a query" in episode.step("hm").observation["content"]
    assert episode.step("<search> zzzzqqq </search>").observation["content"] == (
        "\n\n<information></information>\n\n"
    )


def test_the_experts_runs_solve_their_tickets_as_they_were_written(telecom):
    for split in ("test", "unseen"):
        runs = {run.id: run for run in telecom.runs(split)}
        for task in telecom.tasks(split, 15):
            episode, observed = telecom.reset(task), None
            for message in runs[task.id].messages[2:]:
                if message["role"] == "assistant":
                    step = episode.step(message["content"])
                    observed = step.observation
                else:
                    assert message == observed
            assert step.observation is None
            assert step.success


def test_no_held_out_problem_of_telecom_is_learnt_from(telecom):
    from benches.agents.worlds.telecom import problem

    tasks = [*telecom.tasks("test"), *telecom.tasks("unseen")]
    assert (len(telecom.tasks("test")), len(telecom.tasks("unseen"))) == (40, 200)
    assert not {problem(task.id) for task in tasks} & {run.task for run in telecom.runs()}
    assert sum(task.repeated for task in telecom.tasks("test")) == 13


@pytest.mark.parametrize(
    "reply",
    [
        *("", "Action: {", 'Action: {"name": 1, "arguments": {}}', "Action: []", 'Action: {"name": "done"}'),
        *(
            f'Action: {{"name": "toggle_data", "arguments": {{"{key}": 1}}}}'
            for key in ("name", "env", "more")
        ),
    ],
)
def test_a_turn_that_is_no_call_is_told_so(telecom, reply):
    step = telecom.reset(telecom.tasks("test", 1)[0]).step(reply)
    assert step.observation["content"].startswith("Error: ")


def test_a_ticket_that_is_closed_at_once_is_not_solved(telecom):
    done = json.dumps({"name": "done", "arguments": {}})
    step = telecom.reset(telecom.tasks("test", 1)[0]).step(f"Action: {done}")
    assert (step.observation, step.success) == (None, False)
