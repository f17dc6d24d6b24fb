"""The charts of a table: its numbers over time, by category, and their distribution."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.dates
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from csv_report import Column, Report

#: Maximum days of a chart, the pandas period of one point, and its name.
PERIODS = [(2, "h", "hour"), (62, "D", "day"), (200, "W", "week"), (9000, "M", "month"), (10**9, "Y", "year")]
#: Maximum different texts of a category column.
GROUPS = 200

INK, BLUE, SOFT, GRID = "#1f2937", "#2563eb", "#93b4f5", "#e5e7eb"

matplotlib.use("Agg")
warnings.filterwarnings("ignore", message="Glyph")  # the font lacks the script of a name and shows boxes
plt.rcParams |= {
    "text.parse_math": False,  # $ means a dollar
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": INK,
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "figure.figsize": (7, 3.9),
    "savefig.dpi": 130,
}


@dataclass
class Chart:
    """A chart as a file, and a description in words."""

    path: str
    title: str


class _Drawing:
    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.charts: list[Chart] = []
        folder.mkdir(exist_ok=True)

    def save(self, kind: str, title: str) -> None:
        path = self.folder / f"{self.prefix}{len(self.charts) + 1:02d}-{kind}.png"
        plt.gca().set_title(title, pad=12)
        plt.tight_layout()
        plt.savefig(path)
        plt.close()
        self.charts.append(Chart(path.as_posix(), title))


def draw(report: Report, folder: Path, prefix: str) -> list[Chart]:
    """Draw at least one and at most nine charts of a table."""
    drawing = _Drawing(folder, prefix)
    columns = [column for column in report.columns if column.filled > column.odd and not column.is_key]
    measures = [column for column in columns if column.kind == "number"]
    measures.sort(key=lambda column: (not column.is_money, not column.adds_up))
    times = [column for column in columns if column.kind == "date" and column.low != column.high]
    groups = [column for column in columns if column.kind == "text" and 2 <= len(column.counts) <= GROUPS]
    groups.sort(key=lambda column: len(column.counts) > 30)
    if times:
        for measure in measures[:2] or [None]:
            _over_time(drawing, report.frame, times[0], measure)
    for group in groups[:3]:
        _by_group(drawing, report.frame, group, measures[0] if measures else None)
    for measure in [measure for measure in measures if measure.low != measure.high][:4]:
        _distribution(drawing, report.frame[measure.name], measure)
    if not drawing.charts:
        _filled(drawing, report)
    return drawing.charts


def _short(text: str, length: int = 24) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _over_time(drawing: _Drawing, frame: pd.DataFrame, time: Column, measure: Column | None) -> None:
    days = (pd.Timestamp(time.high) - pd.Timestamp(time.low)).days
    rule, period = next((rule, name) for most, rule, name in PERIODS if days <= most)
    values = frame[[time.name]].assign(value=1.0 if measure is None else frame[measure.name]).dropna()
    periods = values[time.name].dt.to_period(rule)
    adds_up = measure is None or measure.adds_up
    line = values["value"].groupby(periods).agg("sum" if adds_up else "mean")
    if len(line) < 2:
        return
    left_out = ""
    if adds_up:  # a period without rows is 0; a partial period would look like a fall
        line = line.reindex(pd.period_range(line.index[0], line.index[-1], freq=rule), fill_value=0.0)
        line, left_out = _whole(line, values[time.name], period)
    if measure is None:
        title = f"Rows per {period}"
    else:
        title = f"{'Sum of' if adds_up else 'Mean'} {_short(measure.name)} per {period}"
    at = line.index.to_timestamp()
    _, axes = plt.subplots()
    axes.plot(at, line.to_numpy(), color=BLUE, linewidth=2, marker="o" if len(line) <= 40 else "", markersize=4)
    if adds_up:
        axes.fill_between(at, line.to_numpy(), color=BLUE, alpha=0.08)
        axes.set_ylim(bottom=min(0, float(line.min()) * 1.05))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(left_out, fontsize=9)
    _thousands(axes.yaxis)
    locator = axes.xaxis.get_major_locator()
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
    drawing.save("over-time", title)


def _whole(line: pd.Series, times: pd.Series, period: str) -> tuple[pd.Series, str]:
    """Return the line without incomplete first and last periods, and a note about them."""
    if period in ("hour", "day") or len(line) < 5:
        return line, ""
    first = times.min().normalize() > line.index[0].start_time
    last = times.max().normalize() < line.index[-1].end_time.normalize()
    which = " and ".join([*(["first"] if first else []), *(["last"] if last else [])])
    words = f"without the {which} {period}, not whole in the data" if which else ""
    return line.iloc[int(first) : len(line) - int(last)], words


def _by_group(drawing: _Drawing, frame: pd.DataFrame, group: Column, measure: Column | None) -> None:
    names = frame[group.name].replace("", np.nan)
    if measure is None:
        bars, title = names.value_counts(), f"Rows by {_short(group.name)}"
    elif measure.adds_up:
        bars, title = frame[measure.name].groupby(names).sum(), f"Sum of {_short(measure.name)} by {_short(group.name)}"
    else:
        bars, title = frame[measure.name].groupby(names).mean(), f"Mean {_short(measure.name)} by {_short(group.name)}"
    bars = bars.dropna().sort_values(ascending=False)
    if bars.empty:
        return
    shown = bars.head(12)[::-1]
    if len(bars) > 12:
        title += f" (the first 12 of {len(bars)})"
    _, axes = plt.subplots(figsize=(7, max(2.2, 0.36 * len(shown) + 1.1)))
    axes.barh(range(len(shown)), shown.to_numpy(), color=BLUE, height=0.68)
    axes.set_yticks(range(len(shown)), [_short(str(name), 28) for name in shown.index])
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.12)
    for place, value in enumerate(shown.to_numpy()):
        side, where = (4, "left") if value >= 0 else (-4, "right")
        options = {"textcoords": "offset points", "va": "center", "ha": where, "fontsize": 9}
        axes.annotate(_figure(value), (value, place), (side, 0), **options)
    _thousands(axes.xaxis)
    drawing.save("by-category", title)


def _distribution(drawing: _Drawing, values: pd.Series, measure: Column) -> None:
    values = values.dropna().to_numpy(dtype=float)
    low, high = np.percentile(values, [0.5, 99.5]) if len(values) >= 200 else (values.min(), values.max())
    inside = values[(values >= low) & (values <= high)] if high > low else values
    whole = bool((inside == np.round(inside)).all()) and np.ptp(inside) <= 40
    bins = np.arange(inside.min() - 0.5, inside.max() + 1.5) if whole else min(40, max(8, round(len(inside) ** 0.5)))
    _, axes = plt.subplots()
    axes.hist(inside, bins=bins, color=SOFT, edgecolor="white", linewidth=0.8)
    median = float(np.median(values))
    axes.axvline(median, color=INK, linewidth=1.4, linestyle="--")
    options = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "va": "top", "fontsize": 9}
    axes.annotate(f"median {_figure(median)}", (median, 1.0), (5, -3), **options)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("rows")
    _thousands(axes.xaxis)
    _thousands(axes.yaxis)
    title = f"Distribution of {_short(measure.name)}"
    if len(inside) < len(values):
        axes.set_xlabel("without the outermost 1 % of rows", fontsize=9)
    drawing.save("distribution", title)


def _filled(drawing: _Drawing, report: Report) -> None:
    """Draw a chart for a table without numbers."""
    shown = report.columns[:25][::-1]
    shares = [100 * column.filled / report.rows if report.rows else 0 for column in shown]
    _, axes = plt.subplots(figsize=(7, max(2.0, 0.3 * len(shown) + 1.1)))
    axes.barh(range(len(shown)), shares, color=BLUE, height=0.6)
    axes.set_yticks(range(len(shown)), [_short(column.name, 28) for column in shown])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of rows")
    axes.grid(axis="y", visible=False)
    drawing.save("filled", "How far each column is filled")


def _figure(value: float) -> str:
    """Format a number for people: four digits, with separated thousands."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.4g} M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _thousands(axis: matplotlib.axis.Axis) -> None:
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: _figure(value)))
