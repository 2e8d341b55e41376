"""Varies the wording of an expert's thoughts, so that a run of templates is not one fixed text.

A thought's sentences that begin with "I" and a verb get one of `OPENINGS` in place of that "I". The choice
depends on the seed, the run and the turn alone. Facts and actions stay as they are.
"""

import re
from hashlib import blake2b

OPENINGS = ("I", "I will", "Let me", "I should", "Next, I will", "Now I")

_VERB = re.compile(r"(?:^|(?<=\. ))I(?: first)? (?=(?!am\b|must\b|cannot\b)[a-z])")


def varied(thought: str, run: str, turn: int, seed: int) -> str:
    """The thought of a turn in one of the wordings."""
    digest = blake2b(f"{seed}:{run}:{turn}".encode(), digest_size=8).digest()
    opening = OPENINGS[int.from_bytes(digest) % len(OPENINGS)]
    return _VERB.sub(f"{opening} ", thought)
