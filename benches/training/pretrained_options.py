"""The options of `pretrained`: from logs or a corpus to arms at equal steps."""

import argparse
from pathlib import Path

from benches import entry
from lar.distillation import DistillOptions


def parser(description: str | None = None) -> argparse.ArgumentParser:
    """The parser of the options."""
    parser = entry.parser(description)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument(
        "--trajectories", type=Path, nargs="+", help="logs of which the corpus is built (default: --corpus)"
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="an existing corpus; scores are written into it (default: built of --trajectories)",
    )
    parser.add_argument("--teacher", type=Path, help="folder of the adapted model (default: OUTPUT/teacher)")
    parser.add_argument(
        "--attempts", type=entry.positive, default=1, help="number of trajectories used of each task"
    )
    parser.add_argument(
        "--tasks", type=entry.positive, help="number of tasks used, the first of the logs (default: all)"
    )
    parser.add_argument("--size", type=entry.positive, default=256, help="number of latents")
    parser.add_argument(
        "--gates",
        nargs="+",
        default=["p40", "p60", "p80", "none"],
        help="entropy gates, each with @ and a prompt weight where it has one",
    )
    parser.add_argument(
        "--arms", nargs="+", help="GATE:LOSS[:ROW_START[:OUTPUT_START]] (default: all gates by all losses)"
    )
    parser.add_argument(
        "--min-support", type=entry.positive, default=5, help="tasks that a segment must occur in, at least"
    )
    parser.add_argument("--adapt-steps", type=entry.positive, default=100, help="steps of the adaptation")
    parser.add_argument(
        "--validate-steps",
        type=entry.positive,
        help="steps between two validations of the adaptation (default: none)",
    )
    parser.add_argument(
        "--patience",
        type=entry.positive,
        help="validations without gain after which the adaptation ends (default: it takes all steps)",
    )
    parser.add_argument("--steps", type=entry.positive, default=100, help="steps of each arm")
    parser.add_argument(
        "--save-steps", type=entry.positive, default=50, help="steps between two checkpoints of an arm"
    )
    parser.add_argument("--max-length", type=entry.positive, default=512, help="base tokens of a window")
    parser.add_argument(
        "--batch-tokens", type=entry.positive, help="base tokens of a packed row (default: --max-length)"
    )
    parser.add_argument("--device", help='for example "cpu" (default: the GPU if there is one)')
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=DistillOptions.learning_rate,
        help="learning rate of each arm's LoRA",
    )
    parser.add_argument(
        "--row-learning-rate",
        type=float,
        default=DistillOptions.row_learning_rate,
        help="learning rate of the latents' rows",
    )
    parser.add_argument(
        "--live-teacher", action="store_true", help="run the teacher on every batch instead of caching it"
    )
    parser.add_argument(
        "--evaluate-steps", type=entry.positive, default=50, help="steps between two evaluations of an arm"
    )
    parser.add_argument(
        "--evaluated-windows", type=entry.positive, default=24, help="held-out windows of an evaluation"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of all stages and figures")
    return parser
