"""The report's figures, chart and page."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import look
import matplotlib.dates
import matplotlib.pyplot as plt
from drawing import DARK, Colours, draw_twice
from language import Language
from words import GERMAN

if TYPE_CHECKING:
    from log_files import Note
    from log_report import Durations, Tally

__all__ = ["GERMAN", "render", "summary", "timeline"]

COLOURS = {"critical": "#7f1d1d", "error": "#dc2626", "warning": "#f59e0b", "info": "#93b4f5", "debug": "#d1d5db"}
ON_DARK = {"critical": "#fca5a5", "error": "#ef4444", "warning": "#d97706", "info": "#3d5f9e", "debug": "#4b5563"}
STYLE = """
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(400px, 100%), 1fr)); gap: 0 20px; }
h2 { font-size: 17px; margin: 32px 0 10px; }
td { max-width: none; } tr:first-child td { border-top: 0; }
td.number { width: 1%; } td.bar { width: 22%; }
td.bar i { display: block; height: 9px; margin-top: 6px; border-radius: 4px; background: var(--bar); }
td small { display: block; color: var(--soft); }
"""

#: Whole numbers at the end of access lines: above this, they are microseconds rather than seconds.
SECONDS = 1000

#: The periods of the timeline: the longest span in hours, the name and the seconds.
PERIODS = [(3, "minute", 60), (24 * 5, "hour", 3600), (24 * 200, "day", 86_400), (24 * 1500, "week", 604_800)]


def summary(tally: Tally, remarks: list[Note], say: Language) -> dict[str, Any]:
    """Return all figures of the report."""
    times = sorted(time for time, _ in tally.minutes)
    notes, durations = [say(told, **values) for told, values in remarks], tally.durations
    if tally.unknown_count:
        told = "Lines of no known form: {count}. They are in no figure; examples stand below."
        notes.append(say(told, count=tally.unknown_count))
    if tally.without_year:
        notes.append(say("Some lines have a time without a year, so the latest possible year was used."))
    if tally.odd_times:
        told = "Times that cannot be right, such as {example}: {count}. The timeline leaves them out."
        notes.append(say(told, example=tally.odd_time, count=tally.odd_times))
    if not durations.counts and tally.numbers.counts:
        small = tally.numbers.longest < SECONDS
        durations = tally.numbers.scaled(1 if small else 1e-6)
        unit = "seconds (Apache's %T)" if small else "microseconds (Apache's %D)"
        notes.append(say(f"The number at the end of the access lines was read as {unit}."))
    return {
        "language": say.code,
        "files": tally.files,
        "forms": dict(tally.forms.most_common()),
        "lines": tally.lines,
        "entries": sum(tally.levels.values()),
        "first": times[0].isoformat() if times else None,
        "last": times[-1].isoformat() if times else None,
        "levels": dict(tally.levels.most_common()),
        "top_errors": _groups(tally.errors, tally.examples),
        "top_warnings": _groups(tally.warnings, tally.examples),
        "exceptions": _groups(tally.exceptions, tally.examples),
        "sources": _top(tally.sources, "source"),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "top_paths": _top(tally.paths, "path"),
        "failing_requests": _top(tally.failing, "request"),
        "top_clients": _top(tally.clients, "client"),
        "user_agents": _top(tally.agents, "agent"),
        "bytes_sent": tally.weights.total(),
        "bytes_by_path": [{"path": path, "bytes": size} for path, size in tally.weights.most_common(10) if size],
        "durations": _durations(durations),
        "slowest_paths": _slowest(durations),
        "blank_lines": tally.blank,
        "header_lines": tally.headers,
        "continued_lines": tally.continued,
        "unknown_lines": tally.unknown_count,
        "unknown_examples": tally.unknown,
        "times_left_out": tally.odd_times,
        "notes": notes,
    }


def _top(counter: Counter[str], name: str) -> list[dict[str, Any]]:
    return [{name: text, "count": count} for text, count in counter.most_common(10)]


def _groups(counter: Counter[str], examples: dict[str, str]) -> list[dict[str, Any]]:
    top = counter.most_common(10)
    return [{"message": text, "count": count, "example": examples.get(text, text)} for text, count in top]


def _durations(durations: Durations) -> dict[str, Any] | None:
    """Return the figures of how long requests took, in seconds, or None if no line says it."""
    if not durations.counts:
        return None
    shares = {name: durations.share(part) for name, part in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {"requests": durations.counts.total(), **shares, "longest": durations.longest}


def _slowest(durations: Durations) -> list[dict[str, Any]]:
    rows = [
        {"path": path, "count": int(count), "mean": total / count, "longest": longest}
        for path, (count, total, longest) in durations.paths.items()
    ]
    return sorted(rows, key=lambda row: -row["mean"])[:10]


# ── the chart ────────────────────────────────────────────────────────────────────────────────────────────────────────


def timeline(tally: Tally, say: Language) -> tuple[bytes, bytes]:
    """Draw entries over time as stacked bars, by level, for light and for dark pages. Returns two PNG images."""

    def draw(colours: Colours) -> None:
        levels = ON_DARK if colours is DARK else COLOURS
        _, axes = plt.subplots(figsize=(10, 3.6))
        axes.grid(axis="x", visible=False)
        if tally.minutes:
            _draw_times(axes, tally, levels, say)
        else:
            there = [level for level in levels if tally.levels[level]]
            heights, tints = [tally.levels[level] for level in there], [levels[level] for level in there]
            axes.bar([say(level) for level in there], heights, color=tints, width=0.6)
            axes.set_title(say("Entries by level (no line has a time)"), pad=12)
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: say.number(value, ",.0f")))

    return draw_twice(draw)


def _draw_times(axes: Any, tally: Tally, colours: dict[str, str], say: Language) -> None:
    times = [time for time, _ in tally.minutes]
    first, last = min(times), max(times)
    name, width = _period(last - first)
    bins: dict[str, Counter[int]] = {level: Counter() for level in colours}
    for (time, level), count in tally.minutes.items():
        bins[level][math.floor(time.timestamp() / width)] += count
    shown = sorted({place for level in bins.values() for place in level})
    bottom = dict.fromkeys(shown, 0)
    starts = [datetime.fromtimestamp((place + 0.5) * width, first.tzinfo) for place in shown]
    for level in ("info", "debug", "warning", "error", "critical"):
        if bins[level]:
            heights = [bins[level][place] for place in shown]
            options = {"width": timedelta(seconds=width * 0.9), "color": colours[level], "label": say(level)}
            axes.bar(starts, heights, bottom=[bottom[place] for place in shown], **options)
            bottom = {place: bottom[place] + height for place, height in zip(shown, heights, strict=True)}
    formatter = matplotlib.dates.ConciseDateFormatter(axes.xaxis.get_major_locator())
    if say.code == "de":
        formatter.formats[1:3] = formatter.zero_formats[2:4] = ["%m.%Y", "%d.%m."]
        formatter.offset_formats[2:] = ["%m.%Y", "%d.%m.%Y", "%d.%m.%Y", "%d.%m.%Y %H:%M"]
    axes.xaxis.set_major_formatter(formatter)
    axes.legend(frameon=False, ncols=5, loc="lower right", bbox_to_anchor=(1, 1), fontsize=9, borderaxespad=0.2)
    axes.set_title(say("Entries per {period} (UTC)", period=say(name)), pad=12)


def _period(span: timedelta) -> tuple[str, int]:
    """Return the name and the seconds of the period that a bar of the timeline stands for."""
    hours = span.total_seconds() / 3600
    return next(((name, seconds) for most, name, seconds in PERIODS if hours <= most), ("year", 31_557_600))


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def render(report: dict[str, Any], light: bytes, dark: bytes, say: Language) -> str:
    """Return the whole page, with all text of the logs escaped."""
    span = say("no line has a time")
    if report["first"]:
        first, last = (datetime.fromisoformat(report[name]) for name in ("first", "last"))
        span = say("{first} to {last} UTC", first=say.date(first), last=say.date(last))
    shown = "".join(
        f'<div class="{kind}"><b>{figure}</b>{escape(name)}</div>' for kind, figure, name in _figures(report, say)
    )
    counted = {
        "Requests by status": [{"x": name, "count": count} for name, count in report["statuses"].items()],
        "Failing requests": report["failing_requests"],
        "Pages": report["top_paths"],
        "Bytes by page": report["bytes_by_path"],
        "Slowest pages": report["slowest_paths"],
        "Clients": report["top_clients"],
        "User agents": report["user_agents"],
        "Programs": report["sources"],
        "Forms": [{"x": name, "count": count} for name, count in report["forms"].items()],
    }
    sections = "".join(
        f"<section>{_table(say(title), rows, say, bars=True)}</section>\n" for title, rows in counted.items() if rows
    )
    body = [
        f'<p class="about">{escape(", ".join(report["files"]))} · {escape(span)}</p>\n',
        f'<div class="figures">{shown}</div>\n',
        look.notes(report["notes"]),
        look.picture(light, dark, say("Entries over time")),
        _table(say("Errors"), report["top_errors"], say),
        _table(say("Warnings"), report["top_warnings"], say),
        _table(say("Exceptions"), report["exceptions"], say),
        f'<div class="two">\n{sections}</div>\n',
        _table(say("Lines of no known form"), [{"line": line} for line in report["unknown_examples"]], say),
    ]
    return look.page(say("Log report"), say.code, "".join(body), STYLE)


def _figures(report: dict[str, Any], say: Language) -> list[tuple[str, str, str]]:
    """Return the most important figures, each with its class and its name."""
    levels = report["levels"]
    bad, warnings = levels.get("critical", 0) + levels.get("error", 0), levels.get("warning", 0)
    found = [
        ("", say.number(report["entries"]), say("entries")),
        ("bad" if bad else "", say.number(bad), say("errors")),
        ("warn" if warnings else "", say.number(warnings), say("warnings")),
    ]
    if report["statuses"]:
        total = sum(report["statuses"].values())
        failed = sum(count for status, count in report["statuses"].items() if status >= "500")
        found.append(("", say.number(total), say("requests")))
        found.append(("bad" if failed else "", say.number(100 * failed / total, ".1f") + " %", say("of them 5xx")))
    if report["bytes_sent"]:
        found.append(("", _size(report["bytes_sent"], say), say("sent")))
    if durations := report["durations"]:
        for name, title in (("median", "median duration"), ("p95", "95 % are faster"), ("longest", "longest request")):
            found.append(("", _duration(durations[name], say), say(title)))
    return found


def _duration(seconds: float, say: Language) -> str:
    if seconds < 1:
        return f"{say.number(seconds * 1000, ',.3g' if seconds < 0.1 else ',.0f')} ms"
    return f"{say.number(seconds, ',.2f' if seconds < 60 else ',.0f')} s"


def _size(size: float, say: Language) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{say.number(size, ',.0f' if unit == 'B' else ',.1f')} {unit}"
        size /= 1000
    return f"{say.number(size, ',.1f')} TB"


def _table(title: str, rows: list[dict[str, Any]], say: Language, bars: bool = False) -> str:
    """Return a table of texts. Each row has a figure: a count, bytes, or a mean duration."""
    if not rows:
        return ""
    figure = next((name for name in ("mean", "bytes", "count") if name in rows[0]), "")
    most = max(row.get(figure, 0) for row in rows) or 1
    cells = []
    for row in rows:
        text = next(str(value) for name, value in row.items() if isinstance(value, str) and name != "message")
        shown = {"mean": _duration, "bytes": _size, "count": lambda count, say: say.number(count)}.get(figure)
        number = f'<td class="number">{shown(row[figure], say)}</td>' if shown else ""
        more = ""
        if figure == "mean":
            told = say(
                "{count} requests, longest {longest}", count=row["count"], longest=_duration(row["longest"], say)
            )
            more = f"<small>{escape(told)}</small>"
        bar = f'<td class="bar"><i style="width:{100 * row[figure] / most:.1f}%"></i></td>' if bars else ""
        cells.append(f"<tr>{number}<td><code>{escape(text)}</code>{more}</td>{bar}</tr>\n")
    return f'<h2>{escape(title)}</h2>\n<div class="wide"><table>{"".join(cells)}</table></div>\n'
