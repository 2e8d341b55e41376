"""The report's pictures: Vega-Lite drawn as SVG by vl-convert, without a browser and without a network.

Each picture is drawn for a wide and for a narrow page, so that its letters stay readable. Colours are names
of the page's style sheet, so a picture follows light and dark. Each mark has a label, which the page shows
under the pointer. matplotlib was left aside for its labels and fixed colours, and plotly and bokeh because
their scripts add 1 to 4 MB to every report.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lar.errors import MissingExtraError
from lar.utils.extras import import_extra
from lar.utils.words import percent

WIDTHS = {"wide": 860, "narrow": 340}
_GREY, _KEPT, _SAVED, _OTHER = (f"var(--{name})" for name in ("muted", "kept", "accent", "other"))
_TEXT = {f"{part}Color": "var(--ink)" for part in ("label", "title")}
_LINES = {"domainColor": "var(--line)", "tickColor": "var(--line)", "gridColor": "var(--line)"}
_CONFIG = {
    "font": "Arial, Helvetica, sans-serif",
    "padding": {"left": 16, "top": 5, "right": 5, "bottom": 5},  # where a browser's letters are wider
    "view": {"stroke": None},
    "axis": {
        **_TEXT,
        **_LINES,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 12,
    },
    "legend": {
        **_TEXT,
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "symbolOpacity": 1,
        "columnPadding": 28,
        "columns": 3,
    },
}

# Whether a token lies inside a latent, after its first token: then the model takes no decision before it.
_KINDS = ("decided by the model", "inside a latent")

Row = dict[str, Any]
Picture = dict[str, str]


def can_draw() -> bool:
    """Whether the plotting library is installed."""
    try:
        import_extra("vl_convert", "drawing")
    except MissingExtraError:
        return False
    return True


def curve(points: Sequence[Row], recommended: Row) -> Picture:
    """Reduction over the number of latents, a line for each gate, with the interval over the splits.

    `points` and `recommended` are those of an estimate's JSON.
    """
    rows = [
        {
            "k": point["size"],
            "gate": str(point["gate"] or "no gate"),
            "r": point["reduction"],
            "low": min(point["reductions"]),
            "high": max(point["reductions"]),
            "best": {name: point[name] for name in ("size", "gate")} == recommended,
        }
        for point in points
    ]
    for row in rows:
        gate = f", gate {row['gate']}" if len({other["gate"] for other in rows}) > 1 else ""
        row["label"] = (
            f"{row['k']:,} latents{gate}: {percent(row['r'])} fewer units"
            f" ({percent(row['low'])} to {percent(row['high'])})" + (", recommended" if row["best"] else "")
        )
    sizes = sorted({row["k"] for row in rows})
    x: Row = {
        "field": "k",
        "type": "quantitative",
        "title": "latents",
        "scale": {"type": "log", "base": 2, "domain": [sizes[0] * 0.9, sizes[-1] * 1.1], "nice": False},
        "axis": {"values": sizes, "grid": False, "format": ",d", "labelOverlap": True},
    }
    y: Row = {"type": "quantitative", "title": "fewer units than base tokens", "axis": {"format": ".0%"}}
    colour = _colour("gate", list(dict.fromkeys(row["gate"] for row in rows)), [_SAVED, _OTHER, _GREY])
    layers = [
        {
            "mark": {"type": "area", "opacity": 0.2},
            "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": colour},
        },
        {"mark": {"type": "line"}, "encoding": {"x": x, "y": {"field": "r", **y}, "color": colour}},
        {
            "mark": {"type": "point", "filled": True, "opacity": 1},
            "encoding": {
                "x": x,
                "y": {"field": "r", **y},
                "color": colour,
                "size": {"condition": {"test": "datum.best", "value": 220}, "value": 60},
                "description": {"field": "label"},
            },
        },
    ]
    return _draw("curve", rows, {"layer": layers, "height": 240})


def kept_and_saved(rows: Sequence[tuple[str, int, int]], axis: str, *, upright: bool = False) -> Picture:
    """Bars of base tokens, divided in units that remain and units that are saved.

    `rows`: the name of each bar, its base tokens and its units. `axis`: what the bars are, for the title.
    """
    values = [
        {
            "name": name,
            "part": part,
            "n": number,
            "order": order,
            "label": f"{name}: {base:,} base tokens, {units:,} units,"
            f" {percent(1 - units / max(base, 1))} fewer",
        }
        for name, base, units in rows
        for order, (part, number) in enumerate((("units left", units), ("saved", base - units)))
        if number > 0
    ]
    names = {"field": "name", "type": "nominal", "sort": [name for name, *_ in rows]}
    sums = {
        "field": "n",
        "type": "quantitative",
        "title": "base tokens",
        "axis": {"format": ",d", "tickCount": 4},
    }
    encoding: Row = {
        "color": _colour("part", ["units left", "saved"], [_KEPT, _SAVED]),
        "order": {"field": "order"},
        "description": {"field": "label"},
    }
    if upright:
        x: Row = {**names, "title": axis, "axis": {"labelAngle": 0, "labelOverlap": True}}
        encoding |= {"x": x, "y": sums}
    else:
        encoding |= {"y": {**names, "title": None, "axis": {"labelLimit": 150}}, "x": sums}
    size: Row = {"height": 220} if upright else {"height": {"step": 26}}
    return _draw(f"by-{axis}", values, {"mark": {"type": "bar"}, "encoding": encoding, **size})


@dataclass(frozen=True)
class Stretch:
    """Base tokens that one unit stands for: their texts, their entropies in nats, and the unit's colour.

    colour: a name of the page's style sheet; None for a base token. begins_turn: whether a turn begins here.
    """

    texts: tuple[str, ...]
    entropies: tuple[float | None, ...]
    colour: str | None
    begins_turn: bool


def entropies(stretches: Sequence[Stretch], gate: float | None) -> Picture:
    """The teacher's entropy before each token, over the coloured stretches that latents write.

    gate: the vocabulary's entropy gate in nats, drawn as a line.
    """
    bars, bands, turns = _entropy_rows(stretches)
    tokens = sum(len(stretch.entropies) for stretch in stretches)
    x: Row = {"field": "i", "type": "quantitative", "title": "the agent's tokens", "axis": {"grid": False}}
    x["scale"] = {"domain": [0, tokens], "nice": False}
    y: Row = {"field": "h", "type": "quantitative", "title": "entropy (nats, square root)"}
    y |= {"scale": {"type": "sqrt"}, "axis": {"tickCount": 5}}
    wide = {"x": x, "x2": {"field": "end"}, "description": {"field": "label"}}
    fill = {"field": "fill", "type": "nominal", "scale": None}
    colour = _colour("kind", list(_KINDS), [_GREY, _SAVED])
    dotted = {"type": "rule", "strokeDash": [2, 3], "color": "var(--muted)"}
    edged = {"type": "rect", "stroke": "var(--edge)", "strokeWidth": 0.5}
    layers: list[Row] = [
        {"data": {"values": bands}, "mark": edged, "encoding": {**wide, "fill": fill}},
        {"data": {"values": turns}, "mark": dotted, "encoding": {"x": x}},
        {"mark": "rect", "encoding": {**wide, "y": y, "y2": {"datum": 0}, "color": colour}},
    ]
    if gate is not None:
        dashed = {"type": "rule", "strokeDash": [5, 4], "color": "var(--ink)"}
        description = {"value": f"the gate: {gate:.3g} nats"}
        layers.append({"mark": dashed, "encoding": {"y": {"datum": gate}, "description": description}})
    return _draw("entropy", bars, {"layer": layers, "height": 200})


def _entropy_rows(stretches: Sequence[Stretch]) -> tuple[list[Row], list[Row], list[Row]]:
    """A row for each token with an entropy, for each latent, and for each turn's begin."""
    bars: list[Row] = []
    bands: list[Row] = []
    turns: list[Row] = []
    place = 0
    for stretch in stretches:
        end = place + len(stretch.entropies)
        if stretch.colour:
            label = f"one unit: {''.join(stretch.texts)!r}"
            bands.append({"i": place, "end": end, "fill": f"var(--{stretch.colour})", "label": label})
        if stretch.begins_turn:
            turns.append({"i": place})
        for index, (text, value) in enumerate(zip(stretch.texts, stretch.entropies, strict=True)):
            kind = _KINDS[stretch.colour is not None and index > 0]
            if value is not None:
                row = {"i": place + index, "end": place + index + 0.85, "h": value, "kind": kind}
                bars.append({**row, "label": f"{text!r}: {value:.3f} nats, {kind}"})
        place = end
    return bars, bands, turns


def success(arms: Sequence[Row]) -> Picture:
    """Success over units a task for each agent, with a 95% interval where the number of tasks is given.

    `arms`: name, success, units, and low and high, the interval.
    """
    rows = [
        {**arm, "label": f"{arm['name']}: {arm['success']:.1%} solved with {arm['units']:,.1f} units a task"}
        for arm in arms
    ]
    names = [arm["name"] for arm in arms]
    x: Row = {"field": "units", "type": "quantitative", "title": "units a task"}
    x["scale"] = {"zero": False, "padding": 40}
    y: Row = {"type": "quantitative", "title": "success", "scale": {"zero": False}}
    y["axis"] = {"format": "~%", "tickCount": 5}
    colour = _colour("name", names, [_GREY, _OTHER, _SAVED])
    encoding: Row = {"x": x, "color": colour, "description": {"field": "label"}}
    interval = {"y": {"field": "low", **y}, "y2": {"field": "high"}}
    shape = {"field": "name", "type": "nominal", "scale": {"domain": names}}
    layers = [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {**encoding, **interval}},
        {
            "mark": {"type": "point", "size": 140, "strokeWidth": 2.5, "opacity": 1},
            "encoding": {**encoding, "y": {"field": "success", **y}, "shape": shape},
        },
    ]
    return _draw("success", rows, {"layer": layers, "height": 220})


def boundary(points: Sequence[Row], control: float, limit: float, measure: str) -> Picture:
    """What the students of a sweep keep, over how many units they save.

    `points`: gate, size, x (fewer units) and y, in the unit of `control` (a solid line) and of `limit` (a
    dashed line). `measure`: the title of y.
    """
    rows = [{**point, "label": f"{point['size']:,} latents, gate {point['gate']}"} for point in points]
    names = list(dict.fromkeys(point["gate"] for point in points))
    x: Row = {"field": "x", "type": "quantitative", "title": "fewer units", "axis": {"format": ".0%"}}
    y: Row = {"field": "y", "type": "quantitative", "title": measure, "scale": {"zero": False}}
    encoding: Row = {"x": x, "y": y, "description": {"field": "label"}}
    coloured = {**encoding, "color": _colour("gate", names, [_SAVED, _OTHER, _KEPT, _GREY])}
    layers: list[Row] = [
        {"mark": {"type": "line", "opacity": 0.6}, "encoding": coloured},
        {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1}, "encoding": coloured},
        {
            "mark": {"type": "text", "dy": -11, "color": "var(--ink)"},
            "encoding": {**encoding, "text": {"field": "size", "format": ","}},
        },
        {"mark": {"type": "rule", "color": _GREY}, "encoding": {"y": {"datum": control}}},
        {"mark": {"type": "rule", "color": _GREY, "strokeDash": [5, 4]}, "encoding": {"y": {"datum": limit}}},
    ]
    return _draw("boundary", rows, {"layer": layers, "height": 260})


def _colour(field: str, names: list[str], colours: list[str]) -> Row:
    shown = [colours[index % len(colours)] for index in range(len(names))]
    legend = {} if len(names) > 1 else {"legend": None}
    return {"field": field, "type": "nominal", "scale": {"domain": names, "range": shown}, **legend}


def _draw(key: str, rows: Sequence[Row], spec: Row) -> Picture:
    """The picture as one SVG for each of `WIDTHS`; their ids begin with `key`."""
    library = import_extra("vl_convert", "drawing")
    whole = _drawable({"data": {"values": list(rows)}, "background": None, "config": _CONFIG, **spec})
    fit = {"type": "fit-x", "contains": "padding"}
    return {
        name: _cleaned(
            library.vegalite_to_svg({**whole, "width": width, "autosize": fit}, allowed_base_urls=[]),
            f"{key}-{name}-",
        )
        for name, width in WIDTHS.items()
    }


def _drawable(value: Any) -> Any:
    """The value with its unprintable characters escaped: the library aborts the process at a control one."""
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value)
    if isinstance(value, dict):
        return {key: _drawable(one) for key, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list | tuple) else value


def _cleaned(svg: str, prefix: str) -> str:
    """The SVG without the addresses of its name spaces, which HTML does not need, and with ids of its own."""
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r'(id="|url\(#)', rf"\g<1>{prefix}", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
