"""The table of the measured arms of a world."""

from dataclasses import asdict
from typing import Any

from benches.agents.arms import CONTROL
from benches.agents.figures import Compared, Figures, percent
from benches.agents.stages import results_of

HEADER = (
    "arm",
    "success",
    "against the control",
    "cut off",
    "generated units",
    "",
    "median",
    "generated and sent",
    "",
    "base tokens",
    "turns",
    "passes",
    "seconds",
    "bits per byte",
)


def table(records: dict[str, dict[str, Any]]) -> str:
    """The arms in Markdown; percentages without a sign are shares, those with one are against the control."""
    lines = [HEADER, ("---",) + ("---:",) * (len(HEADER) - 1)]
    lines += [_row(name, record, records.get(CONTROL)) for name, record in records.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of the arms as JSON-ready values, and for each task whether it was solved."""
    found = {}
    for name, record in records.items():
        results = results_of(record)
        compared = _compared(name, record, records.get(CONTROL))
        found[name] = {
            **{key: record[key] for key in ("data", "latents", "bits_per_byte")},
            "figures": asdict(Figures.of(results)),
            "against_control": None if compared is None else asdict(compared),
            "solved": {result.task: result.success for result in results},
        }
    return found


def _compared(name: str, record: dict[str, Any], control: dict[str, Any] | None) -> Compared | None:
    if control is None or name == CONTROL:
        return None
    return Compared.of(results_of(record), results_of(control))


def _row(name: str, record: dict[str, Any], control: dict[str, Any] | None) -> tuple[str, ...]:
    figures, compared = Figures.of(results_of(record)), _compared(name, record, control)
    bits = record["bits_per_byte"]
    return (
        name,
        percent(figures.success),
        ""
        if compared is None
        else f"{100 * compared.success.mean:+.1f} ± {100 * (compared.success.error or 0):.1f}",
        f"{figures.cut_off:.0%}",
        f"{figures.units:.1f}",
        "" if compared is None else f"{compared.units:+.1%}",
        f"{figures.median_units:.0f}",
        f"{figures.units + figures.sent:.0f}",
        "" if compared is None else f"{compared.total:+.1%}",
        f"{figures.base_tokens:.1f}",
        f"{figures.turns:.2f}",
        "" if figures.passes is None else f"{figures.passes:.1f}",
        f"{figures.seconds:.2f}",
        "" if bits is None else f"{bits['bits_per_byte']:.4f}",
    )
