"""What a teacher said of a corpus, kept for later runs: its most likely tokens before each of the agent's.

One Arrow file a shard, `teacher/part-00000.arrow`, a row for each of the agent's tokens in the shard's order:
`ids` and `logprob` of the k most likely tokens, and `tail`, what is left for all the others together. A file
knows the model, the windows and the shard that it is of, and is refused where any of them is another.

It says what the teacher would say in the same window, with one exception: a unit that is taught in one window
because the edge of the one before cut through it. There the cache holds what the teacher said in the earlier
window, with more to read before it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.corpus.manifest import TEACHER_FOLDER
from lar.corpus.shards import Shard
from lar.errors import CorpusError
from lar.utils.files import atomic_file

_KEY = b"lar.teacher"


@dataclass(frozen=True, slots=True)
class TopTokens:
    """A teacher's distributions at n positions, over its k most likely tokens and all others together.

    ids: uint32 (n, k); probabilities: float32 (n, k); tail: float32 (n), the others' probability.
    """

    ids: NDArray[np.uint32]
    probabilities: NDArray[np.float32]
    tail: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CacheIdentity:
    """What a cache was made of: the model's `fingerprint`, and the length of its windows.

    max_length None: the model read whole conversations.
    """

    teacher: str
    max_length: int | None


def cache_file(shard: Shard) -> Path:
    """Where the cache of a shard lies."""
    return shard.path.parent / TEACHER_FOLDER / shard.path.name


def write_top_tokens(shard: Shard, identity: CacheIdentity, top: TopTokens) -> None:
    """Write the cache of a whole shard, a row for each of its agent's tokens, in one step."""
    file = cache_file(shard)
    file.parent.mkdir(exist_ok=True)
    k = top.ids.shape[1]
    with np.errstate(divide="ignore"):
        logprob = np.log(top.probabilities).astype(np.float16)
    columns = {
        "ids": _fixed(top.ids.astype(np.uint32), k),
        "logprob": _fixed(logprob, k),
        "tail": pa.array(top.tail.astype(np.float32)),
    }
    said = json.dumps({**asdict(identity), "shard": _digest(shard)})
    batch = pa.record_batch(columns).replace_schema_metadata({_KEY: said.encode()})
    with (
        atomic_file(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as out,
    ):
        out.write_batch(batch)


def is_cached(shard: Shard, identity: CacheIdentity, k: int) -> bool:
    """Whether the shard has a cache of this teacher with k tokens."""
    try:
        return CachedTeacher(identity).size(shard) == k
    except CorpusError:
        return False


class _Kept(NamedTuple):
    """A shard's cache, mapped: ids, logprob (a, k), tail (a), and the row of each of the shard's tokens."""

    ids: NDArray[np.uint32]
    logprob: NDArray[np.float16]
    tail: NDArray[np.float32]
    row_of: NDArray[np.int64]


class CachedTeacher:
    """The cache of one teacher, read row by row.

    A file is memory-mapped and checked when a shard is first asked for. It belongs to that `Shard` object: a
    shard read later from the same path may hold something else, so its cache is opened anew.
    """

    def __init__(self, identity: CacheIdentity, base_size: int | None = None) -> None:
        """Read caches of `identity`, whose ids are below `base_size`."""
        self.identity = identity
        self.base_size = base_size
        self._opened: dict[Path, tuple[Shard, _Kept]] = {}

    def size(self, shard: Shard) -> int:
        """How many tokens are kept for each position; raises CorpusError as `top` does."""
        return int(self._open(shard).ids.shape[1])

    def top(self, shard: Shard, positions: NDArray[np.int64]) -> TopTokens:
        """What the teacher said before the agent's tokens at `positions` (n) of the shard's tokens.

        Raises:
            CorpusError: the shard has no cache, or one of another teacher or of other windows.
        """
        kept = self._open(shard)
        rows = kept.row_of[positions]
        ids, logprob, tail = kept.ids[rows], kept.logprob[rows].astype(np.float32), kept.tail[rows]
        # A little above 0 is rounding; NaN is below nothing.
        possible = (logprob < 0.01).all() and (tail >= 0).all() and (tail < 1.01).all()
        if not possible or (self.base_size is not None and (ids >= self.base_size).any()):
            raise CorpusError(f"{cache_file(shard)}: a broken teacher cache (what no teacher can have said)")
        probabilities, tail = np.exp(logprob), np.minimum(tail, 1)
        none = ~np.isfinite(logprob).any(-1)
        probabilities[none], tail[none] = 0, 1
        # float16 has rounded each; the tail has not been rounded, and all of it shall be 1.
        probabilities *= ((1 - tail) / np.where(none, 1, probabilities.sum(-1)))[:, None]
        return TopTokens(ids, probabilities, tail)

    def _open(self, shard: Shard) -> "_Kept":
        known, kept = self._opened.get(shard.path, (None, None))
        if kept is None or known is not shard:
            kept = self._read(shard)
            self._opened[shard.path] = shard, kept
        return kept

    def _read(self, shard: Shard) -> "_Kept":
        file, path = cache_file(shard), shard.path
        try:
            with pa.memory_map(str(file)) as source:
                reader = pa.ipc.open_file(source)
                said = json.loads((reader.schema.metadata or {}).get(_KEY, b"{}"))
                batch = reader.get_batch(0)
                batch.validate(full=True)
        except FileNotFoundError:
            raise CorpusError(
                f"{path}: no teacher's distributions are kept for it; run lar score with --top-k"
            ) from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorpusError(f"{file}: a broken teacher cache ({str(error).splitlines()[0]})") from None
        self._refuse_others(file, said if isinstance(said, dict) else {}, _digest(shard))
        k = _checked_size(file, batch, int(shard.action.sum()))
        return _Kept(
            batch.column("ids").values.to_numpy().reshape(-1, k),
            batch.column("logprob").values.to_numpy().reshape(-1, k),
            batch.column("tail").to_numpy(),
            np.cumsum(shard.action) - 1,
        )

    def _refuse_others(self, file: Path, said: dict[str, Any], digest: str) -> None:
        if said.get("shard") != digest:
            raise CorpusError(f"{file}: a teacher cache of another corpus")
        if said.get("teacher") != self.identity.teacher:
            raise CorpusError(f"{file}: a teacher cache of another model; run lar score --overwrite --top-k")
        if said.get("max_length") != self.identity.max_length:
            raise CorpusError(
                f"{file}: the teacher read windows of {said.get('max_length')} tokens, "
                f"this run reads {self.identity.max_length}; both need the same max_length"
            )


def _checked_size(file: Path, batch: Any, rows: int) -> int:
    """How many tokens a cache keeps; raises CorpusError where it is not a cache of `rows` positions."""
    k = int(getattr(batch.schema.field(0).type, "list_size", 0)) if batch.num_columns else 0
    columns = {"ids": pa.list_(pa.uint32(), k), "logprob": pa.list_(pa.float16(), k), "tail": pa.float32()}
    found = {name: batch.schema.field(at).type for at, name in enumerate(batch.schema.names)}
    if k < 1 or found != columns or batch.num_rows != rows or any(c.null_count for c in batch.columns):
        raise CorpusError(f"{file}: a broken teacher cache (not {rows} rows of ids, logprob and tail)")
    return k


def _fixed(values: NDArray[Any], size: int) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), size)


def _digest(shard: Shard) -> str:
    digest = hashlib.sha256(shard.tokens.tobytes())
    digest.update(np.packbits(shard.action).tobytes())
    return digest.hexdigest()
