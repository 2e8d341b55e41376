"""The Rust core: flat arrays in, flat arrays out. Whatever may take long releases the GIL while it works."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "REPLACING_AUDITS",
    "Candidates",
    "CanonicalGuard",
    "Expander",
    "GuardTable",
    "Limits",
    "RunFolder",
    "Runs",
    "Selection",
    "ServedParse",
    "ServedPlan",
    "Stream",
    "StreamBatch",
    "TurnBorders",
    "Vocabulary",
    "__version__",
    "count_lines",
    "read_chat_lines",
]

__version__: str
REPLACING_AUDITS: int
"""The audit of a selection from which on nothing replaces the segments that fail; before, others do."""

def count_lines(block: bytes) -> tuple[int, int]:
    """The lines of a block of whole lines, and how many of these are not blank."""

def read_chat_lines(
    block: bytes, label: str, first_line: int, first_number: int
) -> tuple[
    dict[str, tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8] | None]],
    dict[str, NDArray[Any]],
    tuple[int, int, int],
]:
    """Columns of the plain lines of a block of whole lines: texts, numbers, and what the agent wrote.

    A plain line is one record in OpenAI's form with little else. `label` names a record without an id, with
    its number, and is the source of one without that member. `first_line` and `first_number` are those of the
    first line and of its record, counted from 1; OptionError for a negative one.

    Returns:
        Texts by name, each as Arrow has them: offsets (k + 1), UTF-8 of all end to end, and a bit for each
        text, the lowest first, whether it is there; None where all are. `id`, `task`, `model` and `source`
        have an entry for each of the n plain lines, `role`, `content`, `name` and `tool_call_id` for each of
        their m messages, `call_id`, `call_name` and `arguments` for each of the c calls of these, and
        `tools`, which is JSON, for each distinct list of tools.

        Numbers by name. `line`, `number` int64 (n): the place. `success` int8 (n): 0, 1, or -1 where none is
        recorded. `tools` int32 (n): the index among the distinct ones, or -1. `messages` int32 (n + 1) and
        `calls` int32 (m + 1): offsets. `has_calls` uint8: a bit for each message. `characters` int64 (n): of
        the contents. `opening` uint8 (n * 27): `OPENING` of `lar.trajectories.repeats` without its last
        member, where the digest of a missing task is zero. `other` int64 (4 * o): the line, the record's
        number, the start and the end in the block of each line that is not plain.

        What the agent wrote: turns, calls and characters.
    """

@final
class Limits:
    """What a search for candidates is bounded by: how frequent a segment must be, and how many are found.

    Limits with equal numbers are equal; they can be pickled.
    """

    def __new__(cls, *, min_count: int, min_support: int, max_length: int, most: int) -> Limits:
        """Raises OptionError for a number that is negative, too large, or too small to find anything."""

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def min_count(self) -> int:
        """Fewest occurrences, at least 1."""

    @property
    def min_support(self) -> int:
        """Fewest distinct tasks, at least 1."""

    @property
    def max_length(self) -> int:
        """Longest segment in tokens, from 2 to 1,024."""

    @property
    def most(self) -> int:
        """Most candidates, at least 1: those that are expected to save most are found."""

@final
class RunFolder:
    """Folds the runs of a corpus, shard by shard, into distinct runs."""

    def __new__(
        cls,
        barriers: NDArray[np.uint32],
        bound: tuple[int, str | PathLike[str]] | None = None,
    ) -> RunFolder:
        """A folder for which the ids in `barriers` end every run; VocabularyError for one of 2^26 or more.

        With `bound`, bytes and a directory, what would exceed so many goes to temporary files there, and so
        it does of all runs that are made of these. Whatever writes or reads such a file raises OSError where
        it cannot, and in a forked process whatever writes one of its parent.
        """

    def add(
        self,
        tokens: NDArray[np.uint32],
        offsets: NDArray[np.int64],
        action: NDArray[np.bool_],
        tasks: NDArray[np.uint32],
        continues: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add m trajectories with n tokens in all.

        tokens (n), offsets (m + 1), action (n): the agent's tokens, tasks (m): a number for each task,
        continues (n): whether the token may continue a segment; None where every token may.
        Raises OptionError where the arrays do not fit together, VocabularyError where a run holds an
        id of 2^26 or more. After that, and where there is no room for all of them, some runs may have been
        added. After an OSError runs are missing, so all later calls raise it too.
        """

    def add_runs(self, runs: Runs) -> None:
        """Add runs that are folded already, as if what they came from had been added here."""

    def finish(self) -> Runs:
        """Take the distinct runs out; the folder cannot be used any more."""

@final
class Runs:
    """Distinct runs with their counts and tasks, in memory or in parts on disk; they can be pickled.

    Pickling and `to_arrays` need all of them in memory.
    """

    @staticmethod
    def from_arrays(
        tokens: NDArray[np.uint32],
        offsets: NDArray[np.int64],
        counts: NDArray[np.uint64],
        tasks: NDArray[np.uint32],
        task_offsets: NDArray[np.int64],
    ) -> Runs:
        """The runs whose `to_arrays` these were; raises OptionError where they do not fit together.

        Each run has a token, an occurrence and a task; its tasks ascend. Raises VocabularyError where an id
        is 2^26 or more.
        """

    @staticmethod
    def weighted(parts: Sequence[tuple[Runs, int]]) -> Runs:
        """The runs of all parts together; an occurrence in a part counts as the part's factor.

        A part of factor 0 is left out. Raises OptionError where the counts are too large.
        """

    def __reduce__(self) -> tuple[Any, tuple[NDArray[Any], ...]]: ...
    def __len__(self) -> int: ...
    @property
    def distinct_tokens(self) -> int:
        """Tokens of the distinct runs."""

    @property
    def total_tokens(self) -> int:
        """Tokens in all occurrences of all runs."""

    def to_arrays(
        self,
    ) -> tuple[
        NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.int64]
    ]:
        """Copy all to arrays: tokens, offsets, counts, tasks, task offsets.

        Run i is tokens[offsets[i]:offsets[i + 1]], it occurs counts[i] times, in the tasks
        tasks[task_offsets[i]:task_offsets[i + 1]], which ascend.
        """

    def ngram_entropies(self) -> NDArray[np.float32]:
        """Entropy in nats of an n-gram model of the corpus before each token, for all tokens end to end.

        NaN at the first token of a run. All runs are held in memory. Raises OptionError where a token occurs
        in more than 2^32 places of the distinct runs.
        """

    def gated_by_ngrams(self, most: float, is_quantile: bool) -> tuple[Runs, float | None]:
        """Cut every run before each token whose n-gram entropy is above `most`; the gate in nats.

        `most` is in nats, or a quantile (0 to 1) of the entropies of all tokens, each counted as often as its
        run occurs. The gate is None if it is a quantile and no run has two tokens. Runs in parts on disk are
        gated a part at a time: the model is that of the part, and the quantile that of the first part. Raises
        OptionError for a gate that is negative, no number or no quantile, and where a token occurs in more
        than 2^32 places of a part.
        """

    def sample(
        self, most: int, token_bytes: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None
    ) -> Runs:
        """Draw runs of two tokens or more with about `most` tokens; all such runs if they have fewer.

        A run's count is the number of occurrences that it stands for. Of runs with more than `most` / 64
        tokens (1,024 at least), pieces are drawn. With the bytes of all tokens and their offsets, as of
        `cut_after`, pieces begin and end between characters.
        """

    def cut_after(self, token_bytes: NDArray[np.uint8], byte_offsets: NDArray[np.int64], text: bytes) -> Runs:
        """Cut every run before each token with the first byte behind an occurrence of `text`.

        Occurrences may overlap. A text shorter than two bytes is found nowhere.
        The bytes of token i are `token_bytes[byte_offsets[i]:byte_offsets[i + 1]]`.
        """

    def candidates(self, limits: Limits) -> Candidates:
        """Find the segments of two or more tokens within `limits` that are expected to save most.

        Of the segments of more than 4 tokens only the closed ones: those that lose occurrences with any token
        more; at the length limit, with any token before. They ascend by their ids.

        Of runs with more than 16 M tokens a sample is searched, so a few candidates are missed. Those that
        are found are counted in all runs: their occurrences exactly, their tasks up to 128, or up to
        `min_support` if that is more.
        """

    def count_occurrences(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Occurrences of each of k distinct segments, overlapping ones included; uint64 (k).

        Segment i is tokens[offsets[i]:offsets[i + 1]]. Raises VocabularyError where the segments hold more
        than 2^30 tokens; so does `as_candidates`.
        """

    def count_uses(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
        """How often the parse of the runs by k distinct segments uses each of them; uint64 (k).

        Raises VocabularyError where the segments hold more than 2^26 tokens, or one holds less than two or
        equals another.
        """

    def as_candidates(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> Candidates:
        """Those of k segments that occur in the runs, with their frequencies.

        Raises VocabularyError where a segment holds an id of 2^26 or more.
        """

    def select(self, candidates: Candidates, size: int, held: NDArray[np.bool_] | None = None) -> Selection:
        """Choose at most `size` candidates by the units that the parse of these runs would lose without them.

        `held` (n): the candidates of a vocabulary that is updated; a new one replaces one of them only if it
        saves twice as much. Raises VocabularyError where the candidates hold more than 2^32 - 2 tokens.
        """

@final
class Candidates:
    """Segments with their frequencies; they can be pickled."""

    @staticmethod
    def from_arrays(
        tokens: NDArray[np.uint32],
        offsets: NDArray[np.int64],
        counts: NDArray[np.uint64],
        supports: NDArray[np.uint32],
    ) -> Candidates:
        """The candidates whose `to_arrays` these were; raises OptionError where they do not fit together.

        The segments ascend; each occurs, in a task. Raises VocabularyError for one of less than two tokens.
        """

    def __reduce__(self) -> tuple[Any, tuple[NDArray[Any], ...]]: ...
    def __len__(self) -> int: ...
    def to_arrays(
        self,
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint32]]:
        """Copy all to arrays: tokens, offsets, counts, supports.

        Segment i is tokens[offsets[i]:offsets[i + 1]]; it occurs counts[i] times, overlapping occurrences
        included, in supports[i] tasks (for the limit of these see `Runs.candidates`).
        """

    @staticmethod
    def best(parts: Sequence[Candidates], most: int) -> Candidates:
        """The `most` candidates of all parts together that save most; no segment is in two parts."""

    def union(self, other: Candidates) -> Candidates:
        """The candidates of both; where both have a segment, its frequencies here are taken."""

    def are_whole_characters(
        self, token_bytes: NDArray[np.uint8], byte_offsets: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether the bytes of each candidate are valid UTF-8; bool (n).

        The bytes of token i are `token_bytes[byte_offsets[i]:byte_offsets[i + 1]]`. Raises VocabularyError
        for a token without an entry.
        """

    def filter(self, keep: NDArray[np.bool_]) -> Candidates:
        """Keep the candidates for which `keep` is true."""

@final
class Selection:
    """Segments chosen from a pool of candidates by what they save in a corpus, the most useful first."""

    def __len__(self) -> int: ...
    @property
    def pool(self) -> Candidates:
        """The candidates that the segments were chosen from; no copy of them."""

    def segments(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Copy the segments to arrays: tokens, offsets."""

    def to_arrays(
        self,
    ) -> tuple[
        NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint64]
    ]:
        """Copy all to arrays: tokens, offsets, counts, supports, uses.

        Segment i is tokens[offsets[i]:offsets[i + 1]]; counts and supports are those of the pool, and
        the token parse of the corpus uses it uses[i] times. The corpus is parsed for that.
        """

    def without(self, dropped: NDArray[np.bool_]) -> Selection:
        """The selection from the candidates of the pool for which `dropped` is false.

        The same segments, or chosen anew if one of them is dropped. Raises OptionError unless `dropped` has
        one entry for each candidate.
        """

    def audited(self, fails: Callable[[Selection], NDArray[np.bool_]]) -> tuple[Selection, int, int]:
        """The selection without segments that fail, how many failed, and how often `fails` was called.

        `fails` is called with a selection, and returns for each of its segments whether it fails; bool (k).
        Other candidates take the place of those, up to five times, and are audited too. Raises what `fails`
        raises, and OptionError where it returns an array of another length.
        """

@final
class TurnBorders:
    """Finds texts that cross a border between two speakers, in the conversations of one tokenizer."""

    def __new__(
        cls,
        barriers: NDArray[np.uint32],
        token_bytes: NDArray[np.uint8],
        byte_offsets: NDArray[np.int64],
    ) -> TurnBorders:
        """The ids in `barriers` end a text; raises VocabularyError for one of 2^26 or more.

        The bytes of token i are `token_bytes[byte_offsets[i]:byte_offsets[i + 1]]`.
        """

    def crossed_by(
        self,
        texts: Sequence[bytes],
        tokens: NDArray[np.uint32],
        action: NDArray[np.bool_],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Which of k texts cross a border in m conversations; bool (k).

        tokens (n), offsets (m + 1), action (n): the agent's tokens.
        Raises VocabularyError for a token without bytes, OptionError where the arrays do not fit together.
        """

@final
class ServedParse:
    """The ids that an exported tokenizer gives a text, from the ids that the base tokenizer gave it.

    The parse keeps the base ids of texts that latents have cut free. It may be shared between threads.
    """

    def __new__(
        cls,
        token_bytes: NDArray[np.uint8],
        byte_offsets: NDArray[np.int64],
        barriers: NDArray[np.uint32],
        joints: tuple[bool, bool, bool],
        tokens: NDArray[np.uint32],
        offsets: NDArray[np.int64],
    ) -> ServedParse:
        """`joints` as in `lar.tokenizer.pieces.Joints`; k segments as base ids (n) with offsets (k + 1).

        Raises:
            VocabularyError: a segment holds an id without bytes in the table, or a barrier is 2^26 or more.
        """

    def with_segments(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> ServedParse:
        """The parse for other segments, with the base ids of texts that this one has learnt.

        Raises:
            VocabularyError: a segment holds an id without bytes in the table.
        """

    def plan(
        self, tokens: NDArray[np.uint32], action: NDArray[np.bool_], offsets: NDArray[np.int64]
    ) -> ServedPlan:
        """Read the m conversations tokens[offsets[i]:offsets[i + 1]]; `action` (n): who wrote each token.

        Raises:
            VocabularyError: an id is no base id. OptionError: the arrays do not fit together.
        """

    def missing(self, plan: ServedPlan) -> list[str]:
        """The distinct texts whose base ids the plan lacks, in alphabetical order: those to be learnt.

        Raises:
            VocabularyError: one is no UTF-8, so that the ids are not those of a text.
            OptionError: the plan is of another parse.
        """

    def learn(self, texts: list[str], ids: NDArray[np.uint32], offsets: NDArray[np.int64]) -> None:
        """Keep the base ids of m texts, end to end with offsets (m + 1).

        About a million texts are kept at most: where there is no room for these, all others are dropped.

        Raises:
            VocabularyError: the ids of a text have other bytes than it has.
            OptionError: a text has a lone surrogate.
        """

    def units(self, plan: ServedPlan) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_]]:
        """Units (u), the base position of the token with each one's first byte, and whether it begins there.

        Raises:
            VocabularyError: a text that the plan lacks has not been learnt.
            OptionError: the plan is of another parse.
        """

@final
class ServedPlan:
    """Conversations that `ServedParse.plan` has read."""

@final
class Vocabulary:
    """Latents over base ids: latent i has the id base_size + i."""

    def __new__(cls, base_size: int, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> Vocabulary:
        """The segments are tokens[offsets[i]:offsets[i + 1]]; raises VocabularyError for a wrong one.

        OptionError for a `base_size` that is negative or does not fit 32 bits.
        """

    def encode(self, tokens: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Parse base ids into units by the token parse; raises VocabularyError for an id that is no base id.

        The units that an engine reads in a text are those of `ServedParse`.
        """

    def expand(self, units: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Write units out as base ids; raises VocabularyError for an id outside the vocabulary."""

    def align(
        self, tokens: NDArray[np.uint32], action: NDArray[np.bool_], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]:
        """Parse the conversations tokens[offsets[i]:offsets[i + 1]] by the token parse.

        Returns units (u), action (u) and starts (u + 1): no unit crosses a change of `action` or an offset.
        """

@final
class Expander:
    """A vocabulary with the bytes of each id: shared by all streams."""

    def __new__(
        cls, vocabulary: Vocabulary, token_bytes: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> Expander:
        """An expander over the bytes of each base id, token_bytes[offsets[id]:offsets[id + 1]]."""

    def text(self, units: NDArray[np.uint32]) -> str:
        """Write units out as text; bytes that are no UTF-8 become U+FFFD."""

    def stream(
        self, stop: list[str], max_units: int | None = None, max_base_tokens: int | None = None
    ) -> Stream:
        """Begin a stream that ends at the first complete stop string or when the budget is spent.

        Raises OptionError for two budgets, a negative or too large one, and a stop string that is empty or
        has a lone surrogate.
        """

    def stream_batch(
        self,
        requests: int,
        stop: list[str],
        max_units: int | None = None,
        max_base_tokens: int | None = None,
    ) -> StreamBatch:
        """Begin the streams of many requests that are stepped together.

        Raises OptionError as `stream` does, and where there is no memory for so many.
        """

@final
class Stream:
    """The expansion of one request's units, as they come."""

    def push(self, unit: int) -> str:
        """Take one unit; returns the text that is certain now.

        Where it is the unit's own text it is one string that all streams share. Raises VocabularyError for
        an id outside the vocabulary, StreamError after the end.
        """

    def flush(self) -> str:
        """End the stream; returns the text that was held back."""

    @property
    def units(self) -> int:
        """Units pushed so far."""

    @property
    def base_tokens(self) -> int:
        """Base tokens that they stand for, up to the budget's end."""

    @property
    def finish_reason(self) -> str | None:
        """None while the stream runs; else "stop", "length" or "flushed"."""

    @property
    def stop_reason(self) -> str | None:
        """The stop string that ended the stream, if one did."""

@final
class StreamBatch:
    """The expansions of many requests, stepped together."""

    def __len__(self) -> int: ...
    def push(self, units: NDArray[np.uint32] | Sequence[int]) -> list[str]:
        """Push units[i] to stream i; returns the text of each. Streams that have ended take no part.

        Raises VocabularyError for an id outside the vocabulary, OptionError unless there is one unit for
        each stream; then no stream has changed.
        """

    def flush(self) -> list[str]:
        """End all streams; returns the text that each held back."""

    def units(self) -> list[int]:
        """Units pushed so far, for each stream."""

    def base_tokens(self) -> list[int]:
        """Base tokens that they stand for, for each stream."""

    def finish_reasons(self) -> list[str | None]:
        """None for a stream that runs; else "stop", "length" or "flushed"."""

    def stop_reasons(self) -> list[str | None]:
        """The stop string that ended each stream, if one did."""

@final
class GuardTable:
    """The texts of a vocabulary's latents and the units that complete them: shared by all guards."""

    def __new__(
        cls,
        vocabulary: Vocabulary,
        token_bytes: NDArray[np.uint8],
        byte_offsets: NDArray[np.int64],
        barriers: NDArray[np.uint32],
    ) -> GuardTable:
        """The table of a vocabulary over n base ids: their bytes with offsets (n + 1), and the added tokens.

        It takes 17 bytes for each byte of the latents' texts, and the bytes of the base tokens with 12 bytes
        for each token: about 3 MB for Qwen3's tokenizer and 1,024 latents.

        Raises:
            OptionError: the offsets do not divide the bytes, or n is not the vocabulary's `base_size`.
            VocabularyError: an added token has an id of 2^26 or more.
        """

    def guard(self) -> CanonicalGuard:
        """Begin the guard of one request."""

@final
class CanonicalGuard:
    """The units after which an engine would find other latents than one request has written.

    A start is a place where a latent's text may begin: each byte of a base token, and the first byte of a
    latent, for longer texts. It is overtaken when such a text is complete.
    """

    def push(self, unit: int) -> None:
        """Take the unit that was written, excluded or not.

        A start that is overtaken is dropped, all others are tracked further. Raises VocabularyError for an
        id outside the vocabulary; the guard is unchanged then.
        """

    def excluded(self) -> NDArray[np.uint32]:
        """The units that would overtake a start, ascending uint32: they may not come next.

        A base token with the text of a latent in it is always among them, and so is a latent that an engine
        never finds: its text is no UTF-8, shorter than two bytes, or that of an earlier latent.
        """

    def reset(self) -> None:
        """Begin a new text."""

    @property
    def units(self) -> int:
        """Units pushed so far."""

    @property
    def overtaken(self) -> int:
        """Starts that were overtaken, and latents that an engine never finds.

        0 exactly if an engine finds the written latents, and no others, at their places.
        """
