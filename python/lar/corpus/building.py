"""Building a corpus folder shard by shard, so that a killed build can be resumed.

After each shard the manifest is written, with the number of trajectories read so far and their digest. A new
build in the same folder reads past that many, compares the digest, and continues. The result has the same
bytes.
"""

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from lar.corpus.encoding import Encoded
from lar.corpus.manifest import TOKENIZER_FOLDER, Manifest, Part
from lar.corpus.selection import Split
from lar.corpus.shards import Row, ShardFile, write_rows
from lar.errors import CorpusError, OptionError, TokenizerError, UnwrittenTextError
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten
from lar.trajectories.outcomes import Run, Successes
from lar.utils.files import atomic_folder, only_writer
from lar.utils.progress import Progress
from lar.utils.result_files import CORPUS_FILE

logger = logging.getLogger(__name__)

Input = TypeVar("Input", bound=Run)

_MOST_SHARD_TOKENS = 1 << 30  # list offsets in a shard are 32 bits wide
_MOST_EXAMPLES = 20


def build_folder(
    inputs: Iterable[Input],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    encode: Callable[[Iterable[Input], Tokenizer], Iterator[Encoded]],
    digest: Callable[[Input], bytes],
    shard_tokens: int,
    only_succeeded: bool,
    skip_refused: bool,
    strict: bool,
    split: Split | None,
    progress: Progress,
) -> Tokenizer:
    """Encode `inputs` with `encode` and store them in `folder`, or resume an earlier build there.

    Returns the tokenizer that the folder holds, so that the caller need not read it, which takes seconds.

    `digest` returns the bytes that identify an input when a build is resumed. With `only_succeeded`, inputs
    that failed or whose outcome is unknown are counted and else ignored. `split` replaces the split that is
    stored there; None keeps it.

    Raises:
        OptionError: `shard_tokens` is out of its range, or another process is writing to the folder.
        CorpusError: there are no trajectories, none succeeded, the folder contains other files, or a side of
            the split has no task. The corpus is stored without that split then.
        TokenizerError: the chat template refuses a trajectory and `skip_refused` is false.
        UnwrittenTextError: the chat template leaves out text of the agent and `strict` is true.
    """
    if not 1 <= shard_tokens <= _MOST_SHARD_TOKENS:
        raise OptionError(f"shard_tokens must lie between 1 and {_MOST_SHARD_TOKENS}, not {shard_tokens}")
    successes = Successes()
    source = successes.of(inputs) if only_succeeded else iter(inputs)
    first = next(source, None)
    if first is None and successes.left_out:
        hint = "; --success-key names the field of a log that has it" if successes.unknown else ""
        raise CorpusError(
            f"none of {successes.left_out:,} trajectories is known to have succeeded: {successes}{hint}"
        )
    if first is None:
        raise CorpusError("no trajectories to build a corpus of")
    with only_writer(folder):
        manifest, copy = _open(folder, tokenizer, shard_tokens, only_succeeded)
        build = _Build(folder, manifest, skip_refused, strict, successes, progress)
        source = chain([first], source)
        build.skip_done(source, digest)
        build.check_refused()
        build.check_written(manifest.unwritten)
        if manifest.complete and next(source, None) is not None:
            raise _other_corpus(folder, "it was built of fewer trajectories")
        if split is not None:
            _replace_split(folder, manifest, split)
        if not manifest.complete:
            build.add(encode(source, tokenizer))
    return copy


def _open(
    folder: Path, tokenizer: Tokenizer, shard_tokens: int, only_succeeded: bool
) -> tuple[Manifest, Tokenizer]:
    """The manifest in `folder`, or that of a corpus without shards yet, and the tokenizer there."""
    fresh = Manifest(
        tokenizer_fingerprint=tokenizer.fingerprint,
        chat_template_hash=tokenizer.template_hash,
        base_size=tokenizer.base_size,
        shard_tokens=shard_tokens,
        only_succeeded=only_succeeded,
    )
    manifest = Manifest.read(folder) if (folder / CORPUS_FILE).exists() else None
    if manifest is None and set(folder.iterdir()) - set(folder.glob(".*.partial")):
        raise CorpusError(f"{folder}: not empty and not a corpus; choose another folder")
    differences = [] if manifest is None else manifest.differences(fresh)
    if manifest is not None and manifest.parts and differences:
        raise _other_corpus(folder, f"its {', '.join(differences)} differ")
    if manifest is not None and not manifest.complete and (outdated := manifest.outdated(tokenizer)):
        raise _other_corpus(folder, f"an earlier version began it, which {outdated}")
    if manifest is None or differences:  # a build without a shard, which may have failed at once, is none
        manifest = fresh
        manifest.write(folder)
    return manifest, _kept_tokenizer(tokenizer, folder / TOKENIZER_FOLDER)


def _kept_tokenizer(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """The corpus's own copy of its tokenizer, stored in one step; one that is whole stays as it is."""
    if folder.exists():
        if (copy := _copy(folder, tokenizer)) is not None:
            return copy
        logger.warning("%s: not the tokenizer that the corpus is made with, so it is stored anew", folder)
        shutil.rmtree(folder)
    with atomic_folder(folder, holds=None) as temporary:
        tokenizer.save(temporary)
    return tokenizer


def _copy(folder: Path, tokenizer: Tokenizer) -> Tokenizer | None:
    """The tokenizer in `folder`, if it has the ids and chat templates of `tokenizer`."""
    try:
        found = Tokenizer.load(folder)
    except TokenizerError:
        return None
    same = (tokenizer.fingerprint, tokenizer.template_hash)
    return found if (found.fingerprint, found.template_hash) == same else None


def _replace_split(folder: Path, manifest: Manifest, split: Split) -> None:
    """Store another split of the same tasks; one that holds nothing out is stored as none."""
    before, manifest.split = manifest.split, split if split.hold_out else None
    if manifest.split == before:
        return
    if manifest.complete:
        _check_split(folder, manifest)
    manifest.write(folder)
    if manifest.complete:
        logger.warning(
            "%s: the split is now %s and was %s; what was made by the old one is refused where it has seen "
            "tasks that are held out now",
            folder,
            manifest.split or "none",
            before or "none",
        )


def _check_split(folder: Path, manifest: Manifest) -> None:
    """Raise CorpusError if a side of a finished corpus's split has no task."""
    if manifest.split is None:
        return
    files = [ShardFile(folder / part.file) for part in manifest.parts]
    counts = Counter(task for file in files for task in file.tasks_of_runs())
    manifest.split.check_sides(counts, folder)


def _other_corpus(folder: Path, reason: str) -> CorpusError:
    return CorpusError(f"{folder}: holds another corpus ({reason}); remove it or choose another folder")


def _may_be_left_out(refusal: str) -> TokenizerError:
    return TokenizerError(f"{refusal} (skip_refused, --skip-refused: leave out and count what is refused)")


class _Build:
    """The state of a build: rows that wait for their shard, and the digest of the trajectories read."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        skip_refused: bool,
        strict: bool,
        successes: Successes,
        progress: Progress,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._skip_refused = skip_refused
        self._strict = strict
        self._successes = successes
        self._progress = progress
        self._digest = hashlib.sha256()
        self._inputs = 0
        self._rows: list[Row] = []
        self._tokens = 0

    def skip_done(self, source: Iterator[Input], digest: Callable[[Input], bytes]) -> None:
        """Skip the trajectories of finished shards; raises CorpusError if they are not the same."""
        while self._inputs < self._manifest.inputs:
            value = next(source, None)
            if value is None:
                raise _other_corpus(self._folder, "it was built of more trajectories")
            self._count(digest(value))
        if self._inputs and self._digest.hexdigest() != self._manifest.input_digest:
            raise _other_corpus(
                self._folder,
                "it was built of other trajectories, or of names that were redacted in another run",
            )
        if self._inputs:
            state = "complete" if self._manifest.complete else "going on"
            logger.info("%s: built already from %d trajectories, %s", self._folder, self._inputs, state)
        if not self._manifest.complete:
            self._remove_leftovers()

    def add(self, encoded: Iterator[Encoded]) -> None:
        """Write all that is `encoded` into shards, then record that the corpus is complete."""
        for item in encoded:
            self._count(item.digest)
            if not item.rows:
                self._leave_out(item.refusal or "")
                continue
            if item.unwritten is not None:
                self.check_written(item.unwritten)
                self._manifest.unwritten.add(item.unwritten)
            self._manifest.add_unprompted(item.rows[0].id, item.unprompted)
            self._rows += item.rows
            self._tokens += sum(map(len, item.rows))
            if self._tokens >= self._manifest.shard_tokens:
                self._write_shard()
        self._finish()

    def check_written(self, unwritten: Unwritten) -> None:
        """Raise UnwrittenTextError for what the chat template leaves out, in a strict build."""
        if self._strict and unwritten.losses:
            raise UnwrittenTextError(next(unwritten.lines()))

    def check_refused(self) -> None:
        """Raise TokenizerError for what an earlier build has left out, where nothing may be left out."""
        if self._manifest.left_out and not self._skip_refused:
            examples = self._manifest.left_out_examples or ["the chat template refuses some trajectories"]
            raise _may_be_left_out(examples[0])

    def _count(self, digest_of_one: bytes) -> None:
        self._digest.update(digest_of_one)
        self._inputs += 1
        self._progress(self._inputs + self._successes.left_out, None)

    def _leave_out(self, refusal: str) -> None:
        if not self._skip_refused:
            raise _may_be_left_out(refusal)
        self._manifest.left_out += 1
        if len(self._manifest.left_out_examples) < _MOST_EXAMPLES:
            self._manifest.left_out_examples.append(refusal)

    def _write_shard(self) -> None:
        file = f"part-{len(self._manifest.parts):05d}.arrow"
        write_rows(self._folder / file, self._rows)
        actions = [int(row.action.sum()) for row in self._rows]
        runs = sum(not row.continues for row in self._rows)
        part = Part(file, runs, len(self._rows), self._tokens, sum(actions), actions.count(0))
        self._manifest.parts.append(part)
        self._write_manifest()
        self._rows, self._tokens = [], 0

    def _write_manifest(self) -> None:
        self._manifest.inputs = self._inputs
        self._manifest.input_digest = self._digest.hexdigest()
        self._manifest.write(self._folder)

    def _finish(self) -> None:
        if self._rows:
            self._write_shard()
        if not self._manifest.parts:
            shutil.rmtree(self._folder)
            first = self._manifest.left_out_examples[0]
            raise CorpusError(f"the chat template refuses all {self._inputs} trajectories: {first}")
        self._manifest.failed_left_out = self._successes.failed
        self._manifest.unknown_left_out = self._successes.unknown
        self._manifest.complete = True
        try:
            _check_split(self._folder, self._manifest)
        except CorpusError as error:
            self._manifest.split = None  # no stage could read the corpus
            raise CorpusError(f"{error} (the corpus is stored without a split)") from None
        finally:
            self._write_manifest()

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of a build that was killed while it wrote."""
        for file in [*self._folder.glob(".*.partial"), *self._folder.glob(".*.finished")]:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
