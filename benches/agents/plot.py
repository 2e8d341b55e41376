"""The picture of a world's arms: success over generated units, each against the control."""

from pathlib import Path
from typing import Any

from benches.agents.arms import CONTROL
from benches.agents.figures import Compared, Figures
from benches.agents.stages import results_of
from lar.evaluation.boundary.plot import HEIGHT, WIDTH, drawn


def write_picture(world: str, records: dict[str, dict[str, Any]], stem: Path) -> list[Path]:
    """Write STEM.svg and STEM.png of the arms that have a control; returns their paths."""
    if CONTROL not in records:
        return []
    return drawn(picture(world, records), stem)


def picture(world: str, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The picture in Vega-Lite. Bars are one standard error of the difference to the control, by task."""
    control = results_of(records[CONTROL])
    base = Figures.of(control).success.mean
    rows = [{"arm": CONTROL, "x": 0.0, "y": base, "low": base, "high": base}]
    for name, record in records.items():
        if name != CONTROL:
            compared = Compared.of(results_of(record), control)
            success, error = base + compared.success.mean, compared.success.error or 0.0
            rows.append(
                {
                    "arm": name,
                    "x": -compared.units,
                    "y": success,
                    "low": success - error,
                    "high": success + error,
                }
            )
    x = {"field": "x", "type": "quantitative", "title": "fewer generated units", "axis": {"format": ".0%"}}
    y = {"field": "y", "type": "quantitative", "title": "success", "axis": {"format": ".0%"}}
    rule = {"mark": {"type": "rule", "strokeDash": [5, 4]}, "encoding": {"y": {"datum": base}}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {
            "text": world,
            "subtitle": "Dashed: the control. Bars: one standard error of the difference.",
        },
        "width": WIDTH,
        "height": HEIGHT,
        "background": "white",
        "data": {"values": rows},
        "layer": [
            rule,
            {
                "mark": {"type": "rule", "opacity": 0.4},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": {"x": x, "y": y}},
            {
                "mark": {"type": "text", "dx": 6, "dy": -6, "align": "left", "fontSize": 10},
                "encoding": {"x": x, "y": y, "text": {"field": "arm"}},
            },
        ],
    }
