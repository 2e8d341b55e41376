"""What a model was before a LoRA and hooks were put into it, to give it back as it was after an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Snapshot:
    """The layers, hooks, modes and other attributes of a model's modules, and which parameters learn.

    Weights are neither copied nor restored: what is put into a model trains its own. PEFT's `unload` is not
    enough after an error. It needs a LoRA that is whole, and leaves hooks, modes and gradient checkpointing.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._attention = model.config.get_text_config()._attn_implementation
        self._learns = {name for name, value in model.named_parameters() if value.requires_grad}
        self._attributes = [(module, _kept(vars(module))) for module in model.modules()]

    def restore(self) -> None:
        """Make the model what it was, in place."""
        for module, before in self._attributes:
            _put_back(vars(module), before)
        for name, value in self._model.named_parameters():
            value.requires_grad_(name in self._learns)
        if self._model.config.get_text_config()._attn_implementation != self._attention:
            self._model.set_attn_implementation(self._attention)

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """After an error within the block, also an interruption, the model is what it was."""
        try:
            yield
        except BaseException:
            self.restore()
            raise


def _kept(attributes: dict[str, Any]) -> dict[str, Any]:
    """A module's attributes, with copies of its dictionaries, such as those of layers and hooks.

    Without its parameters: of a model that is sharded later, they would keep the whole weights in memory.
    """
    return {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in attributes.items()
        if name != "_parameters"
    }


def _put_back(attributes: dict[str, Any], before: dict[str, Any]) -> None:
    """Undo `_kept`. Dictionaries stay the same objects: the handles of a caller's own hooks refer to them."""
    for name in attributes.keys() - before.keys() - {"_parameters"}:
        del attributes[name]
    for name, value in before.items():
        present = attributes.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            present.clear()
            present.update(value)
        else:
            attributes[name] = value
