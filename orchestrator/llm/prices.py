"""Token prices from prices.toml."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field


class Price(BaseModel):
    """USD per million tokens, valid from a day on."""

    model: str
    taken: date
    since: date = Field(date.min, alias="from")
    input: float = Field(ge=0)
    output: float = Field(ge=0)


@cache
def prices() -> tuple[Price, ...]:
    """Return all rows of the table, latest first."""
    rows = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())["price"]
    return tuple(sorted((Price(**row) for row in rows), key=lambda price: price.since, reverse=True))


def cost(model: str, tokens_in: int, tokens_out: int, day: date | None = None) -> float | None:
    """Return the cost in USD on a day (today), or None for a model without a price.

    A name may have a provider prefix, as gateways use, and a version date, as OpenAI uses.
    """
    plain = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model.removeprefix("models/").rsplit("/", 1)[-1])
    day = day or datetime.now(UTC).date()
    for price in prices():
        if price.model == plain and price.since <= day:
            return (tokens_in * price.input + tokens_out * price.output) / 1_000_000
    return None
