"""Options as an object, as keywords, or as both: one rule for every function that takes options."""

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from lar.errors import OptionError

Options = TypeVar("Options")


def merge_options(kind: type[Options], options: Options | None, keywords: Mapping[str, object]) -> Options:
    """The options of a call: `options`, or the defaults of the dataclass `kind`, with `keywords` in place.

    Raises:
        OptionError: `options` is no `kind`, a keyword is no field of it (the message names the nearest
            field), or a value is out of its range.
    """
    if options is None:
        options = kind()
    if not isinstance(options, kind):
        raise OptionError(f"options must be {kind.__name__} or None, not {type(options).__name__}")
    _check_names(keywords, [field.name for field in fields(options)])  # type: ignore[arg-type]
    changed: Any = replace(options, **keywords) if keywords else options  # type: ignore[type-var]
    return changed  # type: ignore[no-any-return]


def _check_names(keywords: Mapping[str, object], known: list[str]) -> None:
    """Raise OptionError for the first of `keywords` that is not `known`; the message names the nearest."""
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)  # in a file, a name may be a number
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(known)}"
            raise OptionError(f"{name!r} is no option; {hint}")
