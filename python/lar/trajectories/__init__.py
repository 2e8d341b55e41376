"""Trajectories: what agents did, in one form whatever log they come from."""

from lar.trajectories.schema import Message, Trajectory

__all__ = ["Message", "Trajectory"]
