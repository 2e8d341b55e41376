"""The entropy gate: a token may continue a segment only where the teacher's entropy before it is low enough.

For a corpus without a teacher's entropies, those of an n-gram model of its own tokens are used instead.
"""

import logging
import math
import re
from dataclasses import dataclass

from lar import _core
from lar.corpus import Corpus
from lar.corpus.backend import Backend
from lar.errors import CorpusError, OptionError
from lar.scoring.distribution import EntropyDistribution
from lar.utils.progress import Progress, annotate

logger = logging.getLogger(__name__)

# The gate to try first: of those measured on agents it costs the least, and keeps as much success as lower
# ones (docs/results/success.md).
USUAL_GATE = "p90"
# Where the tokenizer is not known: more than the entropy over any tokenizer's ids, ln(485 million).
MOST_NATS = 20.0


@dataclass(frozen=True)
class EntropyGate:
    """A bound on entropies: in nats, or a quantile (0 to 1) of the corpus's own."""

    nats: float | None = None
    quantile: float | None = None


def parse_gate(value: float | str | None, ids: int | None = None) -> EntropyGate | None:
    """Read a gate: None, a number of nats (0.25, "0.25") or a quantile in percent ("p60").

    ids: how many the tokenizer has, where it is known: no entropy over them is above ln(ids).

    Raises:
        OptionError: it is neither, or it is above any entropy, so that it would gate nothing.
    """
    if value is None:
        return None
    if isinstance(value, str) and (match := re.fullmatch(r"p(\d+(?:\.\d+)?)", value)):
        percent = float(match[1])
        if percent <= 100:
            return EntropyGate(quantile=percent / 100)
    else:
        try:
            nats = float(value)
        except ValueError:
            nats = -1.0
        if nats >= 0:
            _check_gates(nats, math.log(ids) if ids else MOST_NATS)
            return EntropyGate(nats=nats)
    raise OptionError(f"max_entropy must be nats (0.25) or a quantile (p0 to p100), not {value!r}")


def _check_gates(nats: float, most: float) -> None:
    """Refuse nats that gate nothing: usually a quantile was meant, p60 by 60."""
    if nats > most:
        quantile = f"p{nats:g}" if nats <= 100 else "p60"
        raise OptionError(
            f"max_entropy {nats:g} gates nothing: no entropy is above {most:.1f} nats; for a quantile, write"
            f" {quantile}"
        )


def gated_runs(
    corpus: Corpus, stretches: _core.Runs, gate: EntropyGate | None, backend: Backend, progress: Progress
) -> tuple[_core.Runs, _core.Runs, float | None]:
    """The runs that have entropies; the same cut by the gate, which candidates come from; the gate in nats.

    `stretches` are the runs without a gate. All of them have entropies, unless a sample is scored. `progress`
    counts the tokens of each pass over the corpus.
    """
    if gate is None:
        return stretches, stretches, None
    if corpus.teacher is not None:
        nats = gate.nats
        if nats is None:
            annotate(progress, "entropies")
            nats = EntropyDistribution.of(corpus, backend, progress).quantile(gate.quantile or 0.0)
        annotate(progress, "runs within the gate")
        gated = backend.fold(corpus, nats, progress)
        if corpus.teacher.share == 1:
            return stretches, gated, nats
        logger.warning(
            "the gate is by the scores of %d of %d tasks: what does not recur in them is no latent",
            len(corpus.scored.tasks),
            len(corpus.tasks),
        )
        annotate(progress, "runs of the scored tasks")
        # Tokens without an entropy are NaN, which is at most nothing: they stand alone.
        return backend.fold(corpus, math.inf, progress), gated, nats
    logger.warning(
        "the corpus is not scored: its n-gram entropy replaces a teacher's entropy; such gates cost tiny"
        " agents success (docs/howto/choose.md), so run lar score first"
    )
    is_quantile = gate.nats is None
    gated, nats = stretches.gated_by_ngrams((gate.quantile if is_quantile else gate.nats) or 0.0, is_quantile)
    if nats is None:
        raise CorpusError("no token of the agent has an entropy: the corpus is too small to gate")
    return stretches, gated, nats
