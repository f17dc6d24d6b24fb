"""Collects the facts about the columns of a table, row by row."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from reading import Note
from values import CODE, DATE_FORMS, MISSING, decimal_sign, english_months, has_decimal_comma, plain_number

#: Maximum different texts that are counted in a column, and that a chart uses.
DISTINCT, GROUPS = 50_000, 200
#: Cells of the first rows that show how numbers and dates are written.
TRIAL = 2000

SIMPLE = {False: re.compile(r"[+-]?\d+(?:\.\d+)?"), True: re.compile(r"[+-]?\d+")}
#: Columns whose digits are no quantity.
CODES = re.compile(
    r"(?:^|[_ ])(?:plz|postleitzahl|zip|zip ?code|postcode|telefon|tel|phone|iban|isbn|ean|gtin)\b", re.I
)
KEYS = re.compile(r"(?:^|[_ ])(?:id|no|nr|number|key|index)\.?$|nummer$|nr\.?$", re.I)
COUNTS = re.compile(r"qty|quantity|units|count|orders|visits|views|clicks|pieces|menge|anzahl|stück", re.I)
MONEY = re.compile(
    r"amount|total|revenue|sales|turnover|cost|profit|spend|income|expense|betrag|umsatz|summe|kosten|gewinn|erlös"
    r"|einnahme|ausgabe|netto|brutto",
    re.I,
)


@dataclass
class Column:
    """Facts about a column."""

    name: str
    kind: str = "text"  # number, date, text
    comma: bool = False
    forms: list[str] = field(default_factory=list)
    other_forms: int = 0
    notes: list[Note] = field(default_factory=list)
    missing: int = 0
    filled: int = 0
    odd: int = 0
    odd_example: str = ""
    far: int = 0
    far_example: str = ""
    span: tuple[pd.Timestamp, pd.Timestamp] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    overflow: bool = False
    total: float = 0.0
    squares: float = 0.0
    low: float | pd.Timestamp | None = None
    high: float | pd.Timestamp | None = None

    def decide(self, cells: pd.Series, file_comma: bool, certain: bool, day_first: bool) -> None:
        """Decide the kind from the cells of the first rows: the kind of nine cells in ten."""
        cells = cells[~cells.str.lower().isin(MISSING)].head(TRIAL)
        if cells.empty or CODES.search(self.name) or cells.str.fullmatch(CODE.pattern).mean() > 0.1:
            return
        found = has_decimal_comma(list(cells))
        self.comma = file_comma if found is None else found
        if numbers(cells, self.comma).notna().mean() >= 0.9:
            self.kind = "number"
            self._say_how(cells, found is None and not certain)
            return
        self._decide_date(cells.head(TRIAL // 4), day_first)

    def _decide_date(self, cells: pd.Series, day_first: bool) -> None:
        """Take the column for dates if nine cells in ten are. Cells may have several forms, the most frequent first."""
        shares = {form: dates(cells, form).notna().mean() for form in DATE_FORMS}
        forms = sorted(DATE_FORMS, key=lambda form: (-shares[form], ("%m/%d" in form) == day_first))
        times = all_dates(cells, forms).dt.tz_localize(None)
        if times.notna().mean() < 0.9:
            return
        self.kind, self.forms = "date", forms
        if forms[0].startswith(("%m/", "%d/")):
            order = "day/month/year" if forms[0].startswith("%d") else "month/day/year"
            self.notes.append(("{name}: dates were read as {order}.", {"name": self.name, "order": order}))
        year = times.median().year
        low, high = pd.Timestamp(max(1, year - 150), 1, 1), pd.Timestamp(min(9999, year + 150), 12, 31)
        if year >= 1950:  # the first day that spreadsheets know
            low = max(low, pd.Timestamp(1900, 1, 2))
        if ((times < low) | (times > high)).mean() > 0.1:  # so many are no placeholders, but year 1 and 9999 still are
            low, high = pd.Timestamp(2, 1, 1), pd.Timestamp(9998, 12, 31)
        self.span = (low, high)

    def _say_how(self, cells: pd.Series, guessed: bool) -> None:
        signs = Counter(sign for cell in cells if (sign := decimal_sign(cell)))
        if len(signs) > 1:
            text = "{name}: some numbers have a decimal comma, others a decimal point. Each was read by its own sign."
            self.notes.append((text, {"name": self.name}))
        grouped = cells[cells.str.fullmatch(r"[^\d]*[1-9]\d{0,2}[.,]\d{3}[^\d]*")]
        if guessed and len(grouped):
            sign = "," if self.comma else "."
            text = (
                "{name}: numbers such as {example!r} can be read in two ways. {sign!r} was taken for the decimal sign."
            )
            self.notes.append((text, {"name": self.name, "example": grouped.iloc[0], "sign": sign}))

    def add(self, cells: pd.Series) -> np.ndarray:
        """Add a chunk. Return its values, with NaN or NaT for missing values."""
        is_missing = cells.str.lower().isin(MISSING)
        self.missing += int(is_missing.sum())
        self.filled += int((~is_missing).sum())
        self._count(cells[~is_missing])
        if self.kind == "text" and len(self.counts) > GROUPS:
            return np.full(len(cells), "", dtype=object)  # no chart uses them
        if self.kind == "text":
            return cells.where(~is_missing, "").to_numpy(dtype=object)
        cells = cells.where(~is_missing, None)
        if self.kind == "number":
            values = numbers(cells, self.comma)
        else:
            values = all_dates(cells, self.forms)
            self.other_forms += int((values.notna() & dates(cells, self.forms[0]).isna()).sum())
        wrong = values.isna() & ~is_missing
        if wrong.any():
            self.odd += int(wrong.sum())
            self.odd_example = self.odd_example or str(cells[wrong].iloc[0])
        if self.kind == "date":
            values = values.dt.tz_localize(None)
        if self.span:
            far = (values < self.span[0]) | (values > self.span[1])
            if far.any():
                self.far += int(far.sum())
                self.far_example = self.far_example or str(cells[far].iloc[0])
                values = values.where(~far)
        good = values.dropna()
        if len(good):
            self.low = good.min() if self.low is None else min(self.low, good.min())
            self.high = good.max() if self.high is None else max(self.high, good.max())
            if self.kind == "number":
                self.total += float(good.sum())
                self.squares += float((good**2).sum())
        return values.to_numpy() if self.kind == "number" else values.to_numpy("datetime64[s]")

    def _count(self, cells: pd.Series) -> None:
        for text, count in cells.value_counts().items():
            if text in self.counts or len(self.counts) < DISTINCT:
                self.counts[text] += int(count)
            else:
                self.overflow = True

    def all_notes(self) -> list[Note]:
        """Return the remarks, after all rows were added."""
        found = list(self.notes)
        if self.odd:
            given: dict[str, object] = {"name": self.name, "example": self.odd_example[:60], "count": self.odd}
            kind = "numbers" if self.kind == "number" else "dates"
            found.append(
                (f"{{name}}: cells that are no {kind}, such as {{example!r}}: {{count}}. They were left out.", given)
            )
        if self.other_forms:
            text = "{name}: dates in another form than most: {count}. Each was read by its own form."
            found.append((text, {"name": self.name, "count": self.other_forms}))
        if self.far:
            text = (
                "{name}: dates far from all others, such as {example!r}: {count}. They were left out as placeholders."
            )
            found.append((text, {"name": self.name, "example": self.far_example, "count": self.far}))
        return found

    @property
    def valid(self) -> int:
        return self.filled - self.odd - self.far

    @property
    def is_key(self) -> bool:
        """Return whether the column numbers the rows instead of measuring something."""
        whole = self.kind != "number" or all(re.fullmatch(r"\d+", text) for text in list(self.counts)[:1000])
        return bool(KEYS.search(self.name)) and whole and len(self.counts) > 0.9 * min(self.filled, DISTINCT)

    @property
    def adds_up(self) -> bool:
        """Return whether a sum over rows makes sense, judged by the column's name."""
        return self.is_money or COUNTS.search(self.name) is not None

    @property
    def is_money(self) -> bool:
        """Return whether the column contains money, which is shown first."""
        return MONEY.search(self.name) is not None

    def summary(self, values: np.ndarray) -> dict[str, object]:
        found: dict[str, object] = {
            "name": self.name,
            "type": self.kind,
            "filled": self.filled,
            "missing": self.missing,
            "distinct": f"more than {DISTINCT}" if self.overflow else len(self.counts),
        }
        if self.kind == "text" or (len(self.counts) <= 20 and not self.overflow):
            found["most_frequent"] = [{"value": text[:200], "rows": n} for text, n in self.counts.most_common(5)]
        if self.odd:
            found["not_of_this_type"] = {"cells": self.odd, "example": self.odd_example[:200]}
        if self.far:
            found["placeholders"] = {"cells": self.far, "example": self.far_example}
        if self.kind == "number" and self.valid:
            mean = self.total / self.valid
            quartiles = np.nanpercentile(values, [25, 50, 75]) if np.isfinite(values).any() else [math.nan] * 3
            deviation = math.sqrt(max(0.0, self.squares / self.valid - mean**2) * self.valid / max(1, self.valid - 1))
            names = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum", "mean", "deviation", "sum")
            figures = (self.low, *quartiles, self.high, mean, deviation, self.total)
            found |= {name: float(f"{value:.10g}") for name, value in zip(names, figures, strict=True)}
        if self.kind == "date" and self.valid:
            found |= {"earliest": _day(self.low), "latest": _day(self.high)}
        return found


def numbers(cells: pd.Series, comma: bool) -> pd.Series:
    """Parse cells as numbers, with NaN for others."""
    plain = cells.where(cells.str.fullmatch(SIMPLE[comma].pattern).fillna(False).astype(bool))
    values = pd.to_numeric(plain, errors="coerce").astype("float64")  # most numbers have the format of programs
    others = cells[values.isna() & cells.notna()]
    if len(others):
        found = {text: plain_number(text, comma) for text in others.unique()}
        values[others.index] = others.map(lambda text: math.nan if found[text] is None else float(found[text]))
    return values.where(values.abs() < 1e100)  # larger ones cannot be summed


def dates(cells: pd.Series, form: str) -> pd.Series:
    """Parse cells as times in UTC, with NaT for others."""
    if form == "ISO8601":
        cells = cells.where(cells.str.match(r"\d{4}-\d\d").fillna(False).astype(bool), None)
    elif "%b" in form or "%B" in form:
        cells = cells.map(lambda text: english_months(text) if isinstance(text, str) else text)
    return pd.to_datetime(cells, format=form, errors="coerce", utc=True)


def all_dates(cells: pd.Series, forms: list[str]) -> pd.Series:
    """Parse cells as times in UTC by the first form that fits, with NaT for others."""
    values = dates(cells, forms[0])
    for form in forms[1:]:
        rest = cells[values.isna() & cells.notna()]
        if rest.empty:
            break
        values = values.fillna(dates(rest, form).reindex(cells.index))
    return values


def is_day_first(columns: list[list[str]]) -> bool | None:
    """Return whether dates such as 03/04/2024 begin with the day, or None if no cell shows it."""
    for cells in columns:
        for cell in cells:
            found = re.match(r"(\d{1,2})/(\d{1,2})/\d", cell)
            if found and (int(found[1]) > 12) != (int(found[2]) > 12):
                return int(found[1]) > 12
    return None


def _day(value: object) -> str:
    return str(value)[:19].removesuffix(" 00:00:00")
