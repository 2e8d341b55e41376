"""Mining: the segments that recur, could have been predicted, and save the most."""

from lar.mining.mine import mine
from lar.mining.options import MiningOptions

__all__ = ["MiningOptions", "mine"]
