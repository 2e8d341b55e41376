"""The scripted expert: it reads the ticket and the tools' answers, thinks briefly, follows the policy."""

import json
import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lar.demo.environment import Outcome, Status
from lar.demo.tasks import LATE_DAYS, RETURN_DAYS, SYSTEM_PROMPT, Kind, Task
from lar.progress import Progress, silent
from lar.trajectories import Message, Trajectory


@dataclass(frozen=True)
class Move:
    """One turn of the agent: a thought and a tool call."""

    thought: str
    tool: str
    arguments: dict[str, Any]

    def message(self) -> Message:
        """Return the turn as a chat message with its tool call."""
        function = {"name": self.tool, "arguments": json.dumps(self.arguments)}
        return {
            "role": "assistant",
            "content": f"Thought: {self.thought}",
            "tool_calls": [{"id": None, "type": "function", "function": function}],
        }


# A plan yields moves and is sent the answer to each.
Plan = Generator[Move, dict[str, Any], None]


def demonstrate(task: Task) -> Trajectory:
    """Let the expert work on the ticket and return what was said, with the success that the world shows."""
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
    """Return the messages that stand before the agent's first turn."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": task.request}]


def text_of(message: Message) -> str:
    """Return an assistant message as the agent writes it: its text, then its calls between tags."""
    calls = [tool_call_text(**call["function"]) for call in message.get("tool_calls", ())]
    return "".join([message["content"], *calls])


def tool_call_text(name: str, arguments: str) -> str:
    """Return a call as Hermes and Qwen models write it; `arguments` is JSON text."""
    return f'\n<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def work(task: Task) -> Plan:
    """Close the ticket by the policy, from what the ticket says and the tools answer alone."""
    say = random.Random(f"wording {task.seed}").choice
    item = task.item
    answer = yield Move(
        say((f"First I look up {task.email}.", f"This is about the {item}. Who is the customer?")),
        "find_customer",
        {"email": task.email},
    )
    customer = answer["customer_id"]
    orders = yield Move(
        say((f"The customer is {customer}. Now the orders.", f"I need the orders of {customer}.")),
        "list_orders",
        {"customer_id": customer},
    )
    order = orders[item]
    details = yield Move(
        say((f"The {item} is order {order}. I check how it stands.", f"I have to see {order}, the {item}.")),
        "get_order",
        {"order_id": order},
    )
    outcome = yield from _settle(task, customer, order, details)
    yield Move(
        say((f"Done, the ticket is {outcome}.", f"That leaves the ticket to close as {outcome}.")),
        "close_ticket",
        {"outcome": outcome},
    )


def _settle(
    task: Task, customer: str, order: str, details: dict[str, Any]
) -> Generator[Move, dict[str, Any], Outcome]:
    """Do what the policy says for this order; returns the outcome to close the ticket with."""
    days, price = details["days"], details["price"]
    match task.kind, details["status"]:
        case Kind.RETURN, Status.DELIVERED if days <= RETURN_DAYS:
            thought = f"Delivered {days} days ago, that is within {RETURN_DAYS} days, so {price} goes back."
            yield Move(thought, "refund", {"order_id": order, "amount": price})
            return Outcome.REFUNDED
        case Kind.RETURN, Status.DELIVERED:
            thought = (
                f"Delivered {days} days ago, that is over {RETURN_DAYS} days, so there is {price} of credit."
            )
            yield Move(thought, "give_credit", {"customer_id": customer, "amount": price})
            return Outcome.CREDITED
        case Kind.RETURN, Status.PROCESSING:
            yield Move("It is still processing, so it can be cancelled.", "cancel_order", {"order_id": order})
            return Outcome.CANCELLED
        case Kind.ADDRESS, Status.PROCESSING:
            thought = f"It is still processing, so it can go to {task.city}."
            yield Move(thought, "change_address", {"order_id": order, "city": task.city})
            return Outcome.REDIRECTED
        case Kind.BROKEN, _:
            return (yield from _replace_or_refund("It is broken", task.item, order, price))
        case Kind.LATE, Status.SHIPPED if days > LATE_DAYS:
            reason = f"Shipped {days} days ago, that is over {LATE_DAYS} days"
            return (yield from _replace_or_refund(reason, task.item, order, price))
    return Outcome.DECLINED


def _replace_or_refund(
    reason: str, item: str, order: str, price: int
) -> Generator[Move, dict[str, Any], Outcome]:
    answer = yield Move(f"{reason}, so I see whether there is another {item}.", "check_stock", {"item": item})
    if answer["stock"] > 0:
        thought = f"There are {answer['stock']} in stock, so a new one goes out."
        yield Move(thought, "send_replacement", {"order_id": order})
        return Outcome.REPLACED
    yield Move(
        f"There is none in stock, so {price} goes back.", "refund", {"order_id": order, "amount": price}
    )
    return Outcome.REFUNDED
