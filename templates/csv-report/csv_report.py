"""Summarise tables: python scripts/csv_report.py FILE... (--help lists the options)

Reads CSV files and the sheets of workbooks. Writes report.html (one page, everything in it), summary.json, and the
charts as PNG files in charts/. The report is German if the data are, otherwise English.
"""

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import charts
import page
import pandas as pd
from columns import Column, is_day_first
from dialect import DELIMITERS
from language import Language
from tables import NoTable, Table, open_tables
from values import has_decimal_comma
from words import GERMAN

#: Maximum cells of numbers and dates kept for charts and quartiles. A larger table keeps every second row and so on.
KEPT_CELLS = 10_000_000
#: Maximum tables of a report, and charts of a table: many tables get fewer charts each.
TABLES, CHARTS = 40, 9


@dataclass
class Report:
    """The facts about one table."""

    table: Table
    columns: list[Column]
    rows: int
    frame: pd.DataFrame
    stride: int
    preview: list[list[str]]
    notes: list[str] = field(default_factory=list)
    drawn: list[charts.Chart] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        sheet = {"sheet": self.table.source.sheet} if self.table.source.sheet else {}
        return {
            "file": self.table.path.name,
            **sheet,
            "encoding": self.table.encoding,
            "delimiter": DELIMITERS.get(self.table.delimiter, self.table.delimiter),
            "header": self.table.has_header,
            "rows": self.rows,
            "columns": [column.summary(self.frame[column.name].to_numpy()) for column in self.columns],
            "notes": self.notes,
            "charts": [chart.path for chart in self.drawn],
        }


def profile(table: Table) -> Report:
    """Read a table in chunks."""
    columns = [Column(name) for name in table.names]
    parts: list[pd.DataFrame] = []
    rows, kept, stride, preview = 0, 0, 1, []
    for chunk in table.rows():
        by_column = [list(part) for part in zip(*chunk, strict=True)]
        cells = {
            name: pd.Series(part, dtype=object).str.strip() for name, part in zip(table.names, by_column, strict=True)
        }
        if not rows:
            preview = chunk[:10]
            _decide(table, columns, cells, by_column)
        values = {column.name: column.add(cells[column.name]) for column in columns}
        frame = pd.DataFrame({name: pd.Series(part) for name, part in values.items()})
        parts.append(frame.iloc[(-rows) % stride :: stride])
        rows += len(chunk)
        kept += len(parts[-1])
        if kept * len(columns) > KEPT_CELLS:
            parts = [pd.concat(parts, ignore_index=True).iloc[::2]]
            stride, kept = stride * 2, len(parts[0])
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({name: [] for name in table.names})
    return Report(table, columns, rows, frame, stride, preview)


def _decide(table: Table, columns: list[Column], cells: dict[str, pd.Series], by_column: list[list[str]]) -> None:
    """Decide the kinds of all columns. A column without evidence of its own follows the others, then the language."""
    signs = [
        sign for part in by_column if (sign := has_decimal_comma([cell.strip() for cell in part[:2000]])) is not None
    ]
    comma = sum(signs) > len(signs) / 2 if signs else table.language == "de"
    day_first = is_day_first(by_column)
    if day_first is None and any(re.match(r"\d+/\d+/\d", cell) for part in by_column for cell in part[:5]):
        later = (is_day_first([list(part) for part in zip(*chunk, strict=True)]) for chunk in table.rows())
        day_first = next((found for found in later if found is not None), comma)
    for column in columns:
        column.decide(cells[column.name], comma, bool(signs), bool(day_first))


def remarks(report: Report, say: Language) -> list[str]:
    """Return all remarks on a table in the language of the report."""
    found = report.table.all_notes()
    if not report.rows:
        found.append(("It has a header and no rows.", {}))
    for column in report.columns:
        found += column.all_notes()
    if report.stride > 1:
        text = "Charts and quartiles are made of every {count}th row; all other figures of all rows."
        found.append((text, {"count": report.stride}))
    return [
        say(text, **{name: say(value) if name == "order" else value for name, value in given.items()})
        for text, given in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--title", default="")
    parser.add_argument("--delimiter", default="auto", choices=["auto", *DELIMITERS.values()])
    parser.add_argument("--header", default="auto", choices=["auto", "yes", "no"])
    parser.add_argument("--language", default="auto", choices=["auto", "en", "de"])
    given = parser.parse_args()
    delimiter = next((sign for sign, name in DELIMITERS.items() if name == given.delimiter), "")
    tables: list[Table] = []
    refused: dict[str, str] = {}
    for path in given.files:
        try:
            tables += open_tables(path, delimiter, given.header, given.language)
        except NoTable as error:
            refused[path.name] = str(error)
    if not tables:
        told = [f"{name}: {why}" for name, why in refused.items()]
        sys.exit("\n".join([*told, "There is no table to report on. Send a CSV file or a workbook (xlsx, xls, ods)."]))
    german = sum(table.language == "de" for table in tables)
    say = Language("de" if 2 * german > len(tables) else "en", GERMAN)
    for name, why in refused.items():
        print(f"{name}: {why} {say('It was left out.')}")
    left_out = [table.name for table in tables[TABLES:]]
    reports = [make(table, number, min(len(tables), TABLES), say) for number, table in enumerate(tables[:TABLES], 1)]
    title = given.title or (
        reports[0].table.path.name if len(given.files) == 1 else say("{count} tables", count=len(tables))
    )
    if left_out:
        refused |= dict.fromkeys(left_out, say("It is beyond the first {count} tables.", count=TABLES))
    summary = {
        "title": title,
        "language": say.code,
        "files": [report.summary() for report in reports],
        "refused": refused,
    }
    Path("summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
    Path("report.html").write_text(page.render(title, reports, refused, say), "utf-8")
    print(say("The report is in report.html, its figures in summary.json and its charts in charts/."))


def make(table: Table, number: int, count: int, say: Language) -> Report:
    """Read a table, draw its charts and print the facts."""
    report = profile(table)
    report.notes = remarks(report, say)
    prefix = f"{number}-{re.sub(r'[^A-Za-z0-9._-]+', '_', table.name)[:60]}-" if count > 1 else ""
    report.drawn = charts.draw(report, Path("charts"), prefix, CHARTS if count <= 4 else 3, say)
    kinds = Counter(say(column.kind) for column in report.columns)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    size = f"{say('{count} rows', count=report.rows)}, {say('{count} columns', count=len(report.columns))}"
    print(f"{table.name}: {size} ({told})")
    for note in report.notes:
        print(f"  {note}")
    return report


if __name__ == "__main__":
    main()
