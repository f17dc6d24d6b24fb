"""The report as one self-contained HTML page with style and charts. All text is escaped."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tables import DELIMITERS

if TYPE_CHECKING:
    from csv_report import Report

STYLE = """
:root { color-scheme: light; --ink: #111827; --soft: #6b7280; --line: #e5e7eb; --blue: #2563eb; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f4f6; color: var(--ink); font: 15px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 28px 56px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 44px 0 4px; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 32px 0 10px; }
.about { color: var(--soft); margin: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin: 22px 0; }
.figures div { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px;
  color: var(--soft); }
.figures b { display: block; font-size: 24px; line-height: 1.25;
  color: var(--ink); font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; align-items: start; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 10px;
  break-inside: avoid; }
img { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 8px 12px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); max-width: 320px;
  overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { text-align: right; }
.kind { color: var(--blue); white-space: nowrap; }
.none { color: #9ca3af; }
ul.notes { background: #fffbeb; border: 1px solid #fde68a; border-radius: 10px; margin: 16px 0;
  padding: 12px 16px 12px 34px; }
@media print { body { background: #fff; } main { padding: 0; max-width: none; } }
@media (max-width: 520px) { .charts { grid-template-columns: 1fr; } main { padding: 24px 14px; } }
"""


def render(title: str, reports: list[Report], empty: list[str]) -> str:
    """Return the whole page."""
    parts = [
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n',
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n',
        f"<main>\n<h1>{escape(title)}</h1>\n",
    ]
    for report in reports:
        if len(reports) > 1 or report.table.path.name != title:
            parts.append(f"<h2>{escape(report.table.path.name)}</h2>\n")
        parts.append(_file(report))
    if empty:
        parts.append(f'<ul class="notes"><li>Empty, so left out: {escape(", ".join(empty))}.</li></ul>\n')
    return "".join([*parts, "</main>\n</html>\n"])


def _file(report: Report) -> str:
    table, cells = report.table, report.rows * len(report.columns)
    missing = sum(column.missing for column in report.columns)
    sign = DELIMITERS.get(table.delimiter, table.delimiter)
    figures = [
        (f"{report.rows:,}", "row" if report.rows == 1 else "rows"),
        (f"{len(report.columns):,}", "column" if len(report.columns) == 1 else "columns"),
        (f"{missing:,}", f"missing cells ({missing / cells:.1%})" if cells else "missing cells"),
        (_size(table.path.stat().st_size), "on disk"),
    ]
    shown = "".join(f"<div><b>{escape(figure)}</b>{escape(name)}</div>" for figure, name in figures)
    parts = [
        f'<p class="about">{escape(table.encoding)}, columns divided by {escape(sign)}</p>\n',
        f'<div class="figures">{shown}</div>\n',
    ]
    if table.notes:
        parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in table.notes)}</ul>\n')
    images = "".join(
        f'<figure><img alt="{escape(chart.title)}" src="data:image/png;base64,{_base64(chart.path)}"></figure>\n'
        for chart in report.drawn
    )
    parts.append(f'<div class="charts">\n{images}</div>\n')
    parts.append(f"<h3>Columns</h3>\n{_columns(report)}")
    if report.preview:
        heads = "".join(f"<th>{escape(name)}</th>" for name in table.names)
        rows = "".join(f"<tr>{_preview(row)}</tr>\n" for row in report.preview)
        head = f"<thead><tr>{heads}</tr></thead>"
        parts.append(f'<h3>First rows</h3>\n<div class="wide"><table>{head}\n<tbody>{rows}</tbody></table></div>\n')
    return "".join(parts)


def _columns(report: Report) -> str:
    heads = ["column", "type", "missing", "distinct", "lowest", "median", "mean", "highest", "most frequent"]
    numeric = {"missing", "distinct", "lowest", "median", "mean", "highest"}
    rows = []
    for column in report.columns:
        found = column.summary(report.frame[column.name].to_numpy())
        frequent = found.get("most_frequent") or []
        cells = [
            escape(column.name),
            f'<span class="kind">{escape(column.kind)}</span>',
            f"{column.missing:,}" if column.missing else _none("0"),
            escape(f"{found['distinct']:,}" if isinstance(found["distinct"], int) else str(found["distinct"])),
            _cell(found.get("minimum", found.get("earliest"))),
            _cell(None if column.is_key else found.get("median")),
            _cell(None if column.is_key else found.get("mean")),
            _cell(found.get("maximum", found.get("latest"))),
            escape(", ".join(f"{item['value'][:40]} ({item['rows']:,})" for item in frequent[:3])) or _none(),
        ]
        sides = [' class="number"' if head in numeric else "" for head in heads]
        shown = (f"<td{side}>{cell}</td>" for side, cell in zip(sides, cells, strict=True))
        rows.append(f"<tr>{''.join(shown)}</tr>\n")
    head = "".join(f'<th class="number">{name}</th>' if name in numeric else f"<th>{name}</th>" for name in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table></div>\n'


def _preview(row: list[str]) -> str:
    return "".join(f"<td>{escape(cell[:200]) or _none()}</td>" for cell in row)


def _cell(value: object) -> str:
    if value is None:
        return _none()
    if not isinstance(value, float):
        return escape(str(value))
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def _none(text: str = "–") -> str:
    return f'<span class="none">{text}</span>'


def _base64(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
