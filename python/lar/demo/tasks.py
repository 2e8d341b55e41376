"""Tickets for the order desk, each made from its seed alone, and the world that closing it rightly leaves."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lar.demo.environment import Customer, Environment, Order, Outcome, Status, World

RETURN_DAYS = 30
LATE_DAYS = 14

# The policy is in the prompt as it would be for a real agent; the answers to each ticket follow from it.
SYSTEM_PROMPT = (
    f"Order desk. Refund returns within {RETURN_DAYS} days, later give credit. Replace broken or "
    f"{LATE_DAYS} days late items in stock, else refund."
)

# The held-out tickets' seeds begin here; the training tickets' seeds lie below.
FIRST_HELD_OUT_SEED = 1_000_000_000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST_NAMES = _words(
    "ada ben cleo dan eva finn gina hugo ines jan kira leo mia nils olga paul rosa sam tina udo vera will "
    "yara zoe alan beth carl dora emil fay gus hans ida jude karl lena max nora otto pia"
)
_LAST_NAMES = _words(
    "adler baker cole dietz evans falk gross hahn irwin jones klein lang moss nash ortiz price quinn reed "
    "stone tate ulm voss wolf young zorn beck croft drake engel frost gray hill jung kent lloyd marsh"
)
_HOSTS = _words("post.org mail.net inbox.com")
_ITEMS = _words(
    "lamp chair desk kettle mirror radio clock bicycle tent blanket toaster camera speaker keyboard printer "
    "jacket backpack helmet guitar puzzle"
)
_CITIES = _words("Berlin Lyon Porto Vienna Gent Turin Oslo Krakow Malmo Graz Basel Cork")


class Kind(StrEnum):
    """What a ticket asks for."""

    RETURN = "return"
    BROKEN = "broken"
    LATE = "late"
    ADDRESS = "address"


_REQUESTS = {
    Kind.RETURN: (
        "I want to give back the {item}.",
        "The {item} is not for me, I would like my money back.",
        "Please take the {item} back.",
    ),
    Kind.BROKEN: (
        "The {item} arrived broken.",
        "My {item} does not work.",
        "There is a crack in the {item} that you sent.",
    ),
    Kind.LATE: (
        "Where is my {item}?",
        "I am still waiting for the {item}.",
        "The {item} has not arrived yet.",
    ),
    Kind.ADDRESS: (
        "Please send the {item} to {city} instead.",
        "I have moved, the {item} has to go to {city}.",
        "Can you change the address for the {item} to {city}?",
    ),
}

_STATUSES = {
    Kind.RETURN: (Status.DELIVERED, Status.DELIVERED, Status.SHIPPED, Status.PROCESSING),
    Kind.BROKEN: (Status.DELIVERED,),
    Kind.LATE: (Status.SHIPPED, Status.SHIPPED, Status.SHIPPED, Status.DELIVERED),
    Kind.ADDRESS: (Status.PROCESSING, Status.PROCESSING, Status.SHIPPED),
}


@dataclass(frozen=True)
class Task:
    """One ticket: what the customer wrote, and `start`, the world before the first call."""

    seed: int
    kind: Kind
    email: str
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
        """Return a fresh environment in the ticket's first state."""
        return Environment(copy.deepcopy(self.start))

    def goal(self) -> World:
        """Return the one world that the policy allows the ticket to end in."""
        return solve(self)

    def is_solved(self, world: World) -> bool:
        """Whether `world` is the goal: the right writes, the right outcome, and nothing else touched."""
        return world == self.goal()


def make_task(seed: int) -> Task:
    """Make the ticket of `seed`: the same seed gives the same ticket everywhere."""
    draw = random.Random(f"order desk {seed}")
    kind = draw.choice(list(Kind))
    customers = _customers(draw)
    owner = draw.choice(customers)
    items = draw.sample(_ITEMS, 3)
    stranger = next(customer for customer in customers if customer is not owner)
    ids = draw.sample(range(100, 1000), 4)
    orders = [_order(draw, number, item, owner.id) for number, item in zip(ids[:3], items, strict=True)]
    orders.append(_order(draw, ids[3], draw.choice(_ITEMS), stranger.id))
    asked = orders[draw.randrange(3)]
    asked.status = draw.choice(_STATUSES[kind])
    city = draw.choice([city for city in _CITIES if city != asked.city])
    request = draw.choice(_REQUESTS[kind]).format(item=asked.item, city=city)
    return Task(
        seed=seed,
        kind=kind,
        email=owner.email,
        item=asked.item,
        city=city,
        request=f"{owner.email} writes: {request}",
        order_id=asked.id,
        start=World(
            customers={customer.id: customer for customer in customers},
            orders={order.id: order for order in orders},
            stock={item: draw.choice((0, draw.randint(1, 9))) for item in _ITEMS},
        ),
    )


def training_tasks(count: int, seed: int) -> list[Task]:
    """Make `count` tickets to learn from; each `seed` has its own."""
    first = seed * 1_000_000
    return [make_task(first + index) for index in range(count)]


def held_out_tasks(count: int, seed: int, training: list[Task]) -> list[Task]:
    """Make `count` tickets that differ from each other and from every ticket of `training` in their text."""
    seen = {task.request for task in training}
    fresh: list[Task] = []
    for task in _tasks_from(FIRST_HELD_OUT_SEED + seed * 1_000_000):
        if len(fresh) == count:
            break
        if task.request not in seen:
            seen.add(task.request)
            fresh.append(task)
    return fresh


def solve(task: Task) -> World:
    """Apply the policy to the ticket's world, without tools: the definition of success."""
    world = copy.deepcopy(task.start)
    order = world.orders[task.order_id]
    owner = world.customers[order.customer_id]
    match task.kind, order.status:
        case Kind.RETURN, Status.DELIVERED if order.days <= RETURN_DAYS:
            order.refunded, world.outcome = order.price, Outcome.REFUNDED
        case Kind.RETURN, Status.DELIVERED:
            owner.credit, world.outcome = order.price, Outcome.CREDITED
        case Kind.RETURN, Status.PROCESSING:
            order.status, world.outcome = Status.CANCELLED, Outcome.CANCELLED
        case Kind.ADDRESS, Status.PROCESSING:
            order.city, world.outcome = task.city, Outcome.REDIRECTED
        case Kind.BROKEN, _:
            _replace_or_refund(world, order)
        case Kind.LATE, Status.SHIPPED if order.days > LATE_DAYS:
            _replace_or_refund(world, order)
        case _:
            world.outcome = Outcome.DECLINED
    return world


def _replace_or_refund(world: World, order: Order) -> None:
    if world.stock[order.item] > 0:
        world.stock[order.item] -= 1
        order.replacements, world.outcome = 1, Outcome.REPLACED
    else:
        order.refunded, world.outcome = order.price, Outcome.REFUNDED


def _customers(draw: random.Random) -> list[Customer]:
    ids = draw.sample(range(100, 1000), 2)
    names = draw.sample(_FIRST_NAMES, 2)
    return [
        Customer(f"C{id_}", f"{name}.{draw.choice(_LAST_NAMES)}@{draw.choice(_HOSTS)}")
        for id_, name in zip(ids, names, strict=True)
    ]


def _order(draw: random.Random, number: int, item: str, customer_id: str) -> Order:
    return Order(
        id=f"R{number}",
        customer_id=customer_id,
        item=item,
        price=draw.randint(10, 99),
        status=draw.choice((Status.PROCESSING, Status.SHIPPED, Status.DELIVERED)),
        days=draw.randint(1, 28) if draw.random() < 0.5 else draw.randint(1, 60),
        city=draw.choice(_CITIES),
    )


def _tasks_from(seed: int) -> Iterator[Task]:
    while True:
        yield make_task(seed)
        seed += 1
