"""The start of a student's rows apart from its training: `lar.distill` reports both as progress."""

from time import perf_counter


class RowStart:
    """A progress that tells the start of the rows from the steps; to be derived from.

    The batches of the start, such as those on which output rows are fitted, are reported like steps. They
    must not count as training, neither as steps nor in its seconds.
    """

    def __init__(self) -> None:
        self.start_seconds = 0.0
        self._start_began: float | None = None

    @property
    def is_starting(self) -> bool:
        """Whether what is reported now is the start of the rows."""
        return self._start_began is not None

    def note(self, text: str) -> None:
        """Take a note of `lar.distill`: some name the start and its end."""
        # Not at the top: `benches.gpu.clock` is imported before torch.
        from lar.distillation.rows.start import STARTS, TRAINING

        if text in STARTS and self._start_began is None:
            self._start_began = perf_counter()
        elif text == TRAINING and self._start_began is not None:
            self.start_seconds += perf_counter() - self._start_began
            self._start_began = None
