"""Why a vocabulary would have no latents, and which option helps: such a vocabulary is never written."""

from typing import Any

from lar.corpus import Corpus
from lar.errors import OptionError
from lar.utils.words import counted


def check_enough_tasks(corpus: Corpus, min_support: int) -> None:
    """Raise OptionError if a segment cannot occur in `min_support` tasks, because there are fewer to mine.

    Logs that do not name their tasks may all share one: its cure is named.
    """
    tasks = len(corpus.training.tasks)
    if tasks < min_support:
        held_out = " that are not held out" if corpus.own_split else ""
        raise OptionError(
            f"no latent can occur in {counted(min_support, 'task')} (--min-support), since there "
            f"{'is' if tasks == 1 else 'are'} {counted(tasks, 'task')}{held_out}. If the logs have more, "
            "name the field that holds a record's task: lar corpus --task-key, or lar import --task-key. To "
            f"mine them as they are: --min-support {max(tasks, 1)}"
        )


def check_latents(vocabulary: Any) -> None:
    """Raise OptionError if mining found no latent; the message names the option that left none."""
    if vocabulary.size == 0:
        raise OptionError(f"no latents, so nothing was written: {why_none(vocabulary.mining)}")


def why_none(mining: dict[str, Any]) -> str:
    """The option that left no latent, and what helps, by the record of the mining."""
    if mining["candidates"] == 0 and mining["candidates_gated"]:
        return (
            f"each of {counted(mining['candidates_gated'], 'segment')} crosses the entropy gate "
            f"(--max-entropy) in more than {mining['max_crossing']:.0%} of its occurrences (--max-crossing); "
            "give a higher gate"
        )
    if mining["candidates"] == 0:
        gate = " of tokens that pass the entropy gate (--max-entropy)" if mining["max_entropy"] else ""
        return (
            f"no segment{gate} occurs {mining['min_count']:,} times (--min-count) in "
            f"{counted(mining['min_support'], 'task')} (--min-support); give smaller numbers or more logs"
        )
    gate = max(mining["gates"], key=lambda gate: int(gate["candidates_dropped"]))
    if gate["candidates_dropped"] == 0:
        return "no segment that recurs saves anything; give more logs"
    return (
        f"most were dropped by the gate {gate['name']} ({gate['candidates_dropped']:,} segments); "
        "--gates none, or a list of the others, shows what there is"
    )
