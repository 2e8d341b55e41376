"""The exact bytes of each token id, for byte-level and byte-fallback tokenizers."""

import json
import re
from collections.abc import Callable
from typing import Any

import tokenizers

from lar.errors import TokenizerError

# A text after which a token is decoded as within any text.
CONTEXT = "a"

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def bytes_of_tokens(backend: tokenizers.Tokenizer) -> dict[int, bytes]:
    """Return the bytes of every id of `backend` inside a text.

    A metaspace tokenizer drops the space before the first token of a text; here, each token keeps it.

    Raises:
        TokenizerError: the decoder is neither byte-level nor metaspace/byte-fallback.
    """
    parts = _decoder_parts(backend)
    to_bytes = _converter(parts)
    table = {index: to_bytes(token) for token, index in backend.get_vocab(with_added_tokens=False).items()}
    for index, added in backend.get_added_tokens_decoder().items():
        table[index] = _added_text(added.content, parts).encode()
    return table


def is_found_in_text(backend: tokenizers.Tokenizer, content: str) -> bool:
    """Whether an added token is found in the text that it is decoded to.

    Gemma has added tokens such as `▁▁`, which stand for spaces. No text contains them in that form, so their
    ids come from the ordinary vocabulary alone.
    """
    return _added_text(content, _decoder_parts(backend)) == content


def _added_text(content: str, parts: list[dict[str, Any]]) -> str:
    """The text of an added token: a metaspace decoder writes spaces in it too."""
    if any(part["type"] == "ByteLevel" for part in parts) or not parts:
        return content
    return content.replace(_space(parts), " ")


def decodes_to(text: str, within: str, alone: str) -> bool:
    """Whether a token decodes to `text`: `within` a text, after `CONTEXT`, and `alone`.

    Alone, its first space may be missing: decoders of the Llama 2 kind drop one where a text begins, of
    every token.
    """
    return within == text and alone in (text, text.removeprefix(" "))


def token_of_text(backend: tokenizers.Tokenizer, text: str) -> str:
    """The token string of `backend` that its decoder decodes to `text`.

    Raises:
        TokenizerError: the decoder is neither byte-level nor metaspace.
    """
    parts = _decoder_parts(backend)
    if any(part["type"] == "ByteLevel" for part in parts):
        return "".join(_STAND_INS[byte] for byte in text.encode())
    return text.replace(" ", _space(parts))


def _decoder_parts(backend: tokenizers.Tokenizer) -> list[dict[str, Any]]:
    """Return the decoder's steps from the tokenizer's JSON."""
    if backend.decoder is None:
        return []
    decoder = json.loads(backend.decoder.__getstate__())
    parts: list[dict[str, Any]] = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    return parts


def _converter(parts: list[dict[str, Any]]) -> Callable[[str], bytes]:
    names = [part["type"] for part in parts]
    if "ByteLevel" in names:
        return _byte_level
    space = _space(parts)
    return lambda token: _metaspace(token, space, byte_fallback="ByteFallback" in names)


def _space(parts: list[dict[str, Any]]) -> str:
    """The character that a metaspace tokenizer writes for a space."""
    spaces = [part["replacement"] for part in parts if part["type"] == "Metaspace"]
    spaces += [
        part["pattern"]["String"] for part in parts if part["type"] == "Replace" and part["content"] == " "
    ]
    if not spaces:
        kinds = ", ".join(part["type"] for part in parts) or "none"
        raise TokenizerError(
            f"the bytes of tokens are unknown: the decoder ({kinds}) is neither byte-level nor metaspace"
        )
    return str(spaces[0])


def _byte_level(token: str) -> bytes:
    """Decode GPT-2's printable alphabet; a token with another character is its own UTF-8.

    The decoder of `tokenizers` does the same.
    """
    try:
        return bytes(_ALPHABET[character] for character in token)
    except KeyError:
        return token.encode()


def _metaspace(token: str, space: str, *, byte_fallback: bool) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token) if byte_fallback else None
    return bytes([int(match[1], 16)]) if match else token.replace(space, " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's printable characters to bytes (`bytes_to_unicode` of openai/gpt-2, encoder.py)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    stand_ins = {chr(256 + place): byte for place, byte in enumerate(hidden)}
    return {chr(byte): byte for byte in printable} | stand_ins


_ALPHABET = _byte_alphabet()
_STAND_INS = {byte: character for character, byte in _ALPHABET.items()}
