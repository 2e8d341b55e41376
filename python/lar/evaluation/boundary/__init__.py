"""The boundary of abstraction: how far units can be reduced before a student loses against its control."""

from lar.evaluation.boundary.points import Boundary, Point, Sweep
from lar.evaluation.boundary.sweep import SweepOptions, sweep

__all__ = ["Boundary", "Point", "Sweep", "SweepOptions", "sweep"]
