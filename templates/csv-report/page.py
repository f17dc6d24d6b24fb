"""The report as one HTML page. All text is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import look
import pandas as pd
from dialect import DELIMITERS
from language import Language

if TYPE_CHECKING:
    from csv_report import Report


def render(title: str, reports: list[Report], refused: Mapping[str, str], say: Language) -> str:
    """Return the whole page."""
    parts = []
    for report in reports:
        if len(reports) > 1 or report.table.name != title:
            parts.append(f"<h2>{escape(report.table.name)}</h2>\n")
        parts.append(_table(report, say))
    parts.append(look.notes([f"{name}: {why} {say('It was left out.')}" for name, why in refused.items()]))
    return look.page(title, say.code, "".join(parts))


def _table(report: Report, say: Language) -> str:
    table, cells = report.table, report.rows * len(report.columns)
    missing = sum(column.missing for column in report.columns)
    share = f" ({say.number(100 * missing / cells, '.1f')} %)" if cells else ""
    about = [table.title, table.encoding if table.encoding != "workbook" else say("workbook")]
    if table.delimiter:
        about.append(say("columns divided by: {sign}", sign=say(DELIMITERS.get(table.delimiter, table.delimiter))))
    figures = [
        (say.number(report.rows), say("row" if report.rows == 1 else "rows")),
        (say.number(len(report.columns)), say("column" if len(report.columns) == 1 else "columns")),
        (say.number(missing), say("missing cells") + share),
        (_size(table.path.stat().st_size, say), say("on disk")),
    ]
    parts = [f'<p class="about">{escape(" · ".join(filter(None, about)))}</p>\n', look.figures(figures)]
    parts.append(look.notes(report.notes))
    images = "".join(look.picture(Path(chart.path).read_bytes(), chart.dark, chart.title) for chart in report.drawn)
    parts.append(f'<div class="charts">\n{images}</div>\n')
    parts.append(f"<h3>{say('Columns')}</h3>\n{_columns(report, say)}")
    if report.preview:
        heads = "".join(f"<th>{escape(name)}</th>" for name in table.names)
        rows = "".join(f"<tr>{_preview(row)}</tr>\n" for row in report.preview)
        head = f"<thead><tr>{heads}</tr></thead>"
        parts.append(
            f'<h3>{say("First rows")}</h3>\n<div class="wide"><table>{head}\n<tbody>{rows}</tbody></table></div>\n'
        )
    return "".join(parts)


def _columns(report: Report, say: Language) -> str:
    heads = ["column", "type", "missing", "distinct", "lowest", "median", "mean", "highest", "sum", "most frequent"]
    numeric = {"missing", "distinct", "lowest", "median", "mean", "highest", "sum"}
    rows = []
    for column in report.columns:
        found = column.summary(report.frame[column.name].to_numpy())
        frequent = found.get("most_frequent") or []
        distinct = found["distinct"]
        cells = [
            escape(column.name),
            f'<span class="kind">{escape(say(column.kind))}</span>',
            say.number(column.missing) if column.missing else _none("0"),
            say.number(distinct) if isinstance(distinct, int) else f"&gt; {say.number(len(column.counts))}",
            _cell(column.low if column.valid else None, say),
            _cell(None if column.is_key else found.get("median"), say),
            _cell(None if column.is_key else found.get("mean"), say),
            _cell(column.high if column.valid else None, say),
            _cell(found.get("sum") if column.adds_up else None, say),
            escape(", ".join(f"{item['value'][:40]} ({say.number(item['rows'])})" for item in frequent[:3])) or _none(),
        ]
        sides = [' class="number"' if head in numeric else "" for head in heads]
        shown = (f"<td{side}>{cell}</td>" for side, cell in zip(sides, cells, strict=True))
        rows.append(f"<tr>{''.join(shown)}</tr>\n")
    head = "".join(f'<th class="number">{say(h)}</th>' if h in numeric else f"<th>{say(h)}</th>" for h in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table></div>\n'


def _preview(row: list[str]) -> str:
    return "".join(f"<td>{escape(cell[:200]) or _none()}</td>" for cell in row)


def _cell(value: object, say: Language) -> str:
    if value is None:
        return _none()
    if isinstance(value, pd.Timestamp):
        return escape(say.date(value))
    number = float(f"{value:.10g}") if isinstance(value, float) else float(str(value))
    if number == int(number):
        return say.number(number, ",.0f")
    return say.number(number, ",.2f" if abs(number) >= 1 else ".4g")


def _none(text: str = "–") -> str:
    return f'<span class="none">{text}</span>'


def _size(size: float, say: Language) -> str:
    for unit in (say("bytes"), "KB", "MB"):
        if size < 1000:
            return f"{say.number(size, '.3g')} {unit}"
        size /= 1000
    return f"{say.number(size, '.3g')} GB"
