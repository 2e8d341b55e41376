"""The scores of a corpus: what one teacher computed before each of the agent's tokens.

They lie in `teacher/` in the corpus's folder: `teacher.json`, the record of the model, and one Arrow file a
shard, with the shard's name. A file has a row for each of the agent's tokens in the shard, in its order:

- `entropy` (float16, nats): of the teacher's distribution before the token; NaN for a trajectory's first, and
  for all of a task that is not in the sample which was scored (`TeacherRecord.share`).
- Where likely tokens were asked for: `ids` (uint32, k), the k likeliest tokens, likeliest first, `logprob`
  (float16, k, nats), and `tail` (float32), the probability of all other tokens together.

Only the agent's tokens have rows, because nothing is computed before the others, and a row with 64 likely
tokens takes 390 bytes. `Shard.entropy` spreads the first column over all tokens when it is asked for.

Each file names the model, the windows and the shard that it was computed for, and is written in one step.

The files are read and written here, and not in `lar.scoring`, because a shard reads its own entropies and
`lar.corpus` imports nothing downstream. `lar.scoring.store` decides who may write.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.corpus.selection import InSample, Split
from lar.errors import CorpusError
from lar.utils.files import atomic_file, write_json
from lar.utils.task_digests import TRAINED_FILE, read_digests

TEACHER_FOLDER = "teacher"
RECORD_FILE = "teacher.json"
_KEY = b"lar.scores"


class TeacherIdentity(NamedTuple):
    """What scores depend on: the model, and the tokens that it read at a time (None: whole conversations)."""

    fingerprint: str
    max_length: int | None


@dataclass(frozen=True, slots=True)
class TeacherRecord:
    """The model that scored a corpus, or that has begun to."""

    fingerprint: str
    max_length: int | None
    name: str
    dtype: str
    top_k: int | None  # likely tokens in each of the corpus's files; None: entropies alone
    split: Split | None = None  # of the corpus when it was scored; both of its sides are scored
    share: float = 1.0  # scored are the tasks with places below it (`InSample`); 1.0: all

    def has_scored(self, task: str) -> bool:
        """Whether a task's trajectories are scored: those of other tasks have NaN entropies."""
        return InSample(self.share)(task)

    @property
    def identity(self) -> TeacherIdentity:
        """What scores depend on: a corpus may hold only scores of one identity."""
        return TeacherIdentity(self.fingerprint, self.max_length)

    @classmethod
    def read(cls, corpus: Path) -> Self | None:
        """Return the record in a corpus's folder, None where there is none.

        Raises:
            CorpusError: the file is broken.
        """
        file = corpus / TEACHER_FOLDER / RECORD_FILE
        try:
            content = dict(json.loads(file.read_text(encoding="utf-8")))
            record = cls(**{**content, "split": Split.of_json(content.get("split"))})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RecursionError, NotADirectoryError) as error:
            raise CorpusError(f"{file}: a broken record of a teacher ({error})") from None
        for item in fields(record):
            value, kind = getattr(record, item.name), cast(Any, item.type)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise CorpusError(f"{file}: a broken record of a teacher ({item.name!r} is {value!r})")
        return record

    def write(self, corpus: Path) -> None:
        """Replace the record in a corpus's folder in one step."""
        write_json(corpus / TEACHER_FOLDER / RECORD_FILE, asdict(self))


def teacher_tasks(corpus: Path) -> frozenset[str]:
    """Digests of the tasks that the teacher which scored a corpus was trained on."""
    return read_digests(corpus / TEACHER_FOLDER / TRAINED_FILE)


class LikelyTokens(NamedTuple):
    """A teacher's likeliest tokens before each of the agent's a tokens, and the probability of all others."""

    ids: NDArray[np.uint32]  # (a, k), the likeliest first
    logprob: NDArray[np.float16]  # (a, k) nats
    tail: NDArray[np.float32]  # (a)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a teacher computed before each of the agent's a tokens of a shard."""

    teacher: TeacherIdentity
    entropy: NDArray[np.float16]  # (a) nats
    likely: LikelyTokens | None
    share: float = 1.0  # as in `TeacherRecord`; it may be larger than the record's

    @property
    def top_k(self) -> int | None:
        """Number of likely tokens before each of the agent's tokens; None without."""
        return None if self.likely is None else self.likely.ids.shape[1]


def scores_file(shard_file: Path) -> Path:
    """Return the path of a shard's scores."""
    return shard_file.parent / TEACHER_FOLDER / shard_file.name


def write_scores(shard_file: Path, digest: str, scores: Scores) -> None:
    """Write the scores of the shard with this `digest` (see `Shard`) in one step."""
    columns = [pa.array(scores.entropy)]
    if scores.likely is not None:
        ids, logprob, tail = scores.likely
        columns += [_rows_of(ids), _rows_of(logprob), pa.array(tail)]
    made_of = {**scores.teacher._asdict(), "shard": digest, "share": scores.share}
    schema = _schema(scores.top_k or 0).with_metadata({_KEY: json.dumps(made_of).encode()})
    with (
        atomic_file(scores_file(shard_file)) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as out,
    ):
        out.write_batch(pa.record_batch(columns, schema=schema))


def are_scored(shard_file: Path, share: float) -> bool:
    """Whether a shard has scores of the tasks with places below `share`; what they are is not checked."""
    try:
        with pa.memory_map(str(scores_file(shard_file))) as source:
            made_of = json.loads((pa.ipc.open_file(source).schema.metadata or {}).get(_KEY, b"{}"))
    except FileNotFoundError:
        return False
    except (pa.ArrowException, OSError, ValueError, RecursionError):
        return True  # broken: an error where they are read
    return not isinstance(made_of, dict) or float(made_of.get("share", 1.0)) >= share


def read_scores(shard_file: Path, digest: str, rows: int) -> Scores | None:
    """Map the scores of a shard with this `digest` and so many of the agent's tokens; None: it has no scores.

    Raises:
        CorpusError: the file is broken, or was computed for another shard or by another teacher than the
        recorded one.
    """
    file = scores_file(shard_file)
    try:
        with pa.memory_map(str(file)) as source:
            reader = pa.ipc.open_file(source)
            made_of = json.loads((reader.schema.metadata or {}).get(_KEY, b"{}"))
            batch = reader.get_batch(0)
            batch.validate(full=True)
            scores = _scores(batch, made_of if isinstance(made_of, dict) else {}, digest, rows)
    except FileNotFoundError:
        return None
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from None
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: broken scores ({str(error).splitlines()[0]})") from None
    record = TeacherRecord.read(shard_file.parent)
    if record is not None and record.identity != scores.teacher:
        raise CorpusError(f"{file}: the scores of another teacher than {record.name}; run lar score again")
    return scores


def _scores(batch: Any, made_of: Mapping[str, Any], digest: str, rows: int) -> Scores:
    """The columns of a file as arrays that view it; raises CorpusError where they do not fit the shard."""
    types = {field.name: field.type for field in batch.schema}
    top_k = int(getattr(types.get("ids"), "list_size", 0))
    if not batch.schema.equals(_schema(top_k)) or any(column.null_count for column in batch.columns):
        raise CorpusError("not the scores of a shard; run lar score again")
    if made_of.get("shard") != digest:
        raise CorpusError("the scores of another corpus; run lar score again")
    if batch.num_rows != rows:
        raise CorpusError(f"broken scores ({batch.num_rows} rows for {rows} of the agent's tokens)")
    teacher = TeacherIdentity(str(made_of.get("fingerprint")), made_of.get("max_length"))
    entropy, share = batch.column("entropy").to_numpy(), float(made_of.get("share", 1.0))
    if not top_k:
        return Scores(teacher, entropy, None, share)
    ids, logprob = (batch.column(name).values.to_numpy().reshape(-1, top_k) for name in ("ids", "logprob"))
    return Scores(teacher, entropy, LikelyTokens(ids, logprob, batch.column("tail").to_numpy()), share)


def _schema(top_k: int) -> Any:
    """The columns of a file with so many likely tokens (0: none)."""
    fields = [pa.field("entropy", pa.float16(), nullable=False)]
    if top_k:
        fields += [
            pa.field("ids", pa.list_(pa.uint32(), top_k), nullable=False),
            pa.field("logprob", pa.list_(pa.float16(), top_k), nullable=False),
            pa.field("tail", pa.float32(), nullable=False),
        ]
    return pa.schema(fields)


def _rows_of(values: NDArray[Any]) -> Any:
    """An array (a, k) as a column of lists of k."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
