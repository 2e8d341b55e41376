"""The scripted expert, which follows the policy from the ticket and the tools' answers."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lar.demo.environment import Outcome, Status, Window
from lar.demo.tasks import SYSTEM_PROMPT, Kind, Task
from lar.trajectories import Function, Message, Trajectory
from lar.utils.progress import Progress, silent


@dataclass(frozen=True)
class Move:
    """One turn of the agent: a thought and a tool call."""

    thought: str
    tool: str
    arguments: dict[str, Any]

    def message(self) -> Message:
        """Return the turn as a chat message with its tool call."""
        function: Function = {"name": self.tool, "arguments": json.dumps(self.arguments)}
        return {
            "role": "assistant",
            "content": f"Thought: {self.thought}",
            "tool_calls": [{"id": None, "type": "function", "function": function}],
        }


# A generator that yields moves and receives the answer to each.
Plan = Generator[Move, dict[str, Any], None]


def demonstrate(task: Task) -> Trajectory:
    """Return the expert's trajectory on the ticket, with its success."""
    environment = task.environment()
    messages = opening(task)
    plan = work(task)
    move = next(plan)
    while True:
        message = move.message()
        answer = environment.step(text_of(message))
        messages.append(message)
        if environment.done:
            break
        messages.append({"role": "tool", "content": answer})
        move = plan.send(json.loads(answer))
    return Trajectory(
        id=task.name,
        task=task.name,
        messages=messages,
        success=task.is_solved(environment.world),
        model="expert",
        source="lar demo",
    )


def demonstrations(tasks: Sequence[Task], *, progress: Progress = silent) -> Iterator[Trajectory]:
    """Yield the expert's trajectory of each ticket; `progress` counts tickets."""
    for done, task in enumerate(tasks, start=1):
        yield demonstrate(task)
        progress(done, len(tasks))


def opening(task: Task) -> list[Message]:
    """Return the messages before the agent's first turn."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": task.request}]


def text_of(message: Message) -> str:
    """Return an assistant message as text: its content, then its calls between tags."""
    calls = [tool_call_text(**call["function"]) for call in message.get("tool_calls", ())]
    return "".join([message["content"], *calls])


def tool_call_text(name: str, arguments: str) -> str:
    """Return a call in the format of Hermes and Qwen; `arguments` is JSON text."""
    return f'\n<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def work(task: Task) -> Plan:
    """Close the ticket by the policy, using only the ticket's text and the tools' answers."""
    found = yield Move(
        f"I look up the order of {task.customer} for the {task.item}.",
        "find_order",
        {"customer": task.customer, "item": task.item},
    )
    outcome = yield from _settle(task, found)
    yield Move(f"The ticket can be closed as {outcome}.", "close_ticket", {"outcome": outcome})


def _settle(task: Task, found: dict[str, Any]) -> Generator[Move, dict[str, Any], Outcome]:
    """Follow the policy for the found order; returns the outcome for closing the ticket."""
    order = {"order": found["order"]}
    match task.kind, found["status"], found["window"]:
        case Kind.RETURN, Status.DELIVERED, Window.OPEN:
            yield Move("It was delivered and the window is open, so the money goes back.", "refund", order)
            return Outcome.REFUNDED
        case Kind.RETURN, Status.DELIVERED, Window.CLOSED:
            yield Move("It was delivered but the window is closed, so there is credit.", "give_credit", order)
            return Outcome.CREDITED
        case Kind.RETURN, Status.PROCESSING, _:
            yield Move("It is still processing, so it can be cancelled.", "cancel_order", order)
            return Outcome.CANCELLED
        case Kind.ADDRESS, Status.PROCESSING, _:
            thought = f"It is still processing, so it can go to {task.city}."
            yield Move(thought, "change_address", {**order, "city": task.city})
            return Outcome.REDIRECTED
        case Kind.BROKEN, _, _:
            return (yield from _replace_or_refund("It is broken.", task.item, order))
        case Kind.LATE, Status.SHIPPED, Window.CLOSED:
            return (yield from _replace_or_refund("It is overdue.", task.item, order))
    return Outcome.DECLINED


def _replace_or_refund(
    reason: str, item: str, order: dict[str, Any]
) -> Generator[Move, dict[str, Any], Outcome]:
    thought = f"{reason} I check whether there is another {item}."
    answer = yield Move(thought, "check_stock", {"item": item})
    if answer["stock"] == "some":
        yield Move("There is one in stock, so a new one goes out.", "send_replacement", order)
        return Outcome.REPLACED
    yield Move("There is none in stock, so the money goes back.", "refund", order)
    return Outcome.REFUNDED
