"""Corpora: trajectories as token ids, with a mask of what the agent generated and the task of each.

On disk a corpus is a folder: `manifest.json` (lar.corpus.manifest), `part-*.arrow` (lar.corpus.shards),
`tokenizer/`, a copy of the tokenizer that made it, and once it is scored `teacher/` (lar.corpus.scores).
"""

from lar.corpus.corpus import Corpus
from lar.corpus.manifest import Manifest, Part
from lar.corpus.shards import Row, Shard

__all__ = ["Corpus", "Manifest", "Part", "Row", "Shard"]
