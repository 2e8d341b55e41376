"""Entropy gates as command lines have them."""

from lar.mining.entropy_gate import Gate


def gate_of(text: str) -> Gate:
    """The gate that is meant: "none" is None, a gate of its own."""
    return None if text == "none" else text
