"""The turns of an agent: what it writes in one go, between two texts that it reads; what it reads again."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lar.corpus.backend import Backend, map_shards
from lar.corpus.corpus import Corpus
from lar.corpus.shards import Shard


def turn_starts(action: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each turn begins, in conversations with the mask `action` (n) and `offsets` (m + 1)."""
    begins = action.copy()
    begins[1:] &= ~action[:-1]
    starts = offsets[:-1][np.diff(offsets) > 0]
    begins[starts] = action[starts]  # a conversation may begin where the last one ended: with the agent
    return np.flatnonzero(begins)


def count_turns(corpus: Corpus, backend: Backend | None = None) -> int:
    """The number of the agent's turns in a corpus."""
    return sum(map_shards(_of_shard, corpus, backend))


def _of_shard(shard: Shard) -> int:
    return len(turn_starts(shard.action, shard.offsets))


def count_prompt_tokens(corpus: Corpus, backend: Backend | None = None) -> int:
    """The number of a corpus's tokens that are `newly_read`."""
    if len(corpus) == corpus.num_trajectories:  # no row repeats the one before
        return corpus.num_tokens - corpus.num_action_tokens
    return sum(map_shards(_prompt_tokens_of, corpus, backend))


def _prompt_tokens_of(shard: Shard) -> int:
    return int(newly_read(shard.tokens, shard.action, shard.offsets, shard.continues).sum())


def newly_read(
    ids: NDArray[np.uint32],
    action: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    continues: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which of n ids the agent only reads, each counted in the first row that has it; bool (n).

    action: (n), what it writes in these rows. The other arguments are those of `read_before`. In a later row
    of a run the agent also reads what it wrote in an earlier one. A turn that is learnt in a later row is in
    earlier ones, too; the agent wrote it, so it is not read there.
    """
    return ~(written(ids, action, offsets, continues) | read_before(ids, offsets, continues))


def read_before(
    ids: NDArray[np.uint32], offsets: NDArray[np.int64], continues: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of n ids are read already in the row before of the same run, which begins alike; bool (n).

    ids: (n), tokens or units; row i of m is ids[offsets[i] : offsets[i + 1]]. continues: (m), see `Row`. A
    prefix cache has these ids. The agent may write some of them in this row: turns that the row before has
    as text of the conversation.
    """
    found = np.zeros(len(ids), np.bool_)
    for _, begin, length in _repeated(ids, offsets, continues):
        found[begin : begin + length] = True
    return found


def written(
    ids: NDArray[np.uint32],
    action: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    continues: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which of n ids the agent wrote; bool (n).

    It may have written them in another row of the run, which has the same up to there: in this one they are
    text of the conversation. The arguments are those of `newly_read`.
    """
    found, repeated = action.copy(), list(_repeated(ids, offsets, continues))
    for before, begin, length in reversed(repeated):
        found[before : before + length] |= found[begin : begin + length]
    for before, begin, length in repeated:
        found[begin : begin + length] |= found[before : before + length]
    return found


def first_places(
    places: NDArray[np.int64],
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    continues: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Where each of k places is in the first row of its run that has what lies there; int64 (k).

    The other arguments are those of `read_before`. These places are in the order in which a run was written.
    The rows are not: a later one may have a turn from before the turns of an earlier one.
    """
    found = places.copy()
    for before, begin, length in reversed(list(_repeated(ids, offsets, continues))):
        moved = (found >= begin) & (found < begin + length)
        found[moved] += before - begin
    return found


def _repeated(
    ids: NDArray[np.uint32], offsets: NDArray[np.int64], continues: NDArray[np.bool_]
) -> Iterator[tuple[int, int, int]]:
    """Yield where the row before begins, where a row that continues it does, and how many ids they share."""
    for row in np.flatnonzero(continues).tolist():
        before, begin, end = offsets[row - 1 : row + 2].tolist()
        length = min(begin - before, end - begin)
        differ = ids[before : before + length] != ids[begin : begin + length]
        yield before, begin, int(differ.argmax()) if differ.any() else length
