"""The engine gates that need no corpus: which segments serving engines can take as latents.

In an engine a latent is an added token whose content is the segment's text. Each gate here refuses texts that
an engine would handle wrongly without an error. The gate `tool_call` also cuts the runs at the names of
tools. Two gates depend on the corpus: `border` (`lar.mining.turn_borders`) and `served`
(`lar.mining.served_saving`).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import tokenizers
from numpy.typing import NDArray

from lar import _core
from lar.errors import OptionError
from lar.mining.engine_gates.tool_call import cut_at_names, tool_call
from lar.tokenizer.generation_prompt import generation_prompts
from lar.tokenizer.token_bytes import CONTEXT, decodes_to
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.segments import Segments

Keep = NDArray[np.bool_]

# llama.cpp's converter identifies pre-tokenizers by how they split this text, and refuses a tokenizer that
# splits it in another way (`CHK_TXT` of convert_hf_to_gguf_update.py, github.com/ggml-org/llama.cpp; MIT).
CHECK_TEXT = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 ?"
    "我想在apple工作1314151天～ "  # noqa: RUF001
    "------======= нещо на Български ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, "
    "'RE you sure? 'M not sure I'll make it, 'D you like some tea? We'Ve a'lL"
)


def whole_characters(candidates: _core.Candidates, tokenizer: Tokenizer) -> Keep:
    """The gate `characters`: the segment consists of whole characters, so that it has a text; bool (n)."""
    content, offsets = tokenizer.token_bytes()
    return candidates.are_whole_characters(content, offsets.astype(np.int64))


def texts_of(segments: Segments, tokenizer: Tokenizer) -> list[str]:
    """The texts of k segments, which are whole characters."""
    return tokenizer.texts_within(segments.tokens, segments.offsets)


def normal(texts: Sequence[str], tokenizer: Tokenizer) -> Keep:
    """The tokenizer's normalizer leaves the text unchanged: else an engine never finds it; bool (n)."""
    normalizer = tokenizer.backend.normalizer
    if normalizer is None:
        return np.ones(len(texts), dtype=np.bool_)
    return _each(texts, lambda text: _spaced(normalizer.normalize_str(text)) == _spaced(text))


def token(texts: Sequence[str], tokenizer: Tokenizer) -> Keep:
    """The text is no token, and does not overlap an added token's text; bool (n).

    A text that is a token gets that token's id. One that holds an added token, or whose end begins one, is
    found first and takes its characters: `"x <"` takes the `<` of the `<|im_end|>` after it, and no turn
    ends. Added tokens that are looked for in normalized text (`normalized`) are found after all latents. So a
    text may not lie within one of these either, or begin with its end.
    """
    flat, offsets = tokenizer.token_bytes()
    content = flat.tobytes()
    tokens = {content[start:end] for start, end in pairwise(offsets.tolist())}
    named = tokenizer.backend.token_to_id
    barriers = set(tokenizer.barriers.tolist())
    entries = tokenizer.backend.get_added_tokens_decoder().items()
    own = [entry for index, entry in entries if index in barriers or not entry.content.isspace()]
    added = [entry.content for entry in own]
    late = [entry.content for entry in own if entry.normalized]
    openings = tuple({text[:end] for text in added for end in range(1, len(text))})
    endings = tuple({text[start:] for text in late for start in range(1, len(text))})

    def is_free(text: str) -> bool:
        taken = text.encode() in tokens or named(text) is not None
        cuts = text.endswith(openings) or text.startswith(endings)
        return not (taken or cuts or any(o in text for o in added) or any(text in o for o in late))

    return _each(texts, is_free)


def decoding(texts: Sequence[str], tokenizer: Tokenizer) -> Keep:
    """The added token decodes to its text, after other tokens and alone; bool (n).

    In tokenizers 0.23 some do not. A byte-level tokenizer decodes a text as bytes if all its characters are
    of the byte-level alphabet and one is not ASCII (`café`); one with byte fallback decodes `<0x41>` as `A`.
    """
    backend, context = _decoding_like(tokenizer, CONTEXT)
    before = backend.decode(context, skip_special_tokens=False)
    backend.add_tokens([tokenizers.AddedToken(text, special=False, normalized=False) for text in texts])
    found = [backend.token_to_id(text) for text in texts]
    ids = [[] if index is None else [index] for index in found]
    within = backend.decode_batch([[*context, *index] for index in ids], skip_special_tokens=False)
    alone = backend.decode_batch(ids, skip_special_tokens=False)
    return np.array(
        [
            decodes_to(text, inner.removeprefix(before), outer)
            for text, inner, outer in zip(texts, within, alone, strict=True)
        ],
        dtype=np.bool_,
    )


def _decoding_like(tokenizer: Tokenizer, text: str) -> tuple[tokenizers.Tokenizer, list[int]]:
    """A backend with the tokenizer's decoder and the tokens of `text` alone, and their ids there.

    It stands for a clone of the whole tokenizer, which takes a second.
    """
    tokens = tokenizer.backend.encode(text, add_special_tokens=False).tokens
    ids = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token=""))
    if tokenizer.backend.decoder is not None:
        backend.decoder = tokenizer.backend.decoder
    return backend, [ids[token] for token in tokens]


def header(texts: Sequence[str], tokenizer: Tokenizer) -> Keep:
    """In a turn that begins with the text, it is found where the turn begins and no sooner; bool (n).

    A text of two newlines would be found from the newline after `assistant` on. The ids of a prompt would
    then differ from the first ids of the conversation, and no engine could reuse its cache in the next turn.
    """
    ends = _header_ends(tokenizer)
    return _each(texts, lambda text: not any((end + text).startswith(text) for end in ends))


def clashes_at_headers(
    texts: Sequence[str], worth: NDArray[np.int64], tokenizer: Tokenizer
) -> NDArray[np.bool_]:
    r"""Which of k chosen texts must go for the gate `header`, so that no two of them clash; bool (k).

    Two texts clash if one is found across the end of a header where a turn begins with the other: `"\n\n-"`,
    in a turn that begins with `"\n-"`. Of the two, the one that is worth less goes; `worth`: int64 (k).
    """
    place = {text: index for index, text in enumerate(texts)}
    gone = np.zeros(len(texts), dtype=np.bool_)
    for end in _header_ends(tokenizer):
        across = {text: index for text, index in place.items() if text.startswith(end)}
        longest = max(map(len, across), default=0) - len(end)
        for index, text in enumerate(texts) if across else ():
            for length in range(1, min(longest, len(text)) + 1):
                other = across.get(end + text[:length])
                if other is not None:
                    gone[index if worth[index] < worth[other] else other] = True
    return gone


def _header_ends(tokenizer: Tokenizer) -> list[str]:
    """What the header of the agent's turn ends with, after its last added token: every end of that text."""
    added = tokenizer.added_texts()
    ends: list[str] = []
    for prompt in generation_prompts(tokenizer):
        borders = [prompt.rfind(text) + len(text) for text in added if text in prompt]
        text = prompt[max(borders, default=0) :]
        ends += [text[start:] for start in range(len(text))]
    return list(dict.fromkeys(ends))


def check_text(texts: Sequence[str], _: Tokenizer) -> Keep:
    """The text does not occur in the text by which llama.cpp identifies pre-tokenizers; bool (n)."""
    return _each(texts, lambda text: text not in CHECK_TEXT)


# Name on the command line -> function from k texts to bool (k), True where the text passes. The gates are
# applied in this order, after `characters`.
STATIC_GATES: dict[str, Callable[[Sequence[str], Tokenizer], Keep]] = {
    "normal": normal,
    "token": token,
    "decoding": decoding,
    "header": header,
    "tool_call": tool_call,
    "check_text": check_text,
}
# For the gates that cut: the function that cuts the runs, before candidates are searched in them.
CUTS: dict[str, Callable[[_core.Runs, Tokenizer], _core.Runs]] = {"tool_call": cut_at_names}
# The gates that read the corpus, after those; `served` also applies `clashes_at_headers`.
BORDER, SERVED = "border", "served"


def parse_gates(value: str) -> tuple[str, ...]:
    """Read `MiningOptions.gates`: "engines" (all), "none", or names with commas between; in their order.

    `characters` is always on and may be named.

    Raises:
        OptionError: a name is not that of a gate.
    """
    known = ("characters", *STATIC_GATES, BORDER, SERVED)
    if value == "engines":
        return known
    named = [name.strip() for name in value.split(",")] if value != "none" else []
    for name in named:
        if name not in known:
            raise OptionError(f"gates must be engines, none or some of {', '.join(known)}, not {name!r}")
    return tuple(name for name in known if name == "characters" or name in named)


def _each(texts: Sequence[str], is_kept: Callable[[str], bool]) -> Keep:
    return np.fromiter(map(is_kept, texts), dtype=np.bool_, count=len(texts))


def _spaced(text: str) -> str:
    """The text as decoders write it: some normalizers write ▁ for each space, and one before the text."""
    return text.replace("▁", " ").lstrip(" ")
