"""Whether a loader of an export encodes ordinary text as the export's own tokenizer.json does.

Loading the file is not enough: some classes of transformers 5 (`Qwen2Tokenizer`) build normalizer and
pre-tokenizer of their own, whatever the file has.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lar.errors import ExportError
from lar.mining.engine_gates.static import CHECK_TEXT
from lar.tokenizer.files import TOKENIZER_CONFIG_FILE
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.tokenizer import Tokenizer

# One kind of text each, so that an error shows what is encoded otherwise.
_TEXTS = (
    "Order 12345 costs 99 in 2024, or 1,234.56 at 07:30.",
    " a  b   c    d     e        f",
    "\n\nOne line\nand another\n\n\nthe last\r\n",
    "\tcolumn\t\tcolumn \t mixed",
    "Wait... what?! (yes) [no] {maybe} -- \"so\" 'it's' #1 @two $3 %4 ^5 &6 *7 _8_ ~/9 <a> </a> |b|",
    "I'LL we're they'd isn't HELLO Hello hELLO",
    "re\u0301sume\u0301 cafe\u0301 nai\u0308ve, r\u00e9sum\u00e9 caf\u00e9, \ufb01ne \u212b x\u00b2",
    "\u6771\u4eac\u306e\u5929\u6c17\u306f\u3002 \u5317\u4eac\uff0c\u4f60\u597d \ud55c\uad6d\uc5b4 \U0001f642",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0627\u0644\u0639\u0631\u0628 \u0939\u093f\u0928\u0940",
    "def f(x: int) -> str:\n    if x >= 10:\n        return f'{x!r}'  # ten\n    return \"\"\n",
    '{"name": "look", "arguments": {"at": [1, 2.5, null, true], "path": "C:\\\\tmp"}}',
    CHECK_TEXT,
)
_PLAIN_CLASS = "PreTrainedTokenizerFast"
# What stands before and after a latent: it is cut otherwise beside a letter, a digit, a space or a newline.
_AROUND = ("", "word", "12", " ", "\n")


def check_ordinary_text(folder: Path, tokenizer: Any, latents: Sequence[str]) -> None:
    """Raise ExportError for the first text that `tokenizer` encodes otherwise than `folder`/tokenizer.json.

    `tokenizer` is one of transformers, `latents` are the texts of the latents.
    """
    texts = [*_TEXTS, *(f"{side}{latent}{side}" for latent in latents for side in _AROUND)]
    expected = Tokenizer.load(folder).encode_batch(texts)
    for text, own in zip(texts, expected, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False)
        if ids != own.tolist():
            raise ExportError(
                f"{folder}: transformers' {type(tokenizer).__name__} encodes {text!r} as {_shown(ids)}, and "
                f"{TOKENIZER_FILE} as {_shown(own.tolist())}: the class has rules of its own; "
                + _advice(folder)
            )


def _advice(folder: Path) -> str:
    """How to get a class without rules; transformers 5.24 takes no name but its own for some models."""
    config = json.loads((folder / TOKENIZER_CONFIG_FILE).read_bytes())
    if config.get("tokenizer_class") != _PLAIN_CLASS:
        return f"in the base's {TOKENIZER_CONFIG_FILE} set tokenizer_class to {_PLAIN_CLASS}, export again"
    return (
        f"this version of transformers takes it whatever tokenizer_class {TOKENIZER_CONFIG_FILE} has, and "
        "reads the base so, too: try another version"
    )


def _shown(ids: list[int]) -> str:
    return f"{ids[:8]}{'...' if len(ids) > 8 else ''}"
