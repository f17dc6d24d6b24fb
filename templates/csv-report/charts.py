"""The charts of a table: its numbers over time, by category, and their distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import drawing
import matplotlib
import matplotlib.dates
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import pandas as pd
from columns import GROUPS, Column
from drawing import Colours
from language import Language

if TYPE_CHECKING:
    from csv_report import Report

#: Maximum days of a chart, the pandas period of one point, and its name.
PERIODS = [(2, "h", "hour"), (62, "D", "day"), (200, "W", "week"), (9000, "M", "month"), (10**9, "Y", "year")]

#: The forms of dates on an axis in German, from years to seconds.
GERMAN_DATES = {
    "formats": ["%Y", "%m.%Y", "%d.%m.", "%H:%M", "%H:%M", "%S.%f"],
    "zero_formats": ["", "%Y", "%d.%m.", "%d.%m.", "%H:%M", "%H:%M"],
    "offset_formats": ["", "", "%Y", "%d.%m.%Y", "%d.%m.%Y", "%d.%m.%Y %H:%M"],
}


@dataclass
class Chart:
    """A chart as a file, its image for dark pages, and a description in words."""

    path: str
    dark: bytes
    title: str


class _Drawing:
    """The charts of one table so far."""

    def __init__(self, folder: Path, prefix: str, most: int, say: Language) -> None:
        self.folder, self.prefix, self.most, self.say = folder, prefix, most, say
        self.charts: list[Chart] = []
        folder.mkdir(exist_ok=True)

    def add(self, kind: str, title: str, draw: Callable[[Colours], None]) -> None:
        """Draw a chart for light and dark pages. The file has the light image."""
        if len(self.charts) == self.most:
            return

        def whole(colours: Colours) -> None:
            draw(colours)
            plt.gca().set_title(title, pad=12)

        light, dark = drawing.draw_twice(whole)
        path = self.folder / f"{self.prefix}{len(self.charts) + 1:02d}-{kind}.png"
        path.write_bytes(light)
        self.charts.append(Chart(path.as_posix(), dark, title))

    def figure(self, value: float) -> str:
        """Format a number for people: four digits, with separated thousands."""
        if abs(value) >= 1e6:
            return f"{self.say.number(value / 1e6, ',.4g')} {self.say('M')}"
        return self.say.number(value, ",.0f" if value == 0 or abs(value) >= 1000 else ".4g")

    def figures(self, axis: matplotlib.axis.Axis) -> None:
        axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: self.figure(value)))


def draw(report: Report, folder: Path, prefix: str, most: int, say: Language) -> list[Chart]:
    """Draw at least one chart of a table, and at most the given number."""
    drawn = _Drawing(folder, prefix, most, say)
    columns = [column for column in report.columns if column.valid > 0 and not column.is_key]
    measures = [column for column in columns if column.kind == "number"]
    measures.sort(key=lambda column: (not column.is_money, not column.adds_up))
    times = [column for column in columns if column.kind == "date" and column.low != column.high]
    groups = [column for column in columns if column.kind == "text" and 2 <= len(column.counts) <= GROUPS]
    groups.sort(key=lambda column: len(column.counts) > 30)
    if times:
        for measure in measures[:2] or [None]:
            _over_time(drawn, report.frame, times[0], measure)
    for group in groups[:3]:
        _by_group(drawn, report.frame, group, measures[0] if measures else None)
    for measure in [measure for measure in measures if measure.low != measure.high][:4]:
        _distribution(drawn, report.frame[measure.name], measure)
    if not drawn.charts:
        _filled(drawn, report)
    return drawn.charts


def _short(text: str, length: int = 24) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _over_time(drawn: _Drawing, frame: pd.DataFrame, time: Column, measure: Column | None) -> None:
    say = drawn.say
    days = (pd.Timestamp(time.high) - pd.Timestamp(time.low)).days
    rule, period = next((rule, name) for most, rule, name in PERIODS if days <= most)
    values = frame[[time.name]].assign(value=1.0 if measure is None else frame[measure.name]).dropna()
    values = values[values[time.name].dt.year.between(2, 9998)]  # an axis ends there
    if values.empty:
        return
    periods = values[time.name].dt.to_period(rule)
    adds_up = measure is None or measure.adds_up
    line = values["value"].groupby(periods).agg("sum" if adds_up else "mean")
    if len(line) < 2:
        return
    edges = f"{say.date(values[time.name].min())} – {say.date(values[time.name].max())}"
    if adds_up:  # a period without rows is 0; a partial period would look like a fall
        line = line.reindex(pd.period_range(line.index[0], line.index[-1], freq=rule), fill_value=0.0)
        line, left_out = _whole(line, values[time.name], period, say)
        edges += left_out
    if measure is None:
        title = say("Rows per {period}", period=say(period))
    else:
        text = "Sum of {name} per {period}" if adds_up else "Mean {name} per {period}"
        title = say(text, name=_short(measure.name), period=say(period))
    at = line.index.to_timestamp()

    def draw(colours: Colours) -> None:
        _, axes = plt.subplots()
        marker = "o" if len(line) <= 40 else ""
        axes.plot(at, line.to_numpy(), color=colours.blue, linewidth=2, marker=marker, markersize=4)
        if adds_up:
            axes.fill_between(at, line.to_numpy(), color=colours.blue, alpha=0.08)
            axes.set_ylim(bottom=min(0, float(line.min()) * 1.05))
        axes.grid(axis="x", visible=False)
        if at[0].year < 1000 or at[-1].year > 9000:
            axes.margins(x=0)  # the margin would reach beyond the years that an axis can have
        axes.set_xlabel(edges, fontsize=9)
        drawn.figures(axes.yaxis)
        locator = axes.xaxis.get_major_locator()
        forms = GERMAN_DATES if say.code == "de" else {}
        axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator, **forms))

    drawn.add("over-time", title, draw)


def _whole(line: pd.Series, times: pd.Series, period: str, say: Language) -> tuple[pd.Series, str]:
    """Return the line without incomplete first and last periods, and a note about them."""
    if period in ("hour", "day") or len(line) < 5:
        return line, ""
    first = times.min().normalize() > line.index[0].start_time
    last = times.max().normalize() < line.index[-1].end_time.normalize()
    which = {(True, True): "first and last", (True, False): "first", (False, True): "last"}.get((first, last))
    words = say(f", without the {which} {period}, not whole in the data") if which else ""
    return line.iloc[int(first) : len(line) - int(last)], words


def _by_group(drawn: _Drawing, frame: pd.DataFrame, group: Column, measure: Column | None) -> None:
    say = drawn.say
    names = frame[group.name].replace("", np.nan)
    given = {"group": _short(group.name), "name": _short(measure.name) if measure else ""}
    if measure is None:
        bars, title = names.value_counts(), say("Rows by {group}", **given)
    elif measure.adds_up:
        bars, title = frame[measure.name].groupby(names).sum(), say("Sum of {name} by {group}", **given)
    else:
        bars, title = frame[measure.name].groupby(names).mean(), say("Mean {name} by {group}", **given)
    bars = bars.dropna().sort_values(ascending=False)
    if bars.empty:
        return
    shown = bars.head(12)[::-1]
    if len(bars) > 12:
        title += say(" (the first 12 of {count})", count=len(bars))

    def draw(colours: Colours) -> None:
        _, axes = plt.subplots(figsize=(7, max(2.2, 0.36 * len(shown) + 1.1)))
        axes.barh(range(len(shown)), shown.to_numpy(), color=colours.blue, height=0.68)
        axes.set_yticks(range(len(shown)), [_short(str(name), 28) for name in shown.index])
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        for place, value in enumerate(shown.to_numpy()):
            side, where = (4, "left") if value >= 0 else (-4, "right")
            options = {"textcoords": "offset points", "va": "center", "ha": where, "fontsize": 9}
            axes.annotate(drawn.figure(value), (value, place), (side, 0), **options)
        drawn.figures(axes.xaxis)

    drawn.add("by-category", title, draw)


def _distribution(drawn: _Drawing, column: pd.Series, measure: Column) -> None:
    say = drawn.say
    values = column.dropna().to_numpy(dtype=float)
    if not len(values):
        return
    low, high = np.percentile(values, [0.5, 99.5]) if len(values) >= 200 else (values.min(), values.max())
    inside = values[(values >= low) & (values <= high)] if high > low else values
    whole = bool((inside == np.round(inside)).all()) and np.ptp(inside) <= 40
    bins = np.arange(inside.min() - 0.5, inside.max() + 1.5) if whole else min(40, max(8, round(len(inside) ** 0.5)))
    median = float(np.median(values))

    def draw(colours: Colours) -> None:
        _, axes = plt.subplots()
        axes.hist(inside, bins=bins, color=colours.bar, edgecolor=colours.paper, linewidth=0.8)
        axes.axvline(median, color=colours.ink, linewidth=1.4, linestyle="--")
        options = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "va": "top", "fontsize": 9}
        axes.annotate(say("median {value}", value=drawn.figure(median)), (median, 1.0), (5, -3), **options)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(say("rows"))
        if len(inside) < len(values):
            axes.set_xlabel(say("without the outermost 1 % of rows"), fontsize=9)
        drawn.figures(axes.xaxis)
        drawn.figures(axes.yaxis)

    drawn.add("distribution", say("Distribution of {name}", name=_short(measure.name)), draw)


def _filled(drawn: _Drawing, report: Report) -> None:
    """Draw a chart for a table without numbers."""
    shown = report.columns[:25][::-1]
    shares = [100 * column.filled / report.rows if report.rows else 0 for column in shown]

    def draw(colours: Colours) -> None:
        _, axes = plt.subplots(figsize=(7, max(2.0, 0.3 * len(shown) + 1.1)))
        axes.barh(range(len(shown)), shares, color=colours.blue, height=0.6)
        axes.set_yticks(range(len(shown)), [_short(column.name, 28) for column in shown])
        axes.set_xlim(0, 100)
        axes.set_xlabel(drawn.say("% of rows"))
        axes.grid(axis="y", visible=False)

    drawn.add("filled", drawn.say("How far each column is filled"), draw)
