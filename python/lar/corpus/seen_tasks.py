"""The check that nothing is measured on tasks that a result has seen.

A vocabulary has seen the tasks that it was mined on, a student, a control and an adapted teacher those that
they were trained on. What a result was made from counts too: a student has seen what its teacher has seen.
"""

from typing import TYPE_CHECKING

from lar.errors import CorpusError
from lar.utils.task_digests import task_digest

if TYPE_CHECKING:
    from lar.corpus.corpus import Corpus

_SHOWN = 3


def digests_of(corpus: "Corpus") -> frozenset[str]:
    """The digests of a corpus's tasks."""
    return frozenset(map(task_digest, corpus.tasks))


def check_unseen(held_out: "Corpus | None", seen: frozenset[str], who: str) -> None:
    """Check that none of the held-out tasks is among `seen`; `who` names the result ("x was mined on").

    Raises:
        CorpusError: some are; the message names the first few.
    """
    if held_out is None or not seen:
        return
    tasks = held_out.tasks
    found = sorted(task for task in tasks if task_digest(task) in seen)
    if found:
        names = ", ".join(map(repr, found[:_SHOWN])) + (", ..." if len(found) > _SHOWN else "")
        raise CorpusError(
            f"{held_out.path}: {who} {len(found)} of its {len(tasks)} held-out tasks ({names}), so nothing "
            "can be measured on them: make it again with this split, or choose other tasks"
        )
