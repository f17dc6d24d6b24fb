"""What tokens cost: the table in prices.toml."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field


class Price(BaseModel):
    """USD for a million tokens, from a day on."""

    model: str
    taken: date
    since: date = Field(date.min, alias="from")
    input: float = Field(ge=0)
    output: float = Field(ge=0)


@cache
def prices() -> tuple[Price, ...]:
    """All rows of the table, the latest first."""
    rows = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())["price"]
    return tuple(sorted((Price(**row) for row in rows), key=lambda price: price.since, reverse=True))


def cost(model: str, tokens_in: int, tokens_out: int, day: date | None = None) -> float | None:
    """USD for so many tokens on a day (today); None for a model without a price.

    A name may have the provider before it, as gateways do, and the day of its version after it, as OpenAI does.
    """
    plain = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model.removeprefix("models/").rsplit("/", 1)[-1])
    day = day or datetime.now(UTC).date()
    for price in prices():
        if price.model == plain and price.since <= day:
            return (tokens_in * price.input + tokens_out * price.output) / 1_000_000
    return None
