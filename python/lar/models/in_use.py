"""Changes of a model that last while calls use it, in one call or in several at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

from lar.utils.locks import ThreadLock

_Before = TypeVar("_Before")
InUse = WeakKeyDictionary[Any, tuple[_Before, int]]
"""Of each model within calls: what it was before the first one, and the number of calls."""

_LOCK = ThreadLock()
_EVALUATING: InUse[list[nn.Module]] = WeakKeyDictionary()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block the model drops nothing out; after it each module is in the mode that it was in."""

    def change() -> list[nn.Module]:
        trained = [module for module in model.modules() if module.training]
        model.eval()
        return trained

    def give_back(trained: list[nn.Module]) -> None:
        for module in trained:  # not `model.train()`: some modules may be in evaluation mode
            module.training = True

    with changed(_EVALUATING, model, change, give_back):
        yield


@contextmanager
def changed(
    in_use: "InUse[_Before]",
    model: Any,
    change: Callable[[], _Before],
    give_back: Callable[[_Before], None],
) -> Iterator[None]:
    """Within the block a model is changed. Of the calls of several threads, the last to end gives it back."""
    with _LOCK:
        before, calls = in_use.get(model) or (change(), 0)
        in_use[model] = before, calls + 1
    try:
        yield
    finally:
        with _LOCK:
            before, calls = in_use.pop(model)
            if calls > 1:
                in_use[model] = before, calls - 1
            else:
                give_back(before)
