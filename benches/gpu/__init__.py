"""Benches for a GPU machine without a network; METHOD.md explains how to use them."""
