"""Summarise CSV files: python csv_report.py [--title TEXT] [--delimiter CHAR] [--header auto|yes|no] FILE...

Writes report.html (one page, everything in it), summary.json, and the charts as PNG files in charts/.
"""

import argparse
import json
import math
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import charts
import numpy as np
import page
import pandas as pd
from tables import DATE_FORMATS, DELIMITERS, MISSING, ZEROS, Empty, Table, dates, decimal_comma, numbers, open_table

#: Maximum cells of numbers and dates kept for charts and quartiles. A larger table keeps every second row and so on.
KEPT_CELLS = 10_000_000
#: Maximum different texts counted in one column.
DISTINCT = 50_000


@dataclass
class Column:
    """Facts about a column, collected row by row."""

    name: str
    kind: str = "text"  # number, date, text
    form: str | bool = ""
    missing: int = 0
    filled: int = 0
    odd: int = 0
    odd_example: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    overflow: bool = False
    total: float = 0.0
    squares: float = 0.0
    low: float | pd.Timestamp | None = None
    high: float | pd.Timestamp | None = None
    kept: list[np.ndarray] = field(default_factory=list)

    def decide(self, cells: pd.Series, file_comma: bool) -> None:
        """Decide the kind from the cells of the first rows: the kind of nine cells in ten."""
        cells = cells[~cells.str.lower().isin(MISSING)]
        if cells.empty or (cells.str.fullmatch(ZEROS.pattern).mean() > 0.1):
            return
        found = decimal_comma(cells)
        comma = file_comma if found is None else found
        if numbers(cells, comma).notna().mean() >= 0.9:
            self.kind, self.form = "number", comma
            return
        trial = cells.head(2000)
        shares = {form: dates(trial, form).notna().mean() for form in DATE_FORMATS}
        best = max(shares, key=lambda form: shares[form])
        if shares[best] >= 0.9:
            self.kind, self.form = "date", best

    def add(self, cells: pd.Series) -> np.ndarray:
        """Add a chunk. Return its values, with NaN or NaT for missing values."""
        is_missing = cells.str.lower().isin(MISSING)
        self.missing += int(is_missing.sum())
        self.filled += int((~is_missing).sum())
        self._count(cells[~is_missing])
        if self.kind == "text" and len(self.counts) > charts.GROUPS:
            return np.full(len(cells), "", dtype=object)  # no chart uses them
        if self.kind == "text":
            return cells.where(~is_missing, "").to_numpy(dtype=object)
        cells = cells.where(~is_missing, None)
        values = numbers(cells, bool(self.form)) if self.kind == "number" else dates(cells, str(self.form))
        wrong = values.isna() & ~is_missing
        if wrong.any():
            self.odd += int(wrong.sum())
            self.odd_example = self.odd_example or str(cells[wrong].iloc[0])
        good = values.dropna()
        if len(good):
            self.low = good.min() if self.low is None else min(self.low, good.min())
            self.high = good.max() if self.high is None else max(self.high, good.max())
            if self.kind == "number":
                self.total += float(good.sum())
                self.squares += float((good**2).sum())
        return values.to_numpy() if self.kind == "number" else values.dt.tz_localize(None).to_numpy("datetime64[s]")

    def _count(self, cells: pd.Series) -> None:
        for text, count in cells.value_counts().items():
            if text in self.counts or len(self.counts) < DISTINCT:
                self.counts[text] += int(count)
            else:
                self.overflow = True

    @property
    def is_key(self) -> bool:
        """Return whether the column numbers the rows instead of measuring something."""
        named = re.search(r"(^|[_ ])(id|no|nr|number|key|index)$", self.name.lower()) is not None
        whole = self.kind != "number" or all(re.fullmatch(r"\d+", text) for text in list(self.counts)[:1000])
        return named and whole and len(self.counts) > 0.9 * min(self.filled, DISTINCT)

    @property
    def adds_up(self) -> bool:
        """Return whether a sum over rows makes sense, judged by the column's name."""
        words = r"qty|quantity|units|count|orders|visits|views|clicks|pieces|menge|anzahl|stück"
        return self.is_money or re.search(words, self.name.lower()) is not None

    @property
    def is_money(self) -> bool:
        """Return whether the column contains money, which is shown first."""
        words = r"amount|total|revenue|sales|turnover|cost|profit|spend|income|expense|betrag|umsatz|summe"
        return re.search(words, self.name.lower()) is not None

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
        valid = self.filled - self.odd
        if self.kind == "number" and valid:
            mean = self.total / valid
            quartiles = np.nanpercentile(values, [25, 50, 75]) if np.isfinite(values).any() else [math.nan] * 3
            deviation = math.sqrt(max(0.0, self.squares / valid - mean**2) * valid / max(1, valid - 1))
            names = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum", "mean", "deviation", "sum")
            figures = (self.low, *quartiles, self.high, mean, deviation, self.total)
            found |= {name: float(f"{value:.10g}") for name, value in zip(names, figures, strict=True)}
        if self.kind == "date" and valid:
            found |= {"earliest": _day(self.low), "latest": _day(self.high)}
        return found


@dataclass
class Report:
    """The facts about one file."""

    table: Table
    columns: list[Column]
    rows: int
    frame: pd.DataFrame
    stride: int
    preview: list[list[str]]
    drawn: list[charts.Chart] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        return {
            "file": self.table.path.name,
            "encoding": self.table.encoding,
            "delimiter": DELIMITERS.get(self.table.delimiter, self.table.delimiter),
            "header": self.table.has_header,
            "rows": self.rows,
            "columns": [column.summary(self.frame[column.name].to_numpy()) for column in self.columns],
            "notes": self.table.notes,
            "charts": [chart.path for chart in self.drawn],
        }


def profile(table: Table) -> Report:
    """Read a table once, in chunks."""
    columns = [Column(name) for name in table.names]
    parts: list[pd.DataFrame] = []
    rows, kept, stride, preview = 0, 0, 1, []
    for chunk in table.rows():
        by_column = zip(table.names, zip(*chunk, strict=True), strict=True)
        cells = {name: pd.Series(part, dtype=object).str.strip() for name, part in by_column}
        if not rows:
            preview = chunk[:10]
            signs = [sign for part in cells.values() if (sign := decimal_comma(part)) is not None]
            for column in columns:
                column.decide(cells[column.name], sum(signs) > len(signs) / 2)
        values = {column.name: column.add(cells[column.name]) for column in columns}
        frame = pd.DataFrame({name: pd.Series(part) for name, part in values.items()})
        parts.append(frame.iloc[(-rows) % stride :: stride])
        rows += len(chunk)
        kept += len(parts[-1])
        if kept * len(columns) > KEPT_CELLS:
            parts = [pd.concat(parts, ignore_index=True).iloc[::2]]
            stride, kept = stride * 2, len(parts[0])
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({name: [] for name in table.names})
    _notes(table, columns, rows, stride)
    return Report(table, columns, rows, frame, stride, preview)


def _notes(table: Table, columns: list[Column], rows: int, stride: int) -> None:
    if not rows:
        table.notes.append("It has a header and no rows.")
    if table.too_long:
        table.notes.append(f"Rows with more cells than the header: {table.too_long:,}. The rest was left out.")
    if table.too_short:
        table.notes.append(f"Rows with fewer cells than the header: {table.too_short:,}. The others count as missing.")
    for column in columns:
        if column.odd:
            kind = "numbers" if column.kind == "number" else "dates"
            example = column.odd_example[:60]
            table.notes.append(
                f"{column.name}: cells that are no {kind}, such as {example!r}: {column.odd:,}. They were left out."
            )
        if column.kind == "date" and column.form in ("%m/%d/%Y", "%m/%d/%y"):
            table.notes.append(f"{column.name}: dates were read as month/day/year.")
    if stride > 1:
        table.notes.append(f"Charts and quartiles are made of every {stride}th row; all other figures of all rows.")


def _day(value: object) -> str:
    text = str(value)[:19]
    return text.removesuffix(" 00:00:00")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--title", default="")
    parser.add_argument("--delimiter", default="auto", choices=["auto", *DELIMITERS.values()])
    parser.add_argument("--header", default="auto", choices=["auto", "yes", "no"])
    given = parser.parse_args()
    delimiter = next((sign for sign, name in DELIMITERS.items() if name == given.delimiter), "")
    reports, empty = [], []
    for path in given.files:
        try:
            report = profile(open_table(path, delimiter, given.header))
        except Empty:
            print(f"{path}: is empty, there is nothing to report")
            empty.append(path.name)
            continue
        prefix = f"{re.sub(r'[^A-Za-z0-9._-]+', '_', path.stem)[:60]}-" if len(given.files) > 1 else ""
        report.drawn = charts.draw(report, Path("charts"), f"{len(reports) + 1}-{prefix}" if prefix else "")
        kinds = Counter(column.kind for column in report.columns)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"{path}: {report.rows:,} rows, {len(report.columns)} columns ({told}), {len(report.drawn)} charts")
        for note in report.table.notes:
            print(f"  {note}")
        reports.append(report)
    if not reports:
        sys.exit("No file has anything in it.")
    title = given.title or (reports[0].table.path.name if len(reports) == 1 else f"{len(reports)} CSV files")
    summary = {"title": title, "files": [report.summary() for report in reports], "empty": empty}
    Path("summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
    Path("report.html").write_text(page.render(title, reports, empty), "utf-8")
    print("wrote report.html, summary.json and charts/")


if __name__ == "__main__":
    main()
