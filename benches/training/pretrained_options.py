"""The options of `pretrained`: from logs or a corpus to arms at equal steps."""

import argparse
from pathlib import Path

from lar.distillation import DistillOptions


def parser(description: str | None = None) -> argparse.ArgumentParser:
    """The options, each with its default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--trajectories", type=Path, nargs="+", help="logs to build the corpus from")
    parser.add_argument("--corpus", type=Path, help="a corpus that is there; it is scored in place")
    parser.add_argument("--teacher", type=Path, help="the adapted model's folder; default: OUTPUT/teacher")
    parser.add_argument("--attempts", type=int, default=1, help="trajectories of a task that are used")
    parser.add_argument("--tasks", type=int, help="the first tasks of the logs that are used; default: all")
    parser.add_argument("--size", type=int, default=256, help="number of latents")
    parser.add_argument("--gates", nargs="+", default=["p40", "p60", "p80", "none"])
    parser.add_argument("--losses", nargs="+", default=["marginal", "paper", "sft"])
    parser.add_argument(
        "--arms", nargs="+", help="GATE:LOSS[:ROW_START[:OUTPUT_START]]; default: all of both"
    )
    parser.add_argument("--min-support", type=int, default=5)
    parser.add_argument("--adapt-steps", type=int, default=100)
    parser.add_argument("--validate-steps", type=int, help="adaptation steps between two validations")
    parser.add_argument("--patience", type=int, help="validations without gain that end the adaptation")
    parser.add_argument("--steps", type=int, default=100, help="of each arm")
    parser.add_argument("--save-steps", type=int, default=50, help="of each arm, between two checkpoints")
    parser.add_argument("--max-length", type=int, default=512, help="base tokens of a window")
    parser.add_argument("--batch-tokens", type=int, help="base tokens of a packed row; default: --max-length")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--device", help='for example "cpu"; the GPU if there is one')
    parser.add_argument("--learning-rate", type=float, default=DistillOptions.learning_rate)
    parser.add_argument("--row-learning-rate", type=float, default=DistillOptions.row_learning_rate)
    parser.add_argument("--hidden-weight", type=float, default=DistillOptions.hidden_weight)
    parser.add_argument("--tag", default="", help="ends the names of this run's arms")
    parser.add_argument("--top-k", type=int, default=64, help="likely tokens kept of the teacher")
    parser.add_argument("--live-teacher", action="store_true", help="read the teacher, not its cached scores")
    parser.add_argument("--evaluate-steps", type=int, default=50)
    parser.add_argument("--evaluated-windows", type=int, default=24)
    parser.add_argument("--only", choices=["adapt", "score", "mine", "arms", "table"], help="run one stage")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser
