"""Causal language models of transformers: loading, adapters, attention, memory. All of it needs torch."""
