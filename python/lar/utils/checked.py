"""Dataclasses of options whose values are checked against their annotations, by pydantic."""

from functools import cache
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, get_type_hints

from lar.errors import OptionError

if TYPE_CHECKING:
    from pydantic import BaseModel


def check_fields(options: Any) -> None:
    """Check every field of a dataclass's instance against its annotation; call it from `__post_init__`.

    Annotations may use pydantic's types, such as PositiveInt. Types are strict: neither "1" nor True is an
    integer. An integer becomes a float where the field is one, and numbers are finite.

    Raises:
        OptionError: a value of another type, or out of its range; the message names the field.
    """
    from pydantic import ValidationError

    kind: Any = type(options)
    try:
        checked = _model(kind).model_validate(vars(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wanted = first["msg"].replace("Input should be", "must be").replace("valid tuple", "valid list")
        message = f"{first['loc'][0]} {wanted}, not {shortened(first['input'])}"
        raise OptionError(" ".join(message.split())) from None
    vars(options).update(checked)


@cache
def _model(kind: Any) -> "type[BaseModel]":
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {
        name: (hint, ...) for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    return create_model("Checked", __config__=ConfigDict(strict=True, allow_inf_nan=False), **fields)
