"""Trajectories: read from agent logs of any known format, and stored on disk."""

from lar.trajectories.formats import FORMATS
from lar.trajectories.problems import BadRecordWarning, Problem, Problems
from lar.trajectories.read import read_trajectories
from lar.trajectories.redact import Redactor
from lar.trajectories.report import FormatCounts, LeftOut, Report
from lar.trajectories.rereading import Trajectories
from lar.trajectories.schema import PARQUET_SCHEMA, Function, Message, Tool, ToolCall, Trajectory
from lar.trajectories.write import write_trajectories

__all__ = [
    "FORMATS",
    "PARQUET_SCHEMA",
    "BadRecordWarning",
    "FormatCounts",
    "Function",
    "LeftOut",
    "Message",
    "Problem",
    "Problems",
    "Redactor",
    "Report",
    "Tool",
    "ToolCall",
    "Trajectories",
    "Trajectory",
    "read_trajectories",
    "write_trajectories",
]
