"""Text in pieces, so that a page can show its white space and its control characters."""

import re
import unicodedata

_PIECES = re.compile(
    r"(?P<newline>\r?\n)|(?P<tab>\t)|(?P<space> +)|(?P<control>[\x00-\x1f\x7f])|(?P<text>[^\x00-\x20\x7f]+)"
)
# Characters that draw nothing, or that change the order of those beside them.
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs", "Cs", "Co", "Cn"}


def visible(text: str) -> list[tuple[str, str]]:
    """`text` as pieces of the kinds text, space, newline, tab and code.

    All pieces joined are the text, but for those of the kind code: such a piece is the code point (U+202E)
    of a character that draws nothing.
    """
    pieces: list[tuple[str, str]] = []
    for match in _PIECES.finditer(text):
        kind = str(match.lastgroup)
        if kind == "control":
            pieces.append(("code", _code(match[0])))
        elif kind == "text":
            pieces += _drawn(match[0])
        else:
            pieces.append((kind, match[0]))
    return pieces


def _drawn(text: str) -> list[tuple[str, str]]:
    if text.isascii():
        return [("text", text)]
    pieces: list[tuple[str, str]] = []
    for character in text:
        unseen = unicodedata.category(character) in _UNSEEN
        if unseen or not pieces or pieces[-1][0] == "code":
            pieces.append(("code", _code(character)) if unseen else ("text", character))
        else:
            pieces[-1] = ("text", pieces[-1][1] + character)
    return pieces


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
