"""A key-value cache that appends in place.

`DynamicCache` of transformers copies all keys and values of the conversation for each new unit. On a CPU that
was a third of the decoding time of SmolLM2-135M (16 conversations of 900 units; docs/results/speed.md).
"""

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_LEAST_ROOM = 64


def growing_cache(config: Any) -> DynamicCache:
    """An empty cache for a model with `config`, with the methods and results of `DynamicCache`.

    Layers that keep all positions append in place. Others, such as sliding windows, are transformers' own.
    """
    cache = DynamicCache(config=config)
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def keeps_all_positions(cache: DynamicCache) -> bool:
    """Whether each layer of a cache of `growing_cache` keeps all positions, so that a mask can hide some."""
    return all(isinstance(layer, _GrowingLayer) for layer in cache.layers)


def cut_back(cache: DynamicCache, length: int, config: Any) -> DynamicCache:
    """The cache of the first `length` positions; an empty one where layers cannot forget single positions."""
    if not keeps_all_positions(cache):
        return growing_cache(config)
    excess = cache.get_seq_length() - length
    if excess > 0:
        cache.crop(-excess)  # how many to remove: what a positive number means depends on the version
    return cache


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed here
    """`keys` and `values` are views of memory with room for more positions."""

    keys: Tensor
    values: Tensor

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._key_memory: Tensor | None = None
        self._value_memory: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append states (batch, heads, n, width), and return those of all positions."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._key_memory = _appended(self.keys, key_states, self._key_memory)
        self.values, self._value_memory = _appended(self.values, value_states, self._value_memory)
        return self.keys, self.values

    def reset(self) -> None:
        """Forget all positions."""
        super().reset()
        self._key_memory = self._value_memory = None


def _appended(kept: Tensor, new: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
    """`kept` (batch, heads, length, width) and `new` behind it, as a view of memory; and this memory.

    That is `memory` if it begins with `kept` and has the room. The base class may have replaced `kept` (a
    choice of rows, for example); a shorter view of the same memory is fine.
    """
    length = kept.shape[-2] if kept.numel() else 0
    total = length + new.shape[-2]
    if memory is None or not _begins_with(memory, kept) or total > memory.shape[-2]:
        room = max(total // 4, _LEAST_ROOM)
        memory = new.new_empty(*new.shape[:2], total + room, new.shape[-1])
        if length:
            memory[..., :length, :] = kept
    memory[..., length:total, :] = new
    return memory[..., :total, :], memory


def _begins_with(memory: Tensor, kept: Tensor) -> bool:
    same_rows = kept.shape[:2] == memory.shape[:2] and kept.stride() == memory.stride()
    return same_rows and kept.data_ptr() == memory.data_ptr()
