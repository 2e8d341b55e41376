"""What the pieces that train share: bounds on planned steps, and memory between trainings."""

import gc

import torch

MARGIN = 1.1  # factor on the expected time of a training


def clamp(value: float, least: int, most: int) -> int:
    """`value` as an integer within the bounds."""
    return max(least, min(most, int(value)))


def forget() -> None:
    """Free the memory of the last training."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
