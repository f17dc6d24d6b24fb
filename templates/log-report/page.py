"""The report's figures, chart and page."""

from __future__ import annotations

import base64
import math
from collections import Counter
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.dates
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from log_report import Tally

COLOURS = {"critical": "#7f1d1d", "error": "#dc2626", "warning": "#f59e0b", "info": "#93b4f5", "debug": "#d1d5db"}
STYLE = """
body { margin: 0; background: #f3f4f6; color: #111827; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 28px 56px; }
h1 { font-size: 30px; margin: 0; letter-spacing: -.015em; } h2 { font-size: 17px; margin: 32px 0 10px; }
.about { color: #6b7280; margin: 2px 0 0; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 14px; margin: 22px 0; }
.figures div, figure, .wide { background: #fff; border: 1px solid #e5e7eb; border-radius: 10px; }
.figures div { padding: 12px 16px; color: #6b7280; }
.figures b { display: block; font-size: 24px; line-height: 1.25; color: #111827; }
.figures .bad b { color: #dc2626; } .figures .warn b { color: #b45309; }
figure { margin: 0; padding: 10px; } img { display: block; width: 100%; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 0 20px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
td { padding: 7px 12px; border-top: 1px solid #e5e7eb; vertical-align: top; overflow-wrap: anywhere; }
tr:first-child td { border-top: 0; }
td.number { text-align: right; white-space: nowrap; width: 1%; font-variant-numeric: tabular-nums; }
td.bar { width: 22%; }
td.bar i { display: block; height: 9px; margin-top: 6px; border-radius: 4px; background: #93b4f5; }
code { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
ul { background: #fffbeb; border: 1px solid #fde68a;
  border-radius: 10px; padding: 12px 16px 12px 34px; margin: 16px 0; }
"""


def summary(tally: Tally, broken: list[str]) -> dict[str, Any]:
    """Return all figures of the report."""
    times = sorted(time for time, _ in tally.minutes)
    notes = list(broken)
    if tally.unknown_count:
        notes.append(f"Lines of no known form: {tally.unknown_count:,}. They are in no figure; examples stand below.")
    if tally.without_year:
        notes.append("Syslog lines have no year, so the latest possible year was used.")
    return {
        "files": tally.files,
        "lines": tally.lines,
        "entries": sum(tally.levels.values()),
        "first": times[0].isoformat() if times else None,
        "last": times[-1].isoformat() if times else None,
        "levels": dict(tally.levels.most_common()),
        "top_errors": _groups(tally.errors, tally.examples),
        "top_warnings": _groups(tally.warnings, tally.examples),
        "sources": _top(tally.sources, "source"),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "top_paths": _top(tally.paths, "path"),
        "failing_requests": _top(tally.failing, "request"),
        "top_clients": _top(tally.clients, "client"),
        "bytes_sent": tally.sent,
        "blank_lines": tally.blank,
        "continued_lines": tally.continued,
        "unknown_lines": tally.unknown_count,
        "unknown_examples": tally.unknown,
        "notes": notes,
    }


def _top(counter: Counter[str], name: str) -> list[dict[str, Any]]:
    return [{name: text, "count": count} for text, count in counter.most_common(10)]


def _groups(counter: Counter[str], examples: dict[str, str]) -> list[dict[str, Any]]:
    top = counter.most_common(10)
    return [{"message": text, "count": count, "example": examples.get(text, text)} for text, count in top]


def timeline(tally: Tally, path: Path) -> None:
    """Draw entries over time as stacked bars, by level."""
    times = [time for time, _ in tally.minutes]
    figure, axes = plt.subplots(figsize=(10, 3.6), dpi=130)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e5e7eb")
    if times:
        first, last = min(times), max(times)
        name, width = _period(last - first)
        bins: dict[str, Counter[int]] = {level: Counter() for level in COLOURS}
        for (time, level), count in tally.minutes.items():
            bins[level][math.floor(time.timestamp() / width)] += count
        shown = sorted({place for level in bins.values() for place in level})
        bottom = dict.fromkeys(shown, 0)
        for level in ("info", "debug", "warning", "error", "critical"):
            if bins[level]:
                starts = [datetime.fromtimestamp((place + 0.5) * width, first.tzinfo) for place in shown]
                heights = [bins[level][place] for place in shown]
                options = {"width": timedelta(seconds=width * 0.9), "color": COLOURS[level], "label": level}
                axes.bar(starts, heights, bottom=[bottom[place] for place in shown], **options)
                bottom = {place: bottom[place] + height for place, height in zip(shown, heights, strict=True)}
        axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.legend(frameon=False, ncols=5, loc="lower right", bbox_to_anchor=(1, 1), fontsize=9, borderaxespad=0.2)
        axes.set_title(f"Entries per {name} (UTC)", loc="left", fontsize=12, fontweight="bold", pad=12)
    else:
        levels = [level for level in COLOURS if tally.levels[level]]
        axes.bar(
            levels, [tally.levels[level] for level in levels], color=[COLOURS[level] for level in levels], width=0.6
        )
        axes.set_title("Entries by level (no line has a time)", loc="left", fontsize=12, fontweight="bold", pad=12)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _period(span: timedelta) -> tuple[str, int]:
    hours = span.total_seconds() / 3600
    if hours <= 3:
        return "minute", 60
    if hours <= 24 * 5:
        return "hour", 3600
    return "day", 86400


def render(report: dict[str, Any], chart: Path) -> str:
    """Return the whole page, with all text of the logs escaped."""
    levels = report["levels"]
    bad = levels.get("critical", 0) + levels.get("error", 0)
    figures = [
        ("", f"{report['entries']:,}", "entries"),
        ("bad" if bad else "", f"{bad:,}", "errors"),
        ("warn" if levels.get("warning") else "", f"{levels.get('warning', 0):,}", "warnings"),
    ]
    if report["statuses"]:
        total = sum(report["statuses"].values())
        failed = sum(count for status, count in report["statuses"].items() if status >= "500")
        figures += [("", f"{total:,}", "requests"), ("bad" if failed else "", f"{failed / total:.1%}", "of them 5xx")]
    shown = "".join(f'<div class="{kind}"><b>{figure}</b>{name}</div>' for kind, figure, name in figures)
    span = "no line has a time"
    if report["first"]:
        span = f"{report['first'][:16]} to {report['last'][:16]}".replace("T", " ") + " UTC"
    notes = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    image = base64.b64encode(chart.read_bytes()).decode()
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Log report</title>\n',
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n<main>\n<h1>Log report</h1>\n',
        f'<p class="about">{escape(", ".join(report["files"]))} · {span}</p>\n<div class="figures">{shown}</div>\n',
        f"<ul>{notes}</ul>\n" if notes else "",
        f'<figure><img alt="Entries over time" src="data:image/png;base64,{image}"></figure>\n',
        _table("Errors", report["top_errors"], "example"),
        _table("Warnings", report["top_warnings"], "example"),
        '<div class="two">\n',
        _section("Requests by status", [{"x": name, "count": n} for name, n in report["statuses"].items()], "x"),
        _section("Failing requests", report["failing_requests"], "request"),
        _section("Pages", report["top_paths"], "path"),
        _section("Clients", report["top_clients"], "client"),
        _section("Programs", report["sources"], "source"),
        "</div>\n",
        _table("Lines of no known form", [{"line": line} for line in report["unknown_examples"]], "line"),
        "</main>\n</html>\n",
    ]
    return "".join(parts)


def _section(title: str, rows: list[dict[str, Any]], name: str) -> str:
    return f"<section>{_table(title, rows, name, bars=True)}</section>\n" if rows else ""


def _table(title: str, rows: list[dict[str, Any]], name: str, bars: bool = False) -> str:
    if not rows:
        return ""
    most = max(row.get("count", 1) for row in rows)
    cells = []
    for row in rows:
        count = f'<td class="number">{row["count"]:,}</td>' if "count" in row else ""
        bar = f'<td class="bar"><i style="width:{100 * row["count"] / most:.1f}%"></i></td>' if bars else ""
        cells.append(f"<tr>{count}<td><code>{escape(str(row[name]))}</code></td>{bar}</tr>\n")
    return f'<h2>{title}</h2>\n<div class="wide"><table>{"".join(cells)}</table></div>\n'
