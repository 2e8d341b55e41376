"""The picture of a sweep: what students keep, over how many units they save."""

from pathlib import Path
from typing import Any

from lar.errors import MissingExtraError
from lar.evaluation.boundary.points import Point, Sweep
from lar.utils.extras import import_extra
from lar.utils.files import atomic_file
from lar.utils.words import percent

WIDTH, HEIGHT = 640, 360
SCALE = 2  # pixels of the PNG for each of the picture's


def write_pictures(sweep: Sweep, folder: Path) -> list[Path]:
    """Write `sweep.svg` and `sweep.png`; returns their paths, none where the extra `report` is absent."""
    return drawn(picture(sweep), folder / "sweep")


def drawn(spec: dict[str, Any], stem: Path) -> list[Path]:
    """Write a Vega-Lite picture as STEM.svg and STEM.png; no path where the extra `report` is absent."""
    try:
        library = import_extra("vl_convert", "drawing")
    except MissingExtraError:
        return []
    svg = library.vegalite_to_svg(spec, allowed_base_urls=[]).encode()
    png = library.vegalite_to_png(spec, scale=SCALE, allowed_base_urls=[])
    files = {stem.with_suffix(".svg"): svg, stem.with_suffix(".png"): png}
    for file, content in files.items():
        with atomic_file(file) as temporary:
            temporary.write_bytes(content)
    return list(files)


def picture(sweep: Sweep) -> dict[str, Any]:
    """The picture in Vega-Lite: the points of each gate, the control, and the limit of the tolerance."""
    title = "success" if sweep.has_success else "bits per byte"
    y = {"field": "y", "type": "quantitative", "title": title, "scale": {"zero": False}}
    x = {
        "field": "x",
        "type": "quantitative",
        "title": "fewer units than base tokens",
        "axis": {"format": ".0%"},
    }
    names = list(dict.fromkeys(_gate(point) for point in sweep.students))
    colour = {"field": "gate", "type": "nominal", "title": "entropy gate", "scale": {"domain": names}}
    dots = {"x": x, "y": y, "color": colour, "tooltip": {"field": "label"}}
    limit = {"y": {"datum": _limit(sweep)}}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line", "opacity": 0.5}, "encoding": dots},
        {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1}, "encoding": dots},
        {
            "mark": {"type": "text", "dy": -10, "fontSize": 10},
            "encoding": {"x": x, "y": y, "text": {"field": "size", "format": ","}},
        },
        _rule({"y": {"datum": _measure(sweep, sweep.control)}}, "black", []),
        _rule(limit, "firebrick", [5, 4]),
    ]
    if (collapse := sweep.boundary.collapse) is not None:
        layers.append(_rule({"x": {"datum": collapse.reduction}}, "firebrick", [2, 3]))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": "The boundary of abstraction", "subtitle": _subtitle(sweep), "anchor": "start"},
        "width": WIDTH,
        "height": HEIGHT,
        "background": "white",
        "data": {"values": [_row(sweep, point) for point in sweep.students]},
        "layer": layers,
    }


def _subtitle(sweep: Sweep) -> list[str]:
    lines = ["Black: the control. Dashed: what a student may lose. Numbers: latents asked for."]
    if sweep.boundary.collapse is not None:
        lines.append("Dotted: the smallest reduction that loses more.")
    return lines


def _rule(encoding: dict[str, Any], colour: str, dash: list[int]) -> dict[str, Any]:
    return {"mark": {"type": "rule", "color": colour, "strokeDash": dash}, "encoding": encoding}


def _row(sweep: Sweep, point: Point) -> dict[str, Any]:
    return {
        "x": point.reduction,
        "y": _measure(sweep, point),
        "gate": _gate(point),
        "size": point.size,
        "label": f"{point.name}: {percent(point.reduction)} fewer units, {_measure(sweep, point):.3f}",
    }


def _measure(sweep: Sweep, point: Point) -> float:
    return float(point.success_rate or 0.0) if sweep.has_success else point.bits_per_byte


def _limit(sweep: Sweep) -> float:
    control = _measure(sweep, sweep.control)
    return control - sweep.tolerance if sweep.has_success else control * (1 + sweep.tolerance)


def _gate(point: Point) -> str:
    return point.gate or "none"
