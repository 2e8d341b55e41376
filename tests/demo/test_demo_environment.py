"""The order desk: the expert closes every ticket, no input breaks it, and success depends on its state."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.demo.environment import MAX_TURNS, Environment, Outcome
from lar.demo.expert import Move, demonstrate, text_of, work
from lar.demo.tasks import Kind, Task, held_out_tasks, make_task, number_of_requests, training_tasks
from lar.errors import OptionError

TOOLS = (
    "find_order",
    "check_stock",
    "refund",
    "give_credit",
    "send_replacement",
    "cancel_order",
    "change_address",
    "close_ticket",
)
KEYS = ("customer", "item", "order", "city", "outcome")


def call(name: str, **arguments: object) -> str:
    return text_of(Move("", name, arguments).message())


def moves_of(task: Task) -> list[str]:
    return [text_of(message) for message in demonstrate(task).messages if message["role"] == "assistant"]


def replay(task: Task, messages: list[str]) -> Environment:
    environment = task.environment()
    for message in messages:
        environment.step(message)
    return environment


@pytest.mark.parametrize("first", [0, 1_000_000_000])
def test_the_expert_solves_every_ticket(first: int) -> None:
    trajectories = [demonstrate(make_task(first + seed)) for seed in range(300)]
    assert all(trajectory.success for trajectory in trajectories)
    turns = [sum(message["role"] == "assistant" for message in t.messages) for t in trajectories]
    assert set(turns) == {2, 3, 4}


def test_tickets_need_every_branch_of_the_policy() -> None:
    goals = [make_task(seed).goal() for seed in range(300)]
    assert {goal.outcome for goal in goals} == set(Outcome)
    assert {make_task(seed).kind for seed in range(300)} == set(Kind)


def test_a_seed_is_the_same_ticket_and_the_same_trajectory() -> None:
    assert make_task(5) == make_task(5)
    assert demonstrate(make_task(5)) == demonstrate(make_task(5))
    assert make_task(5).request != make_task(6).request


def test_working_on_a_ticket_does_not_change_it() -> None:
    task = make_task(3)
    before = copy.deepcopy(task)
    demonstrate(task)
    assert task == before


def test_no_held_out_ticket_was_trained_on() -> None:
    training = training_tasks(3000, seed=0)
    held_out = held_out_tasks(300, 0, training)
    assert len({task.request for task in held_out}) == 300
    assert not {task.request for task in held_out} & {task.request for task in training}
    assert not {task.name for task in held_out} & {task.name for task in training}


def test_more_tickets_than_there_are_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert number_of_requests() == 24_000
    with pytest.raises(OptionError, match="at most 23,999, the number of different tickets, not 30,000"):
        held_out_tasks(30_000, 0, training_tasks(1, 0))
    for name, few in {"_CUSTOMERS": ("Ada", "Ben", "Cleo", "Dan"), "_ITEMS": ("lamp", "chair")}.items():
        monkeypatch.setattr(f"lar.demo.tasks.{name}", few)
    most = number_of_requests()
    assert len({task.request for task in held_out_tasks(most, 0, [])}) == most


def test_held_out_tickets_skip_those_that_were_trained_on() -> None:
    first = held_out_tasks(3, 0, [])
    again = held_out_tasks(3, 0, first[:1])
    assert [task.seed for task in again[:2]] == [task.seed for task in first[1:]]


@given(seed=st.integers(0, 200), turn=st.integers(0, 5))
def test_leaving_out_one_move_is_no_success_unless_it_only_looked(seed: int, turn: int) -> None:
    task = make_task(seed)
    moves = moves_of(task)
    left = [move for index, move in enumerate(moves) if index != turn]
    reads = ("find_order", "check_stock")
    only_looked = turn >= len(moves) or any(f'"{name}"' in moves[turn] for name in reads)
    assert task.is_solved(replay(task, left).world) is only_looked


@given(seed=st.integers(0, 200))
def test_a_further_write_is_no_success(seed: int) -> None:
    task = make_task(seed)
    other = next(order for order in task.start.orders if order != task.order_id)
    for order in (other, task.order_id):
        extra = call("give_credit", order=order)
        assert not task.is_solved(replay(task, [extra, *moves_of(task)]).world)


def test_the_right_words_without_the_right_state_are_no_success() -> None:
    task = make_task(1)
    wrong = next(outcome for outcome in Outcome if outcome != task.goal().outcome)
    assert not task.is_solved(replay(task, [*moves_of(task)[:-1], call("close_ticket", outcome=wrong)]).world)
    assert not task.is_solved(replay(task, ["Done, the ticket is closed."]).world)


arguments = st.dictionaries(
    st.sampled_from(KEYS) | st.text(max_size=5),
    st.one_of(
        st.sampled_from(["Ada", "R47", "lamp", "Oslo", "refunded"]),
        st.integers(),
        st.booleans(),
        st.none(),
        st.text(max_size=9),
        st.lists(st.integers(), max_size=2),
        st.floats(),
    ),
    max_size=3,
)
calls = st.builds(
    lambda name, arguments: (
        f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
    ),
    st.sampled_from(TOOLS),
    arguments,
)


@given(st.lists(st.text() | calls | calls.map(lambda text: text[:-14]), max_size=12))
def test_whatever_the_agent_writes_gets_an_answer(messages: list[str]) -> None:
    environment = make_task(0).environment()
    for message in messages:
        assert isinstance(json.loads(environment.step(message)), dict)
    assert environment.done is (environment.world.outcome is not None or len(messages) >= MAX_TURNS)


def writes(task: Task) -> st.SearchStrategy[str]:
    """Well-formed calls about existing orders, which can change the world."""
    order = st.sampled_from(sorted(task.start.orders))
    name = st.sampled_from(["refund", "give_credit", "send_replacement", "cancel_order"])
    moved = st.builds(lambda o: call("change_address", order=o, city="Oslo"), order)
    return moved | st.builds(lambda n, o: call(n, order=o), name, order)


@given(st.data())
def test_an_error_changes_nothing_and_stock_stays_in_bounds(data: st.DataObject) -> None:
    task = make_task(data.draw(st.integers(0, 50)))
    environment = task.environment()
    for message in data.draw(st.lists(writes(task), max_size=7)):
        before = copy.deepcopy(environment.world)
        answer = json.loads(environment.step(message))
        assert answer == {"ok": True} or ("error" in answer and environment.world == before)
    assert all(stock >= 0 for stock in environment.world.stock.values())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Thought: hm", "no tool call"),
        ("<tool_call>\n{nothing}\n</tool_call>", "the tool call is not JSON"),
        ('<tool_call>{"name": "refund"}</tool_call>', "a tool call has a name and arguments"),
        (call("fly"), "no such tool"),
        (call("refund", item="lamp"), "refund takes order"),
        (call("refund", order=47), "order must be of type str"),
        (call("refund", order="R1"), "no such order"),
        (call("find_order", customer="Ada", item="moon"), "no such order"),
        (call("check_stock", item="moon"), "no such item"),
        (call("close_ticket", outcome="won"), "no such outcome"),
    ],
)
def test_errors_have_clear_messages(message: str, error: str) -> None:
    assert json.loads(make_task(0).environment().step(message)) == {"error": error}


def test_nothing_happens_after_the_ticket_is_closed() -> None:
    environment = make_task(0).environment()
    environment.step(call("close_ticket", outcome="declined"))
    assert environment.done
    assert json.loads(environment.step(call("close_ticket", outcome="refunded"))) == {
        "error": "the ticket is closed"
    }
    assert environment.world.outcome == "declined"


def test_the_expert_uses_only_the_ticket_and_the_answers() -> None:
    """With another world behind the tools, the expert follows that world's facts."""
    task = next(task for seed in range(99) if (task := make_task(seed)).kind is Kind.BROKEN)
    plan = work(task)
    assert next(plan).tool == "find_order"
    assert plan.send({"order": "R77", "status": "delivered", "window": "open"}).tool == "check_stock"
    assert plan.send({"stock": "none"}).tool == "refund"
    plan = work(task)
    next(plan)
    plan.send({"order": "R77", "status": "delivered", "window": "open"})
    move = plan.send({"stock": "some"})
    assert (move.tool, move.arguments) == ("send_replacement", {"order": "R77"})
