"""The gate at the opener of a tool call: no latent opens a call and names its tool in one step.

llama-server waits for the marker with which a call begins (`<tool_call>`), and holds what follows to a
grammar of the request's tools. It masks tokens only from there on. If a latent covers the marker and a tool's
name, the server detects too late that the request has no such tool, and ends the reply. Where the
marker is an added token of the base (Qwen3), no segment holds it anyway, and this gate costs nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tool_call_opener import tool_call_opener


def tool_call(texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """The text does not go on past the opener of a call, `<tool_call>` up to the tool's name; bool (n)."""
    opener, marker = _opener_and_marker(tokenizer)
    rest = opener[len(marker) :]
    # For an opener that began in an earlier unit, and whose marker ends in this one.
    ends = [opener[start:] for start in range(len(marker))]

    def stops(text: str) -> bool:
        _, found, after = text.partition(marker)
        if found:
            return rest.startswith(after)
        return not any(text.startswith(end) and text != end for end in ends)

    return np.fromiter((not marker or stops(text) for text in texts), dtype=np.bool_, count=len(texts))


def cut_at_names(runs: _core.Runs, tokenizer: Tokenizer) -> _core.Runs:
    """The runs, cut where an opener ends: segments on either side are candidates then."""
    opener, marker = _opener_and_marker(tokenizer)
    if not marker:
        return runs
    content, offsets = tokenizer.token_bytes()
    return runs.cut_after(content, offsets.astype(np.int64), opener.encode())


def _opener_and_marker(tokenizer: Tokenizer) -> tuple[str, str]:
    """The opener, and the marker that it begins with; empty where a call begins with its brace.

    No engine waits for a brace: anything may follow it.
    """
    opener = tool_call_opener(tokenizer)
    return opener, opener.partition("{")[0].rstrip()
