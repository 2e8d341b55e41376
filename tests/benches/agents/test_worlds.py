"""The worlds: how they score, and that nothing is learnt from their held-out tasks."""

import gzip
import json
import re
from types import SimpleNamespace

import pytest

from benches.agents.sandbox import Outcome
from benches.agents.worlds import programs
from benches.agents.worlds.answers import contains, is_exact, normalized
from benches.agents.worlds.data import records, shuffled
from benches.agents.worlds.telecom import TRANSFER, Ticket
from benches.agents.worlds.wording import OPENINGS, varied
from lar.tokenizer import Tokenizer
from testing import toy


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


def problems(shared):
    """Some problems, each asked in two ways."""
    folder = shared / "tasks" / "mbpp"
    folder.mkdir(parents=True)
    with gzip.open(folder / "tasks.jsonl.gz", "wt", encoding="utf-8") as file:
        for number in range(8):
            for way in "ab":
                record = {
                    "id": f"mbpp/{number}{way}",
                    "split_key": f"problem {number}",
                    "question": "Add one. ",
                    "tests": f"assert f({number}) == 1\nassert f(0)",
                    "solution": "s = 1",
                    "preamble": "p = 1\n",
                    "call": "call()",
                    "needs_pytest": way == "b",
                }
                file.write(json.dumps(record) + "\n")


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The world of a few problems. Its sandbox prints and judges as `ran` of the fixture is told."""
    problems(tmp_path)
    ran, outcome = [], {"exit_code": 0, "output": ""}

    def run_python(program, _, module=()):
        ran.append((program, module))
        return Outcome(**outcome)

    monkeypatch.setattr(programs, "check_available", lambda: None)
    monkeypatch.setattr(programs, "run_python", run_python)
    monkeypatch.setitem(programs.HELD_OUT, "mbpp", {"test": 3, "unseen": 2})
    return SimpleNamespace(world=programs.Code(tmp_path, "mbpp"), ran=ran, outcome=outcome)


def test_no_problem_of_a_split_is_learnt_from(code):
    of = {
        split: {task.source["split_key"] for task in code.world.tasks(split)} for split in code.world.splits
    }
    learnt = {run.task for run in code.world.runs()}
    assert [len(names) for names in (of["test"], of["unseen"], learnt)] == [3, 2, 3]
    assert len(of["test"] | of["unseen"] | learnt) == 8
    assert {run.task for run in code.world.runs("test")} == of["test"]
    assert [task.id for task in code.world.tasks("test", 2)] == [t.id for t in code.world.tasks("test")][:2]


def test_a_problem_is_solved_by_the_last_answer_whose_tests_pass(code):
    task = next(task for task in code.world.tasks("test") if task.id.endswith("a"))
    episode = code.world.reset(task)
    first_test, *_ = task.source["tests"].splitlines()
    assert episode.opening.messages[1]["content"].endswith(f"Your code should pass this test:\n{first_test}")
    reply = "<answer>a = 1</answer> no: <answer>\n```python\nb = 2\n```\n</answer>"
    for exit_code, success in ((0, True), (1, False), (None, False)):
        code.outcome["exit_code"] = exit_code
        step = episode.step(reply)
        assert (step.observation, step.success) == (None, success)
    program, module = code.ran[-1]
    assert program == f"p = 1\nb = 2\n\n{task.source['tests']}\ncall()\n"
    assert module == ()
    other = next(task for task in code.world.tasks("test") if task.id.endswith("b"))
    code.world.reset(other).step(reply)
    assert code.ran[-1][1][0] == "pytest"


def test_a_program_is_run_and_what_it_printed_is_read(code):
    episode = code.world.reset(code.world.tasks("test", 1)[0])
    assert "neither <execute> nor <answer>" in episode.step("hm").observation["content"]
    assert code.ran == []
    for exit_code, output, said in (
        (0, "2\n", "2"),
        (1, "", "(no output)"),
        (None, "3\n", "3\n(stopped after 10 s)"),
    ):
        code.outcome.update(exit_code=exit_code, output=output)
        step = episode.step("<execute>\nprint(2)\n</execute>")
        assert step.observation == {"role": "user", "content": f"<result>\n{said}\n</result>"}
    assert code.ran[-1] == ("print(2)", ())


@pytest.mark.parametrize(
    ("basis", "called", "solved", "success"),
    [
        (["ENV_ASSERTION"], [], True, True),
        (["ENV_ASSERTION"], [], False, False),
        (["ENV_ASSERTION", "ACTION"], [], True, False),
        (["ENV_ASSERTION", "ACTION"], [TRANSFER], True, True),
        (["ENV_ASSERTION", "ACTION"], [TRANSFER], False, False),
    ],
)
def test_a_ticket_needs_its_assertions_and_the_transfer_where_it_counts(basis, called, solved, success):
    face = SimpleNamespace(
        new_env=lambda _: None, call=lambda *_, **__: ("", None), success=lambda *_: solved
    )
    criteria = SimpleNamespace(reward_basis=basis, actions=[SimpleNamespace(name=TRANSFER)])
    episode = Ticket(face, SimpleNamespace(ticket="Help.", evaluation_criteria=criteria))
    for name in [*called, "done"]:
        step = episode.step(f'Action: {{"name": "{name}", "arguments": {{}}}}')
    assert (step.observation, step.success) == (None, success)


def test_a_question_is_answered_by_the_last_answer_and_until_then_searched():
    pytest.importorskip("bm25s", reason="pip install bm25s")
    from benches.agents.worlds.search_qa import Question

    prompt = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Question: "}]
    record = {"question": " who sang it ", "answers": ["The Beatles", "Fab Four"]}
    episode = Question(record, prompt, SimpleNamespace(result=lambda query: f"found {query}"))
    assert episode.opening.messages[1]["content"] == "Question: who sang it?\n"
    step = episode.step("hm <search> a b </search> <search> c </search>")
    assert (step.observation, step.success) == ({"role": "user", "content": "found a b"}, False)
    assert "neither a query" in episode.step("<answer> Beatles").observation["content"]
    for answer, success, substring in (
        ("beatles", True, 1.0),
        ("the fab four band", False, 1.0),
        ("abba", False, 0.0),
    ):
        step = episode.step(f"<search> a </search> <answer> beatles </answer> <answer>\n{answer} </answer>")
        assert (step.observation, step.success, step.figures) == (None, success, {"substring": substring})


def test_a_search_finds_passages_that_share_a_rare_word(monkeypatch):
    pytest.importorskip("bm25s", reason="pip install bm25s")
    from benches.agents.worlds import retrieval

    texts = [
        "rome lies on the tiber",
        "the tiber is a river",
        "oslo the cold",
        "the tiber again",
        'the "far" north',
    ]
    passages = [retrieval.Passage(f"T {n}", text) for n, text in enumerate(texts)]
    passages += [retrieval.Passage(f"U{n}", "other words") for n in range(9)]
    tokenizer = toy.tokenizer()
    search = retrieval.Search(passages, tokenizer)
    assert {passage.title for passage in search.find("TIBER")} == {"T 0", "T 1", "T 3"}
    assert [passage.title for passage in search.find("rome tiber", top=1)] == ["T 0"]
    assert search.find("the") == search.find("nothing such") == search.find("") == []
    whole = search.result("north")
    assert whole == '\n\n<information>Doc 1(Title: "T 4") the ""far"" north</information>\n\n'
    monkeypatch.setattr(retrieval, "LONGEST", 7)
    cut = search.result("north").removeprefix("\n\n<information>").removesuffix("</information>\n\n")
    assert whole.partition("<information>")[2].startswith(cut)
    assert len(tokenizer.encode(cut)) == 7


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
