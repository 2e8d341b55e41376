"""Tickets for the order desk, each made from its seed, with their correct final worlds."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lar.demo.environment import Environment, Order, Outcome, Status, Window, World
from lar.errors import OptionError

# As with a real agent, the prompt contains the policy, which determines the outcome of each ticket.
SYSTEM_PROMPT = (
    "Order desk. Refund returns while the window is open, later give credit. Replace broken and overdue "
    "items that are in stock, else refund."
)

# The first seed of held-out tickets; the seeds of training tickets are below.
FIRST_HELD_OUT_SEED = 1_000_000_000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Each name, item, city and order number is one or two tokens, which a tiny model learns to copy in a minute.
# With e-mail addresses, days and prices it solved 5% of the tickets after twice the time.
_CUSTOMERS = _words(
    "Ada Ben Cleo Dan Eva Finn Gina Hugo Ines Jan Kira Leo Mia Nils Olga Paul Rosa Sam Tina Udo Vera Will "
    "Yara Zoe Alan Beth Carl Dora Emil Fay Gus Hans Ida Jude Karl Lena Max Nora Otto Pia"
)
_ITEMS = _words(
    "lamp chair desk kettle mirror radio clock bicycle tent blanket toaster camera speaker keyboard printer "
    "jacket backpack helmet guitar puzzle"
)
_CITIES = _words("Berlin Lyon Porto Vienna Gent Turin Oslo Krakow Malmo Graz Basel Cork")


class Kind(StrEnum):
    """The kind of request in a ticket."""

    RETURN = "return"
    BROKEN = "broken"
    LATE = "late"
    ADDRESS = "address"


_REQUESTS = {
    Kind.RETURN: ("I want to give back the {item}.", "Please take the {item} back."),
    Kind.BROKEN: ("The {item} arrived broken.", "My {item} does not work."),
    Kind.LATE: ("Where is my {item}?", "I am still waiting for the {item}."),
    Kind.ADDRESS: (
        "Please send the {item} to {city} instead.",
        "I have moved, the {item} has to go to {city}.",
    ),
}

_STATUSES = {
    Kind.RETURN: (Status.DELIVERED, Status.DELIVERED, Status.SHIPPED, Status.PROCESSING),
    Kind.BROKEN: (Status.DELIVERED,),
    Kind.LATE: (Status.SHIPPED, Status.SHIPPED, Status.DELIVERED),
    Kind.ADDRESS: (Status.PROCESSING, Status.PROCESSING, Status.SHIPPED),
}

_OTHER_ORDERS = 3


@dataclass(frozen=True)
class Task:
    """One ticket: the customer's request, and `start`, the world before the first call."""

    seed: int
    kind: Kind
    customer: str
    item: str
    city: str
    request: str
    order_id: str
    start: World

    @property
    def name(self) -> str:
        """The task's name in trajectories and corpora."""
        return f"order_desk/{self.seed}"

    def environment(self) -> Environment:
        """Return a new environment in the ticket's first state."""
        return Environment(copy.deepcopy(self.start))

    def goal(self) -> World:
        """Return the only final world that the policy allows."""
        return solve(self)

    def is_solved(self, world: World) -> bool:
        """Whether `world` equals the goal: the right changes and outcome, and no other changes."""
        return world == self.goal()


def make_task(seed: int) -> Task:
    """Return the ticket of `seed`, the same on every machine."""
    draw = random.Random(f"order desk {seed}")
    kind = draw.choice(list(Kind))
    numbers = draw.sample(range(10, 100), 1 + _OTHER_ORDERS)
    customers = draw.sample(_CUSTOMERS, len(numbers))
    orders = [_order(draw, number, name) for number, name in zip(numbers, customers, strict=True)]
    asked = orders[0]
    asked.status = draw.choice(_STATUSES[kind])
    city = draw.choice([city for city in _CITIES if city != asked.city])
    request = draw.choice(_REQUESTS[kind]).format(item=asked.item, city=city)
    return Task(
        seed=seed,
        kind=kind,
        customer=asked.customer,
        item=asked.item,
        city=city,
        request=f"{asked.customer}: {request}",
        order_id=asked.id,
        start=World(
            orders={order.id: order for order in orders},
            stock={item: draw.randrange(2) for item in _ITEMS},
        ),
    )


def training_tasks(count: int, seed: int) -> list[Task]:
    """Return `count` training tickets, different ones for each `seed`."""
    first = seed * 1_000_000
    return [make_task(first + index) for index in range(count)]


def held_out_tasks(count: int, seed: int, training: list[Task]) -> list[Task]:
    """Return `count` tickets with texts that differ from each other's and from those of `training`.

    Raises:
        OptionError: there are not so many texts.
    """
    seen = {task.request for task in training}
    if count > (most := number_of_requests() - len(seen)):
        raise OptionError(f"tasks must be at most {most:,}, the number of different tickets, not {count:,}")
    fresh: list[Task] = []
    for task in _tasks_from(FIRST_HELD_OUT_SEED + seed * 1_000_000):
        if len(fresh) == count:
            break
        if task.request not in seen:
            seen.add(task.request)
            fresh.append(task)
    return fresh


def number_of_requests() -> int:
    """The number of different texts of tickets."""
    of_an_item = sum(
        len(_CITIES) if "{city}" in text else 1 for texts in _REQUESTS.values() for text in texts
    )
    return len(_CUSTOMERS) * len(_ITEMS) * of_an_item


def solve(task: Task) -> World:
    """Apply the policy to the ticket's world without tools; this defines success."""
    world = copy.deepcopy(task.start)
    order = world.orders[task.order_id]
    match task.kind, order.status, order.window:
        case Kind.RETURN, Status.DELIVERED, Window.OPEN:
            order.refunds, world.outcome = 1, Outcome.REFUNDED
        case Kind.RETURN, Status.DELIVERED, Window.CLOSED:
            order.credits, world.outcome = 1, Outcome.CREDITED
        case Kind.RETURN, Status.PROCESSING, _:
            order.status, world.outcome = Status.CANCELLED, Outcome.CANCELLED
        case Kind.ADDRESS, Status.PROCESSING, _:
            order.city, world.outcome = task.city, Outcome.REDIRECTED
        case (Kind.BROKEN, _, _) | (Kind.LATE, Status.SHIPPED, Window.CLOSED):
            _replace_or_refund(world, order)
        case _:
            world.outcome = Outcome.DECLINED
    return world


def _replace_or_refund(world: World, order: Order) -> None:
    if world.stock[order.item] > 0:
        world.stock[order.item] -= 1
        order.replacements, world.outcome = 1, Outcome.REPLACED
    else:
        order.refunds, world.outcome = 1, Outcome.REFUNDED


def _order(draw: random.Random, number: int, customer: str) -> Order:
    return Order(
        id=f"R{number}",
        customer=customer,
        item=draw.choice(_ITEMS),
        status=draw.choice((Status.PROCESSING, Status.SHIPPED, Status.DELIVERED)),
        window=draw.choice(list(Window)),
        city=draw.choice(_CITIES),
    )


def _tasks_from(seed: int) -> Iterator[Task]:
    while True:
        yield make_task(seed)
        seed += 1
