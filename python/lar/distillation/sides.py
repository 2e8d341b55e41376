"""The tasks of a run: those to train on, those to evaluate on, and all that its result will have seen."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from lar.corpus import Corpus
from lar.corpus.seen_tasks import check_unseen, digests_of
from lar.distillation.earlier import EarlierStudent
from lar.distillation.options import AdaptOptions
from lar.errors import OptionError
from lar.models.trained_tasks import check_model_unseen, trained_tasks_of
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass(frozen=True)
class Sides:
    """The conversations that a run trains on, and those that it is evaluated on (None: no evaluation).

    trained_tasks: digests of the tasks that the result has seen: the run's own, its teacher's, and those of
    the earlier student that it starts from.
    """

    training: Corpus
    held_out: Corpus | None
    trained_tasks: frozenset[str]

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        held_out: Corpus | None,
        options: AdaptOptions,
        model: Any,
        vocabulary: LatentVocabulary,
        earlier: EarlierStudent | None = None,
    ) -> Self:
        """The sides of `corpus`; `held_out`, where given, takes the place of the corpus's held-out side.

        Raises:
            OptionError: only one of `evaluate_steps` and held-out conversations is given.
            CorpusError: what the run starts from has seen held-out tasks.
        """
        training, unseen = corpus.training, held_out or corpus.held_out
        if options.evaluate_steps is None and held_out is not None:
            raise OptionError("held-out conversations are read every evaluate_steps: give that too")
        if options.evaluate_steps is not None and unseen is None:
            raise OptionError(
                "evaluation (evaluate_steps) needs held-out tasks: make the corpus with lar corpus --hold-out"
            )
        own = digests_of(training)
        check_unseen(unseen, own, "the run would be trained on")
        check_unseen(unseen, vocabulary.mined_tasks, "the vocabulary was mined on")
        check_model_unseen(unseen, model)
        seen = own | trained_tasks_of(model)
        if earlier is not None:
            check_unseen(unseen, earlier.trained_tasks, f"{earlier.folder} was trained on")
            seen |= earlier.trained_tasks
        return cls(training, None if options.evaluate_steps is None else unseen, seen)

    def to_dict(self) -> dict[str, Any]:
        """The split and the number of tasks to train on, as JSON-ready values."""
        split = self.training.own_split
        return {"split": split and asdict(split), "tasks": len(self.training.tasks)}
