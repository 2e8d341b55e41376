"""Options from a file: YAML, or JSON where its name ends so; or what a result says that it was made with."""

import json
import math
import types
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

from lar.errors import OptionError
from lar.utils.paths import StrPath

# What the records of `lar distill` and `lar adapt` name their options.
_RECORDED = "options"


def read_options(file: StrPath, kind: type[Any]) -> dict[str, Any]:
    """Read the values that `file` gives for fields of the options' dataclass `kind`.

    The file is a mapping of names to values, or a result's record (`distillation.json`, `adaptation.json`),
    whose `options` are taken: so a run can be repeated from what it left.

    Raises:
        OptionError: no such mapping, a key that `kind` has not, or a value of another type.
    """
    path = Path(file)
    content = _content(path)
    if isinstance(content, dict) and isinstance(content.get(_RECORDED), dict):
        content = content[_RECORDED]
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise OptionError(f"{path}: not a mapping of options to values")
    hints = typing.get_type_hints(kind)
    known = {item.name: hints[item.name] for item in fields(kind)}
    unknown = [str(name) for name in content if name not in known]
    if unknown:
        raise OptionError(f"{path}: {unknown[0]!r} is no option of this command")
    return {name: _value(path, name, value, known[name]) for name, value in content.items()}


def _content(path: Path) -> Any:
    import yaml  # type: ignore[import-untyped]

    text = path.read_bytes()
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f"{path}, line {place.line + 1}" if place else str(path)
        raise OptionError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'broken'})") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def _value(path: Path, name: str, value: Any, hint: Any) -> Any:
    """`value` as the first of the types in `hint` that it is one of."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        if kind is types.NoneType and value is None:
            return None
        if kind is float and (number := _number(value)) is not None:
            return number
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            if all(isinstance(part, str) for part in value):
                return tuple(value)
        elif type(value) is kind:
            return value
    wanted = " or ".join(_NAMES.get(kind, "a list of texts") for kind in kinds)
    raise OptionError(f"{path}: {name} must be {wanted}, not {json.dumps(value, default=str)}")


_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
}


def _number(value: Any) -> float | None:
    """A finite number; YAML 1.1 takes 5e-4, which has no point, for a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
