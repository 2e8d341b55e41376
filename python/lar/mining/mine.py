"""Corpus -> latent vocabulary: the segments that recur, could have been predicted, and save the most."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus
from lar.corpus.backend import Backend
from lar.corpus.dominant_task import dominant_task
from lar.corpus.seen_tasks import check_unseen, digests_of
from lar.corpus.turns import count_prompt_tokens, count_turns
from lar.errors import CorpusError
from lar.mining.corpus_runs import CorpusRuns
from lar.mining.engine_gates.static import BORDER, CUTS, SERVED, parse_gates, texts_of
from lar.mining.latent_entropies import has_entropies, with_entropies
from lar.mining.new_tools import NewTools
from lar.mining.one_machine import OneMachine
from lar.mining.options import SIZES, MiningKeywords, MiningOptions
from lar.mining.selection import Selector, TextGates
from lar.mining.served_saving import Audit
from lar.mining.taken_over import check_scored, taken_over, warning_of_gate, warnings_of
from lar.mining.tool_schemas import read_tools
from lar.mining.turn_borders import crossed_in
from lar.mining.update import Rows, check_tokenizer, rows_of
from lar.trajectories.tasks import one_task
from lar.utils.arguments import opened
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Passes, Progress, annotate, silent
from lar.vocabulary.latent import Latent
from lar.vocabulary.learnable import learnable_share
from lar.vocabulary.segments import Segments
from lar.vocabulary.size_rule import largest_fitting
from lar.vocabulary.turn_lengths import TurnLength
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)


def mine(
    corpus: Corpus | StrPath,
    size: int | None = None,
    *,
    update: LatentVocabulary | StrPath | None = None,
    backend: Backend | None = None,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> LatentVocabulary:
    """A latent vocabulary of at most `size` latents; `options` are the other fields of `MiningOptions`.

    `corpus` is a corpus or its folder. Of a whole corpus with a split, the training side is mined; a view of
    selected tasks is mined as it is. `progress` counts the tokens of all passes over the corpus, whose total
    is an estimate; its notes name the passes.

    `update` is an earlier vocabulary or its folder, mined from older logs. Its latents that still pay keep
    their ids. The others are retired, and new latents take their rows. `size` None is then the size of that
    vocabulary, unless it is empty.

    Else, without `size`, the logs choose: the largest of 1,024, 512, 256 and so on down to 4 of which half of
    the latents have `lar.vocabulary.learnable.LEARNABLE` uses or more, and which leave a turn of the agent
    `lar.vocabulary.turn_lengths.FEW_UNITS` units or more; 4 where none does. So small logs get few latents,
    which a student can learn, and a turn seldom becomes a single latent. With a `prompt_weight` it is 1,024,
    because latents of prompts need not be written. `vocabulary.mining["size"]` is the size that was chosen.

    With an entropy gate and scores of a sample of the tasks (`lar.score(most_tokens=...)`), segments are
    found in the sample, and the gate, `min_support` and `min_count` judge them there. They are counted and
    chosen in all tasks.

    Deterministic: the same corpus and options give the same vocabulary for any number of threads and shards
    and on any `backend` (None: `OneMachine()`). One exception: `OneMachine(memory)` whose bound the runs
    exceed, with an entropy gate on a corpus that is not scored. Each part of the runs has n-gram entropies of
    its own then.

    Raises:
        OptionError: an option is out of its range, or `tools` is no list of tools; or a gate by n-gram
            entropies is asked of a corpus that is too large for it.
        TokenizerError: `tools` is given, and the chat template cannot write calls.
        CorpusError: the corpus holds no token of the agent, or holds out tasks that `update` was mined on or
        that the teacher which scored it was trained on; or there is a gate, and scoring has not finished.
        VocabularyError: `update` was mined with another tokenizer.
        TypeError: `corpus` or `update` is neither the object nor a path.

    >>> vocabulary = lar.mine(corpus, size=4, gates="none")
    >>> [latent.id - vocabulary.base_size for latent in vocabulary]
    [0, 1, 2, 3]
    """
    before = None if update is None else opened(LatentVocabulary, update, "lar.mine(update=...)")
    given: dict[str, Any] = {**options} if size is None else {**options, "size": size}
    taken = {} if before is None else taken_over(before, given)
    values = {**taken, **given}
    sizes = (values["size"],) if "size" in values else _sizes(values.get("prompt_weight"))
    chosen = [merge_options(MiningOptions, None, {**values, "size": most}) for most in sizes]
    corpus = opened(Corpus, corpus, "lar.mine(corpus)")
    if before is not None:
        for warning in warnings_of(before, given):
            logger.warning("%s", warning)
        check_tokenizer(before, corpus)
        check_unseen(corpus.held_out, before.mined_tasks, "the vocabulary to update was mined on")
        check_scored(before, taken, corpus)
        if changed := warning_of_gate(before, taken, corpus):
            logger.warning("%s", changed)
    if corpus.teacher is not None:
        check_unseen(
            corpus.held_out, corpus.teacher_tasks, f"its teacher {corpus.teacher.name} was trained on"
        )
    _warn_of_tasks(corpus.training, backend)
    _check_scores(corpus, chosen[0])
    mining = _Mining(corpus.training, chosen[0], before, backend or OneMachine(), progress, taken)
    return mining.fitting(sizes)


def mine_sample(
    sample: Corpus, scale: float, size: int | None = None, *, progress: Progress = silent
) -> LatentVocabulary:
    """A vocabulary as `mine` has it, of a sample of logs; without `size`, the size is chosen for all of them.

    scale: the tokens of all logs by those of the sample. A latent's uses are multiplied by it where the size
    is chosen, as `lar.estimate` does.
    """
    options = MiningOptions() if size is None else MiningOptions(size=size)
    _warn_of_tasks(sample)
    _check_scores(sample, options)
    sizes = _sizes(None) if size is None else (size,)
    return _Mining(sample, options, None, OneMachine(), progress).fitting(sizes, scale)


def mine_each(
    corpus: Corpus,
    sizes: Sequence[int],
    *,
    exact: bool = False,
    static: TextGates | None = None,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> Iterator[LatentVocabulary]:
    """Yield a vocabulary for each of `sizes`, in their order; cheaper than as many calls of `mine`.

    The corpus is read and searched once, for the largest size, and the gates that look at a text alone are
    asked once. What the gate `served` has dropped for one size is not tried again for the next: so give the
    largest first. The latents may differ a little from those of `mine`; with `exact` they are the same, and
    only what does not depend on the size is done once.

    `static` are those gates where several parts of one corpus are mined: they are asked once for all parts.
    What `mine` warns of in a corpus's tasks is not logged, for the parts share their tasks.
    """
    chosen = merge_options(MiningOptions, None, {**options, "size": max(sizes)})
    _check_scores(corpus, chosen)
    mining = _Mining(corpus, chosen, None, OneMachine(), progress, static=static)
    if not exact:
        mining.gate_once()
    for size in sizes:
        yield mining.run(size)


def _sizes(prompt_weight: float | None) -> tuple[int, ...]:
    """The sizes to try where none is given, the largest first."""
    return SIZES[-1:] if prompt_weight else SIZES[::-1]


def _warn_of_tasks(corpus: Corpus, backend: Backend | None = None) -> None:
    """Log that one task has most of the trajectories, or much of the agent's text."""
    for warning in filter(None, (one_task(corpus.task_counts()), dominant_task(corpus, backend))):
        logger.warning("%s", warning)


def _check_scores(corpus: Corpus, options: MiningOptions) -> None:
    """Refuse a gate by scores that are there in part; without a gate, log that latents get no entropies."""
    if corpus.teacher is None or corpus.is_scored:
        return
    unfinished = f"{corpus.path}: the scoring by {corpus.teacher.name} has not finished; run lar score again"
    if options.max_entropy is not None:
        raise CorpusError(unfinished)
    logger.warning("%s (the latents get no mean entropies)", unfinished)


@dataclass(frozen=True)
class _Folded:
    """What vocabularies of all sizes are mined from.

    runs: the corpus's. mined: the same with the calls of new tools. held: the latents of the vocabulary that
    is updated; None without one.
    """

    runs: CorpusRuns
    mined: CorpusRuns
    new_tools: NewTools | None
    held: _core.Candidates | None


@dataclass(frozen=True)
class _Search:
    """What a vocabulary is chosen from.

    candidates: those that keep to the entropy gate where the agent writes them. held: the latents of the
    vocabulary that is updated which do so; None without one. gated: the number of those that do not.
    """

    candidates: _core.Candidates
    held: _core.Candidates | None
    gated: int


class _Mining:
    """One call of `mine` or `mine_each`: its corpus and options, which the sizes and all steps share.

    The corpus is folded once for all sizes, and the gates that look at a text alone are asked once a text.
    For `mine` the candidates are searched for each size, as for that size alone: of a large corpus a sample
    is searched, and the best of a search for more may be others. The search is a thirtieth of the time that
    folding and searching tau_bench take.
    """

    def __init__(
        self,
        corpus: Corpus,
        options: MiningOptions,
        before: LatentVocabulary | None,
        backend: Backend,
        progress: Progress,
        taken: dict[str, Any] | None = None,
        static: TextGates | None = None,
    ) -> None:
        """Take what `mine` is given; `taken` are the options among them that are taken over from `before`.

        static: see `mine_each`.
        """
        self._corpus = corpus
        self._options = options
        self._before = before
        self._taken = taken or {}
        self._backend = backend
        self._gates = parse_gates(options.gates)
        self._progress = Passes(progress, _expected_passes(options, self._gates, corpus), corpus.num_tokens)
        self._static = static or TextGates(self._gates)  # their answers serve all sizes
        self._shared: _Search | None = None  # of `gate_once`
        self._failed: set[tuple[int, ...]] = set()  # segments that are then not tried again for another size
        self._tools = None if options.tools is None else read_tools(options.tools)

    def fitting(self, sizes: Sequence[int], scale: float = 1.0) -> LatentVocabulary:
        """The vocabulary of the largest of `sizes`, the largest first, that fits: see `largest_fitting`.

        scale: what the latents' uses are multiplied by, see `learnable_share`.
        """

        def measured(one: LatentVocabulary) -> tuple[float, TurnLength]:
            return learnable_share(one.latents, scale), TurnLength.mined(one)

        taken, larger = largest_fitting(map(self.run, sizes), measured)
        if larger is None:
            return taken
        share, turn = measured(larger)
        refused = {"size": larger.mining["size"], "learnable": round(share, 4), "turn_units": turn.mean_units}
        return replace(taken, mining={**taken.mining, "larger": refused})

    def run(self, size: int) -> LatentVocabulary:
        """The vocabulary of at most `size` latents; what does not depend on the size is done once."""
        corpus, options = self._corpus, replace(self._options, size=size)
        folded, search = self._folded, self._shared or self._search(options)
        held = Segments.of([]) if self._before is None else self._before.segments
        selector = self._selector(size, held)
        annotate(self._progress, "choice of latents")
        selection = selector.select(self._pool(search, options.limits.most), self._gates)
        if self._shared is not None:
            self._failed |= selector.failed
        segments, rows = self._arranged(selection)
        mining = {
            **asdict(options),
            "tools": folded.new_tools and folded.new_tools.to_dict(),
            "max_entropy_nats": folded.runs.nats,
            "teacher": corpus.teacher and asdict(corpus.teacher),
            "split": corpus.own_split and asdict(corpus.own_split),
            "tasks": len(corpus.tasks),
            "trajectories": corpus.num_trajectories,
            "turns": self._turns,
            "action_tokens": corpus.num_action_tokens,
            "prompt_tokens": self._prompt_tokens,
            "distinct_runs": len(folded.runs.searched),
            "candidates": len(search.candidates),
            "candidates_gated": search.gated,
            "gates": selector.costs,
            **({} if rows is None else {"update": {**rows.to_dict(), "options": self._taken}}),
        }
        mined_tasks = digests_of(corpus)
        if self._before is not None:
            mined_tasks |= self._before.mined_tasks
        latents = self._latents(segments, folded.runs)
        vocabulary = LatentVocabulary(latents, corpus.tokenizer, mining, mined_tasks)
        vocabulary = with_entropies(vocabulary, corpus, self._backend, self._progress)
        self._progress.end()
        return vocabulary

    def _pool(self, search: _Search, most: int) -> _core.Candidates:
        """At most `most` candidates, and those that are held: a search for a larger size has found more."""
        candidates, held = search.candidates, search.held
        if self._failed:
            tokens, offsets, *_ = candidates.to_arrays()
            listed = Segments(tokens, offsets).to_lists()
            is_open = [tuple(segment) not in self._failed for segment in listed]
            candidates = candidates.filter(np.array(is_open, dtype=np.bool_))
        if len(candidates) > most:
            candidates = _core.Candidates.best([candidates], most)
        return candidates if held is None else candidates.union(held)

    def gate_once(self) -> None:
        """Search once, and drop the candidates that fail a gate on their text, for every `run`."""
        search = self._search(self._options)
        selector = self._selector(self._options.size, Segments.of([]))
        passing = selector.passing(search.candidates, border=BORDER in self._gates)
        self._shared = replace(search, candidates=passing)
        self._gates = tuple(name for name in self._gates if name == SERVED)

    def _selector(self, size: int, held: Segments) -> Selector:
        return Selector(
            self._folded.mined.parsed,
            size,
            self._corpus.tokenizer,
            self._crossed,
            self._audit,
            self._options.weights.total(self._corpus.num_action_tokens, self._prompt_tokens),
            held,
            min_kept=self._options.min_kept,
            static=self._static,
            progress=self._progress,
        )

    @cached_property
    def _folded(self) -> _Folded:
        """The corpus's runs."""
        runs = CorpusRuns.fold(self._corpus, self._options, self._cut, self._backend, self._progress)
        new_tools = self._new_tools(runs)
        mined = new_tools.added_to(runs, self._cut) if new_tools else runs
        held = None
        if self._before is not None:
            held = mined.held(self._before.segments)
        return _Folded(runs, mined, new_tools, held)

    def _search(self, options: MiningOptions) -> _Search:
        """The candidates in the runs, as many as the options' size needs."""
        annotate(self._progress, "candidates")
        folded = self._folded
        found = folded.mined.searched.candidates(options.limits)
        within = folded.runs.within_gate(found, options.max_crossing)
        candidates, held, gated = found.filter(within), folded.held, int((~within).sum())
        if held is not None:
            within = folded.runs.within_gate(held, options.max_crossing, is_held=True)
            held, gated = held.filter(within), gated + int((~within).sum())
            candidates = candidates.union(held)
        return _Search(candidates, held, gated)

    def _new_tools(self, runs: CorpusRuns) -> NewTools | None:
        """What the file of tools adds to the runs; None without a file."""
        if self._tools is None:
            return None
        return NewTools.of(self._tools, self._corpus.tokenizer, runs.generated, self._options)

    def _cut(self, runs: _core.Runs) -> _core.Runs:
        """The runs, cut by the engine gates that cut."""
        for name in self._gates:
            if name in CUTS:
                runs = CUTS[name](runs, self._corpus.tokenizer)
        return runs

    def _crossed(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of k texts are found across borders of turns; bool (k)."""
        annotate(self._progress, "borders between turns")
        return crossed_in(self._corpus, texts, self._backend, self._progress)

    @cached_property
    def _turns(self) -> int:
        return count_turns(self._corpus, self._backend)

    @cached_property
    def _prompt_tokens(self) -> int:
        return count_prompt_tokens(self._corpus, self._backend)

    @cached_property
    def _audit(self) -> Audit:
        """Without the calls of new tools, which are no text."""
        return Audit(self._folded.runs.parsed, self._corpus.tokenizer)

    def _arranged(self, selection: _core.Selection) -> tuple[Segments, Rows | None]:
        """The chosen segments in the order of their ids: by their worth, or as an update places them."""
        segments = Segments(*selection.segments())
        if self._before is None:
            return segments, None
        listed = segments.to_lists()
        rows = rows_of(self._before.latents, listed)
        return Segments.of(listed[index] for index in rows.order), rows

    def _latents(self, segments: Segments, runs: CorpusRuns) -> tuple[Latent, ...]:
        """The segments as latents, with their frequencies."""
        tokenizer = self._corpus.tokenizer
        columns = (*runs.frequencies(segments), *runs.uses(segments))
        texts = texts_of(segments, tokenizer)
        rows = zip(segments.to_lists(), texts, *(column.tolist() for column in columns), strict=True)
        return tuple(
            Latent(
                id=tokenizer.base_size + rank,
                tokens=tuple(segment),
                text=text,
                count=count,
                support=support,
                uses=uses,
                prompt_uses=prompt_uses,
            )
            for rank, (segment, text, count, support, uses, prompt_uses) in enumerate(rows)
        )


def _expected_passes(options: MiningOptions, gates: Sequence[str], corpus: Corpus) -> int:
    """The number of passes that mining takes."""
    passes = 3 + (BORDER in gates) + (SERVED in gates) + bool(options.prompt_weight)
    if has_entropies(corpus):
        passes += 1  # the latents' entropies
        if options.max_entropy is not None:
            passes += 2 if str(options.max_entropy).startswith("p") else 1
            passes += corpus.teacher is not None and corpus.teacher.share < 1
    return passes
