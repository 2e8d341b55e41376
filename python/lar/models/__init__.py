"""Causal language models of transformers: loading, adapters, attention, out-of-memory errors. Needs torch."""
