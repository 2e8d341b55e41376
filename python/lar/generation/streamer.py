"""A streamer of transformers that expands units into text."""

from collections.abc import Callable

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from lar.errors import OptionError
from lar.vocabulary.vocabulary import LatentVocabulary


class UnitStreamer(BaseStreamer):  # type: ignore[misc]  # transformers is not typed here
    """A streamer for your own call of `student.model.generate` with one prompt.

    It calls `on_text` with each piece of text once that is final. After a call it can be given to the next,
    also after one that `on_text` ended by an error. After a call that failed elsewhere, call `reset` first.
    """

    def __init__(self, vocabulary: LatentVocabulary, on_text: Callable[[str], None]) -> None:
        self._vocabulary = vocabulary
        self._on_text = on_text
        self._stream = vocabulary.stream()
        self._prompt_is_next = True

    def put(self, value: Tensor) -> None:
        """Take the prompt (in the first call, which emits nothing), then each new unit."""
        if self._prompt_is_next:
            self._prompt_is_next = False
            return
        if value.numel() != 1:
            raise OptionError("UnitStreamer takes one prompt; lar.generation.generate takes many")
        self._emit(self._stream.push(int(value)))

    def end(self) -> None:
        """Emit the text that was held back."""
        self._emit(self._stream.flush())
        self.reset()

    def reset(self) -> None:
        """Drop the text that is held back; what is put next is a prompt."""
        self._stream = self._vocabulary.stream()
        self._prompt_is_next = True

    def _emit(self, text: str) -> None:
        if not text:
            return
        try:
            self._on_text(text)
        except BaseException:  # also Ctrl-C: the call ends here, without `end`
            self.reset()
            raise
