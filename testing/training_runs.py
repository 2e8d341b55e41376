"""Training runs for the tests of several processes; as a script, the work of one process."""

import contextlib
import signal
import sys
from pathlib import Path

import torch

from lar import adapt, cli, distill
from lar.corpus import Corpus
from lar.distillation import AdaptOptions, DistillOptions
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.sharding import readable
from lar.distillation.training.trainer import DistillationTrainer
from lar.errors import OptionError
from lar.mining.mine import mine
from lar.models.compatibility import shards_exactly
from lar.utils import ending
from lar.utils.processes import count, is_main
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny
from testing.few_steps import FEW, KilledError
from testing.updates import updated

SHARDINGS = ("none", "full") if shards_exactly() else ("none",)


class Runs:
    """Training runs on a folder's model, corpus and vocabulary. An optimizer step takes `rows` rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = str(folder / "model")
        self.corpus = Corpus.load(folder / "corpus")
        self.vocabulary = LatentVocabulary.load(folder / "vocabulary")
        self.output = folder / f"of-{count()}"

    def options(self, kind=DistillOptions, *, rows: int = 2, **others):
        return kind(
            **{**FEW, "logging_steps": 1, "max_steps": 4, **others}, gradient_accumulation=rows // count()
        )

    def distill(self, options, name=None, vocabulary=None, start_from=None):
        output = None if name is None else self.output / name
        latents = vocabulary or self.vocabulary
        student = distill(self.corpus, self.model, latents, options, output, start_from=start_from)
        return {"learnt": student.learnt(), "log": student.record["log"]}

    def whole_run(self, sharding):
        return self.distill(self.options(sharding=sharding), f"whole-{sharding}")

    def killed_run(self, sharding):
        """Stop every process before its fourth step, one step after a checkpoint, and start again."""
        options = self.options(sharding=sharding, save_steps=2)
        step = DistillationTrainer.training_step

        def dying(trainer, *arguments, **keywords):
            if trainer.state.global_step == 3:
                raise KilledError
            return step(trainer, *arguments, **keywords)

        DistillationTrainer.training_step = dying
        try:
            self.distill(options, f"killed-{sharding}")
        except KilledError:
            pass
        finally:
            DistillationTrainer.training_step = step
        with contextlib.suppress(OptionError):  # an error of the main process is raised in every process
            self.distill(self.options(sharding=sharding, save_steps=2, seed=5), f"killed-{sharding}")
            raise AssertionError("checkpoints of a run with another seed were taken")
        return self.distill(options, f"killed-{sharding}")

    def ended_run(self, sharding):
        """Let a signal, heard by the last process alone, end all of them after their second step."""
        step = DistillationTrainer.training_step

        def asking(trainer, *arguments, **keywords):
            if trainer.state.global_step == 1 and (count() == 1 or not is_main()):
                assert ending.ask(signal.SIGTERM)
            return step(trainer, *arguments, **keywords)

        DistillationTrainer.training_step = asking
        try:
            self.distill(self.options(sharding=sharding), f"ended-{sharding}")
            found = None
        except ending.Stopped as stopped:
            found = stopped
        finally:
            DistillationTrainer.training_step = step
        assert found is not None
        assert found.number == signal.SIGTERM
        assert found.kept.endswith("checkpoint-2"), found.kept
        return self.distill(self.options(sharding=sharding), f"ended-{sharding}")

    def accumulating_run(self, sharding):
        """Accumulate batches, recompute activations, and measure the model after each step."""
        looked, held = [], []
        log = DistillationTrainer.log

        def looking(trainer, *arguments, **keywords):
            student = trainer.model.student
            parameters = [getattr(p, "_local_tensor", p) for p in student.parameters()]
            held.append(sum(p.numel() for p in parameters))
            with readable(trainer.model), torch.no_grad():
                looked.append(bits_per_byte(self.corpus, student).bits_per_byte)
            student.train()
            log(trainer, *arguments, **keywords)

        DistillationTrainer.log = looking
        try:
            found = self.distill(
                self.options(rows=4, gradient_checkpointing=True, sharding=sharding, max_steps=2)
            )
        finally:
            DistillationTrainer.log = log
        return {**found, "looked": looked, "held": held}

    def bfloat16_run(self, sharding):
        return self.distill(self.options(dtype="bfloat16", sharding=sharding, max_steps=2))

    def started_run(self, sharding):
        """Start from an earlier student, with other latents."""
        latents = updated(self.vocabulary, self.corpus)
        options = self.options(sharding=sharding, max_steps=2)
        return self.distill(options, vocabulary=latents, start_from=self.folder / "earlier")

    def stopped_run(self, sharding):
        """Stop when an evaluation brings nothing, and keep the weights of the best one, the first.

        The learning rates are so high that the second step makes the model worse.
        """
        learnt, held_out = self.corpus.split(0.3)
        options = self.options(
            sharding=sharding,
            learning_rate=0.1,
            row_learning_rate=0.1,
            latent_dropout=0.5,
            evaluate_steps=1,
            patience=1,
            min_improvement=100.0,
        )
        student = distill(learnt, self.model, mine(learnt, size=8), options, held_out=held_out)
        assert student.record["kept"]["step"] == 1, student.record["log"]
        return {"learnt": student.learnt(), "log": student.record["log"]}

    def adapted(self, sharding):
        merged = adapt(self.corpus, self.model, self.options(AdaptOptions, sharding=sharding, max_steps=2))
        return {"learnt": dict(merged.state_dict()), "log": []}

    def all(self, sharding):
        runs = (
            self.whole_run,
            self.killed_run,
            self.ended_run,
            self.accumulating_run,
            self.bfloat16_run,
            self.started_run,
            self.stopped_run,
            self.adapted,
        )
        return {run.__name__: run(sharding) for run in runs}


def fail_on_the_command_line(folder: Path) -> None:
    """Run `lar distill` with a model of too few rows for the corpus's ids, an error in every process."""
    sys.argv = [
        "lar",
        "distill",
        str(folder / "corpus"),
        "--model",
        str(folder / "narrow"),
        "--device",
        "cpu",
    ]
    sys.argv += ["--vocabulary", str(folder / "vocabulary"), "-o", str(folder / "out")]
    cli.main()


if __name__ == "__main__":
    at = Path(sys.argv[1])
    with tiny.one_thread():
        found = {sharding: Runs(at).all(sharding) for sharding in SHARDINGS}
        torch.save(found, at / f"found-{is_main()}.pt")
        fail_on_the_command_line(at)
