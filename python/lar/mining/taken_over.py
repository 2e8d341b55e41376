"""The options that an update takes over from the earlier vocabulary: those that its call does not give."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from lar.corpus import Corpus
from lar.errors import CorpusError
from lar.mining.engine_gates.static import parse_gates
from lar.mining.options import MiningOptions
from lar.vocabulary.vocabulary import LatentVocabulary


def taken_over(before: LatentVocabulary, given: Collection[str]) -> dict[str, Any]:
    """The options that `before` was mined with and whose names are not `given`, as its record has them.

    The size is the number of its latents; an empty vocabulary has none to take over. The file of `tools` is
    not recorded.
    """
    record = {**before.mining, "gates": _gates(before.mining.get("gates")), "size": before.size or None}
    open_names = [name for name in _names() if name not in given and name in record]
    return {name: record[name] for name in open_names if record[name] is not None or name == "max_entropy"}


def warnings_of(before: LatentVocabulary, given: Collection[str]) -> list[str]:
    """What cannot be taken over from `before`, in one line for each reason."""
    found = []
    known = {"size", *given, *taken_over(before, given)}
    if missing := [name for name in _names() if name not in known]:
        found.append(
            f"the vocabulary to update does not record its {', '.join(missing)}: the defaults are taken"
        )
    if before.mining.get("tools") and "tools" not in given:
        found.append(
            "the vocabulary to update was mined with tools, whose file is not recorded: give it again"
            " (--tools), or the latents of tools that the logs never call are retired"
        )
    return found


def check_scored(before: LatentVocabulary, taken: dict[str, Any], corpus: Corpus) -> None:
    """Raise CorpusError if a teacher's entropy gate is taken over for a corpus that is not scored.

    By n-gram entropies, the same bound would be another gate.
    """
    gate, teacher = taken.get("max_entropy"), before.mining.get("teacher")
    if gate is None or not teacher or corpus.teacher is not None:
        return
    raise CorpusError(
        f"the vocabulary to update has the gate {gate} by the entropies of its teacher {teacher['name']}, and"
        f" these logs are not scored: run lar score on their corpus first, or give --max-entropy ({gate}: by"
        " n-gram entropies; none: no gate)"
    )


def warning_of_gate(before: LatentVocabulary, taken: dict[str, Any], corpus: Corpus) -> str | None:
    """That a gate by n-gram entropies, taken over, is by a teacher's where the corpus is scored; or None."""
    gate = taken.get("max_entropy")
    if gate is None or before.mining.get("teacher") or corpus.teacher is None:
        return None
    return (
        f"the gate {gate} of the vocabulary to update was by n-gram entropies, and is another one by the"
        f" entropies of {corpus.teacher.name}, which scored these logs (--max-entropy sets it)"
    )


def _names() -> list[str]:
    return [item.name for item in fields(MiningOptions) if item.name != "tools"]


def _gates(costs: Any) -> str | None:
    """The option `gates` of a record's list of gates with their costs; None where there is no such list."""
    if not isinstance(costs, list) or not costs:
        return None
    names = [str(cost.get("name") if isinstance(cost, dict) else cost) for cost in costs]
    words = {parse_gates(word): word for word in ("engines", "none")}
    return words.get(tuple(names)) or ",".join(names)
