"""A sample of whole tasks, by the hashes of their names: of a corpus, or of logs that are read once.

The tasks of a sample depend on their names and lengths alone, and not on the order of the logs.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from heapq import heappop, heappush
from math import sqrt
from operator import attrgetter
from typing import Any

from lar.corpus import Corpus
from lar.corpus.encoding import digest
from lar.corpus.selection import SAMPLE_SEED, place_of
from lar.corpus.task_sample import FEWEST, sampled, tokens_by_task
from lar.errors import TrajectoryError
from lar.evaluation.usage import Tokens, Usage
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

# Characters of JSON that are kept for each token that is asked for. Logs of chats and code had 3.6 to 4.4 a
# token; what is too much is cut when the tokens are counted.
CHARACTERS = 6
# To estimate the tokens of what is left out, a piece of so many characters is tokenized in each stretch. By
# the characters alone the estimate for mini_swe_gemini3 was 6% too low: one run of 343 has 7% of all tokens.
PIECE, STRETCH = 200, 5_000
# Pieces that are tokenized at once, and that wait in memory until then.
PIECES = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A corpus of some tasks, and the size of what they were taken from.

    runs, tasks: of all logs. tokens: of all logs, prompts included; where they were not counted, `error` is
    two standard errors of them, as a share. held_out: tasks that a corpus holds out, which are in none of
    these counts.
    """

    corpus: Corpus
    runs: int
    tasks: int
    tokens: int
    error: float = 0.0
    held_out: int = 0

    @property
    def scale(self) -> float:
        """The tokens of all logs by those of the sample."""
        return self.tokens / self.corpus.num_tokens

    def of_all(self, measured: Usage) -> Usage:
        """About the usage of all logs without latents, from that of the sample.

        The ratio estimator: each kind of tokens, and the turns, in the sample's proportion to all its tokens.
        The sample's mean over runs would follow the few long runs that it has or lacks: with lognormal
        lengths (sigma 1.3), for one sample in ten it was below 0.62 or above 1.84 times the true mean. It is
        exact where nothing is left out.
        """
        tokens = Tokens(*(round(count * self.scale) for count in astuple(measured.base)))
        return Usage(self.runs, round(measured.turns * self.scale), tokens, tokens)

    def error_of_all(self, costs: Mapping[str, float]) -> float:
        """Two standard errors of a sum over all logs that `of_all` gives, as a share of it.

        costs: of each task of the sample, what is summed. Two errors come together: that of the sum in
        proportion to the tokens, and that of the tokens of all logs. Where a few runs have most of the cost,
        it is too small. 0.0 where nothing is left out.
        """
        tokens = tokens_by_task(self.corpus)
        return sqrt(_two_errors(costs, tokens, self.tasks) ** 2 + self.error**2)

    @classmethod
    def of(cls, corpus: Corpus, most_tokens: int) -> "Sample":
        """About `most_tokens` tokens of a corpus; of one with a split, of its training side."""
        train = corpus.training
        held_out = 0 if corpus.held_out is None else len(corpus.held_out.tasks)
        counts = train.num_trajectories, len(train.tasks), train.num_tokens
        return cls(sampled(train, most_tokens), *counts, held_out=held_out)

    @classmethod
    def of_logs(
        cls,
        logs: Iterable[Trajectory],
        tokenizer: Any,
        most_tokens: int,
        progress: Progress = silent,
    ) -> "Sample":
        """About `most_tokens` tokens of trajectories; only these are tokenized, into a temporary corpus.

        It is the sample that `of` takes from a corpus of all of them, unless a token has more than
        `CHARACTERS` characters on average. `tokenizer` and `progress` are those of `Corpus.build`. What the
        chat template refuses is left out of the sample, with a warning.

        Raises:
            TrajectoryError: there are none.
            CorpusError: the chat template refuses all of the sample.
        """
        tokenizer = Tokenizer.of(tokenizer)
        kept = _Kept(most_tokens * CHARACTERS, tokenizer)
        for trajectory in logs:
            kept.add(trajectory)
        if not kept.runs:
            raise TrajectoryError("the logs hold no trajectory")
        corpus = Corpus.build(kept.trajectories(), tokenizer, skip_refused=True, progress=progress)
        counted = dict.fromkeys(kept.tasks, 0) | tokens_by_task(corpus)
        weights = kept.characters if len(counted) == len(kept.characters) else kept.weights()
        tokens, error = _ratio(counted, weights)
        # About as many are refused of what was not kept.
        runs = round(kept.runs * corpus.num_trajectories / kept.held_runs)
        tasks = round(len(kept.characters) * len(corpus.tasks) / len(counted))
        return cls(sampled(corpus, most_tokens), runs, tasks, tokens, error)


class _Kept:
    """The trajectories of a sample of at most `most` characters, while all of them are read once."""

    def __init__(self, most: int, tokenizer: Tokenizer) -> None:
        self.runs = 0
        self.characters: Counter[str] = Counter()  # of each task
        self._tokenizer = tokenizer
        self._weights: dict[str, float] = defaultdict(float)
        self._waiting: list[tuple[str, int, list[str]]] = []  # of runs: task, characters, parts of the text
        self._pieces = 0  # of these runs
        self._most = most
        self._of_task: dict[str, list[Trajectory]] = defaultdict(list)
        self._last: list[tuple[float, str]] = []  # a heap of (-place, task) of the tasks that are kept
        self._held = 0
        self._left_out = 1.0  # the first place that is left out

    def add(self, trajectory: Trajectory) -> None:
        """Count a trajectory, and keep it unless the tasks before its own are enough."""
        task, text = trajectory.task, _text(trajectory)
        length = len(text)
        first = int(place_of(trajectory.id, SAMPLE_SEED) * min(STRETCH, length))
        pieces = [text[at : at + PIECE] for at in range(first, length, STRETCH)]
        self._waiting.append((task, length, pieces))
        self._pieces += len(pieces)
        if self._pieces >= PIECES and self._left_out < 1:  # until then, the trajectories themselves wait
            self._weigh()
        self.runs += 1
        self.characters[task] += length
        place = place_of(task, SAMPLE_SEED)
        if place >= self._left_out:
            return
        if task not in self._of_task:
            heappush(self._last, (-place, task))
        self._of_task[task].append(trajectory)
        self._held += length
        while self._held > self._most and len(self._last) > FEWEST:
            # It stays out: the tasks before it can only grow.
            last, name = heappop(self._last)
            self._left_out = -last
            self._held -= self.characters[name]
            del self._of_task[name]

    @property
    def tasks(self) -> Iterable[str]:
        """The tasks that are kept."""
        return self._of_task

    @property
    def held_runs(self) -> int:
        """The number of trajectories that are kept."""
        return sum(map(len, self._of_task.values()))

    def weights(self) -> dict[str, float]:
        """About the tokens of each task, all tasks included, by the pieces of its runs and their lengths."""
        self._weigh()
        return self._weights

    def _weigh(self) -> None:
        """Tokenize the pieces that wait."""
        encoded = iter(
            self._tokenizer.encode_batch([piece for *_, pieces in self._waiting for piece in pieces])
        )
        for task, length, pieces in self._waiting:
            tokens = sum(len(next(encoded)) for _ in pieces)
            self._weights[task] += tokens * length / sum(map(len, pieces))
        self._waiting, self._pieces = [], 0

    def trajectories(self) -> list[Trajectory]:
        """The trajectories of the sample, in an order that does not depend on that in which they came."""
        tasks = sorted(self._of_task, key=lambda task: (place_of(task, SAMPLE_SEED), task))
        return [
            trajectory
            for task in tasks
            for trajectory in sorted(sorted(self._of_task[task], key=digest), key=attrgetter("id"))
        ]


def _text(trajectory: Trajectory) -> str:
    """All that a chat template reads, as JSON."""
    return json.dumps((trajectory.tools, trajectory.messages), ensure_ascii=False)


def _ratio(tokens: Mapping[str, int], weights: Mapping[str, float]) -> tuple[int, float]:
    """The tokens of all tasks from those of a sample, and two standard errors as a share of them.

    The ratio estimator with the tasks as its units (Cochran, Sampling Techniques, 6.3 and 6.4): `tokens` has
    the n tasks of the sample, `weights` all N, about in proportion to their tokens.
    """
    total = sum(tokens.values())
    if len(tokens) == len(weights):
        return total, 0.0
    ratio = total / sum(weights[task] for task in tokens)
    return round(ratio * sum(weights.values())), _two_errors(tokens, weights, len(weights))


def _two_errors(values: Mapping[str, float], weights: Mapping[str, float], number_in_all: int) -> float:
    """Two standard errors of the ratio estimator of a sum over all tasks, as a share of it.

    values: of the n tasks of the sample. weights: of these at least, about in proportion to their values.
    """
    total, number = sum(values.values()), len(values)
    if number == number_in_all or not total:
        return 0.0
    ratio = total / sum(weights[task] for task in values)
    squares = sum((value - ratio * weights[task]) ** 2 for task, value in values.items())
    return 2 * sqrt(squares * number / max(number - 1, 1) * (1 - number / number_in_all)) / total
