"""Sizes as users write them: ``512m`` is 512 x 2^20 bytes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_FORM = re.compile(r"([0-9]{1,15})\s*([kmgt]?)b?", re.IGNORECASE)


def parse_size(value: Any) -> Any:
    """Parse ``1g`` or a number into bytes. Raises ValueError with the accepted forms."""
    if isinstance(value, str):
        match = _FORM.fullmatch(value.strip())
        if not match:
            raise ValueError("a size is a number of bytes, or a number with k, m, g or t, such as 512m")
        return int(match[1]) * _UNITS[match[2].lower()]
    return value


def show_size(size: int) -> str:
    """Format a number of bytes for people."""
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"


def size_schema(least: int, most: int) -> WithJsonSchema:
    """Return a size's OpenAPI schema, which can bound numbers but not texts."""
    number = {"type": "integer", "minimum": least, "maximum": most}
    text = {"type": "string", "pattern": r"^\s*[0-9]{1,15}\s*[KkMmGgTt]?[Bb]?\s*$"}
    return WithJsonSchema({"anyOf": [number, text]})


Size = Annotated[int, BeforeValidator(parse_size)]
