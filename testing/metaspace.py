"""Small tokenizers of the sentencepiece kind."""

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers


def metaspace() -> tokenizers.Tokenizer:
    """A tokenizer like Llama 2's: a space before every text, bytes as a fallback."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["▁", "a", "b", "▁a", "▁b", "ab", "▁ab", "c"]
    vocab = {token: index for index, token in enumerate(["<unk>", *byte_tokens, *words])}
    merges = [("a", "b"), ("▁", "a"), ("▁", "b"), ("▁", "ab")]
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<s>", "</s>"])
    return backend


def metaspace_first(decoder: str = "strip") -> tokenizers.Tokenizer:
    """A tokenizer like newer files of Llama 2 and Mistral: a space before a text, none after added tokens.

    The decoder drops a space where a text begins: "strip" from the text, "metaspace" from the first token.
    """
    backend = metaspace()
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
    if decoder == "metaspace":
        backend.decoder = decoders.Metaspace("▁", "first")
    return backend


def with_spaces_as_tokens() -> tokenizers.Tokenizer:
    """A tokenizer like Gemma's: no space before a text, and runs of spaces that are added tokens too."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    runs = ["▁▁", "▁▁▁", "▁▁▁▁"]
    letters = [*"abcdefghijklmnopqrstuvwxyz:(\n"]
    vocab = {token: index for index, token in enumerate(["<unk>", *byte_tokens, "▁", *runs, *letters])}
    merges = [("▁", "▁"), ("▁▁", "▁"), ("▁▁", "▁▁")]
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_tokens([tokenizers.AddedToken(run, normalized=False, special=False) for run in runs])
    backend.add_special_tokens(["<s>", "</s>"])
    return backend
