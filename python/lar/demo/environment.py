"""An order desk: orders and stock behind eight tools, and one ticket to close.

The agent answers each message with a thought and one tool call, a JSON object with `name` and `arguments`
between `<tool_call>` tags (the Hermes convention), and gets the tool's result as JSON. A call that cannot be
read or executed returns an error and changes nothing.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_TURNS = 8

_CALL = re.compile(r"<tool_call>\s*(\{.*\})\s*</tool_call>", re.DOTALL)


class Status(StrEnum):
    """The state of an order."""

    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """The outcome with which a ticket is closed."""

    REFUNDED = "refunded"
    CREDITED = "credited"
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    REDIRECTED = "redirected"
    DECLINED = "declined"


class Window(StrEnum):
    """Whether the time for an order's return or arrival has not yet passed."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass
class Order:
    """A customer's order of one item, with the desk's actions on it."""

    id: str
    customer: str
    item: str
    status: Status
    window: Window
    city: str
    refunds: int = 0
    credits: int = 0
    replacements: int = 0


@dataclass
class World:
    """The state that the tools read and change; equal worlds are equal outcomes."""

    orders: dict[str, Order]
    stock: dict[str, int]
    outcome: Outcome | None = None


class ToolError(Exception):
    """A call that cannot be read or executed; the message is the agent's answer."""


@dataclass
class Environment:
    """One ticket's world while an agent works in it."""

    world: World
    turns: int = 0
    _tools: dict[str, Callable[..., dict[str, Any]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tools = (
            self._find_order,
            self._check_stock,
            self._refund,
            self._give_credit,
            self._send_replacement,
            self._cancel_order,
            self._change_address,
            self._close_ticket,
        )
        self._tools = {tool.__name__[1:]: tool for tool in tools}

    @property
    def done(self) -> bool:
        """Whether the ticket is closed or the agent has used up its turns."""
        return self.world.outcome is not None or self.turns >= MAX_TURNS

    def step(self, message: str) -> str:
        """Execute the agent's message and return the tool's answer, a JSON object."""
        self.turns += 1
        try:
            name, arguments = parse_call(message)
            answer = self._call(name, arguments)
        except ToolError as error:
            answer = {"error": str(error)}
        return json.dumps(answer)

    def _call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.done:
            raise ToolError("the ticket is closed")
        if name not in self._tools:
            raise ToolError("no such tool")
        tool = self._tools[name]
        wanted = {key: kind for key, kind in tool.__annotations__.items() if key != "return"}
        if set(arguments) != set(wanted):
            raise ToolError(f"{name} takes {', '.join(wanted)}")
        for key, kind in wanted.items():
            if type(arguments[key]) is not kind:  # `is`, because True must not count as an int
                raise ToolError(f"{key} must be of type {kind.__name__}")
        return tool(**arguments)

    # Each tool's annotations are its schema: `_call` checks names and types of arguments against them.

    def _find_order(self, customer: str, item: str) -> dict[str, Any]:
        for order in self.world.orders.values():
            if (order.customer, order.item) == (customer, item):
                return {"order": order.id, "status": order.status.value, "window": order.window.value}
        raise ToolError("no such order")

    def _check_stock(self, item: str) -> dict[str, Any]:
        if item not in self.world.stock:
            raise ToolError("no such item")
        return {"stock": "some" if self.world.stock[item] else "none"}

    def _refund(self, order: str) -> dict[str, Any]:
        self._order(order).refunds += 1
        return {"ok": True}

    def _give_credit(self, order: str) -> dict[str, Any]:
        self._order(order).credits += 1
        return {"ok": True}

    def _send_replacement(self, order: str) -> dict[str, Any]:
        found = self._order(order)
        if self.world.stock[found.item] == 0:
            raise ToolError("out of stock")
        self.world.stock[found.item] -= 1
        found.replacements += 1
        return {"ok": True}

    def _cancel_order(self, order: str) -> dict[str, Any]:
        self._unshipped(order).status = Status.CANCELLED
        return {"ok": True}

    def _change_address(self, order: str, city: str) -> dict[str, Any]:
        self._unshipped(order).city = city
        return {"ok": True}

    def _close_ticket(self, outcome: str) -> dict[str, Any]:
        if outcome not in list(Outcome):
            raise ToolError("no such outcome")
        self.world.outcome = Outcome(outcome)
        return {"ok": True}

    def _order(self, order: str) -> Order:
        if order not in self.world.orders:
            raise ToolError("no such order")
        return self.world.orders[order]

    def _unshipped(self, order: str) -> Order:
        found = self._order(order)
        if found.status is not Status.PROCESSING:
            raise ToolError("too late")
        return found


def parse_call(message: str) -> tuple[str, dict[str, Any]]:
    """Read the one tool call of an agent's message: the tool's name and its arguments.

    Raises:
        ToolError: there is no tool call, or it is not a JSON object with a name and arguments.
    """
    found = _CALL.search(message)
    if found is None:
        raise ToolError("no tool call")
    try:
        call = json.loads(found[1])
    except (ValueError, RecursionError):
        raise ToolError("the tool call is not JSON") from None
    match call:
        case {"name": str(name), "arguments": dict(arguments)}:
            return name, arguments
    raise ToolError("a tool call has a name and arguments")
