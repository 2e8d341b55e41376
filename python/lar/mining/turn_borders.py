r"""Where one speaker's text ends and another's begins, and which latents would be found across such a border.

The ids of a prompt must begin those of the conversation that continues it: otherwise the student reads other
units than it wrote, and an engine cannot reuse its cache in the next turn. A latent found across the border
of two turns would break that. Where the template ends a turn with an added token, nothing is found across;
but the header of the agent's turn usually ends with a newline, and `"\nThought"` is found where a turn begins
with `Thought`.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend, map_shards
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, silent


def crossed_in(
    corpus: Corpus, texts: Sequence[str], backend: Backend | None = None, progress: Progress = silent
) -> NDArray[np.bool_]:
    """Which of k texts occur across a border of a conversation; bool (k). One pass over the shards."""
    of_shard = partial(crossed_in_shard, corpus.tokenizer, [text.encode() for text in texts])
    crossed = np.zeros(len(texts), dtype=np.bool_)
    for found in map_shards(of_shard, corpus, backend, progress):
        crossed |= found
    return crossed


def crossed_in_shard(tokenizer: Tokenizer, texts: Sequence[bytes], shard: Shard) -> NDArray[np.bool_]:
    """Which of k texts occur across a border of a conversation of the shard; bool (k)."""
    content, offsets = tokenizer.token_bytes()
    borders = _core.TurnBorders(tokenizer.barriers, content, offsets.astype(np.int64))
    return borders.crossed_by(texts, shard.tokens, np.ascontiguousarray(shard.action), shard.offsets)
