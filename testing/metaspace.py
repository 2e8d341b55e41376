"""A small tokenizer of the sentencepiece kind."""

import tokenizers
from tokenizers import decoders, models, normalizers


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
