"""Report on log files: python scripts/log_report.py [--language en|de] FILE...

Reads the logs of web servers, of systems, of applications and of containers, as text, as key=value pairs and as JSON,
also packed and mixed. Writes report.html (one page, everything in it), summary.json and timeline.png.
"""

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from language import Language, find_language
from log_files import BROKEN, LogFile, NoLog, Note
from log_lines import ORDER, W3C, Entry, read, record

#: Maximum different texts counted in each list.
DISTINCT = 20_000

NOTHING = "Nothing of it could be read."

PARTS = [
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b(?:0x[0-9a-f]+|(?=\w*\d)[0-9a-f]{12,})\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
]

#: Lines about the log itself, and lines that belong to the entry before them.
HEADER = re.compile(r"#(?:Software|Version|Date|Start-Date|End-Date|Remark|Fields): |-- .* --$|[\[\]],?$")
CONTINUED = re.compile(
    r"\s+\S|Caused by: |\.\.\. \d+ more|goroutine \d+ \[|created by |exit status \d|[\w./*()]+\(.*\)$"
    r"|During handling of the above|The above exception was|Stack trace:|#\d+ |\S+:\d+:in |--- End of "
)
EXCEPTION = re.compile(
    r"(?:Uncaught |Exception in thread \"[^\"]*\" )?[\w.$]+(?:Error|Exception|Exit|Interrupt|Warning)\b"
)


@dataclass
class Durations:
    """Durations of requests: counts of rounded seconds, and for each path the count, the sum and the longest."""

    counts: Counter[float] = field(default_factory=Counter)
    paths: dict[str, list[float]] = field(default_factory=dict)
    longest: float = 0.0

    def add(self, path: str, seconds: float) -> None:
        self.counts[float(f"{seconds:.3g}")] += 1
        self.longest = max(self.longest, seconds)
        if path in self.paths or len(self.paths) < DISTINCT:
            one = self.paths.setdefault(path, [0, 0.0, 0.0])
            one[:] = [one[0] + 1, one[1] + seconds, max(one[2], seconds)]

    def share(self, part: float) -> float:
        """Return the duration that a part of the requests did not exceed."""
        left = part * self.counts.total()
        for seconds in sorted(self.counts):
            left -= self.counts[seconds]
            if left <= 0:
                return seconds
        return self.longest

    def scaled(self, factor: float) -> "Durations":
        paths = {
            path: [count, total * factor, longest * factor] for path, (count, total, longest) in self.paths.items()
        }
        counts = Counter({seconds * factor: count for seconds, count in self.counts.items()})
        return Durations(counts, paths, self.longest * factor)


@dataclass
class Tally:
    """The counts of all lines."""

    files: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    blank: int = 0
    headers: int = 0
    continued: int = 0
    unknown: list[str] = field(default_factory=list)
    unknown_count: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    agents: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)
    numbers: Durations = field(default_factory=Durations)
    minutes: Counter[tuple[datetime, str]] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    odd_times: int = 0
    odd_time: str = ""
    without_year: bool = False

    def add(self, entry: Entry) -> None:
        self.forms[entry.form] += 1
        self.levels[entry.level] += 1
        self.without_year |= entry.without_year
        if entry.time:
            self.minutes[entry.time.replace(second=0, microsecond=0), entry.level] += 1
        elif entry.odd_time:
            self.odd_times += 1
            self.odd_time = self.odd_time or entry.odd_time
        if entry.source:
            _count(self.sources, entry.source)
        if len(self.texts) < 2000 and not entry.request:
            self.texts.append(entry.message[:300])
        if entry.request:
            self._add_request(entry)
        elif entry.level in ("critical", "error", "warning"):
            group = grouped(entry.message)
            _count(self.warnings if entry.level == "warning" else self.errors, group)
            if len(self.examples) < DISTINCT:
                self.examples.setdefault(group, entry.message[:300])

    def _add_request(self, entry: Entry) -> None:
        request = entry.request
        assert request  # noqa: S101 - the caller has looked
        self.statuses[request.status] += 1
        _count(self.paths, request.path)
        _count(self.weights, request.path, request.size)
        if request.client:
            _count(self.clients, request.client)
        if request.agent:
            _count(self.agents, request.agent[:200])
        if request.status >= 400:
            _count(self.failing, f"{request.status} {request.path}")
        if request.seconds is not None:
            self.durations.add(request.path, request.seconds)
        elif request.number is not None:
            self.numbers.add(request.path, request.number)

    def unknown_line(self, text: str) -> None:
        self.unknown_count += 1
        if len(self.unknown) < 10:
            self.unknown.append(text)


def _count(counter: Counter[str], text: str, number: int = 1) -> None:
    if text in counter or len(counter) < DISTINCT:
        counter[text] += number


def grouped(message: str) -> str:
    """Return a message without its numbers and addresses, so that equal ones count together."""
    group = message[:1000]
    for pattern, mark in PARTS:
        group = pattern.sub(mark, group)
    return group[:300]


class Reader:
    """Reads the lines of one file in order. A line can belong to the entry before it."""

    def __init__(self, name: str, tally: Tally) -> None:
        self._name, self._tally = name, tally
        self._last: Entry | None = None
        self._fields: W3C | None = None
        self._in_traceback = False

    def read(self, item: str | dict[str, Any]) -> None:
        tally = self._tally
        tally.lines += 1
        if isinstance(item, dict):
            self._add(record(item))
        elif not item.strip():
            tally.blank += 1
        elif HEADER.match(item):
            tally.headers += 1
            if item.startswith("#Fields: "):
                self._fields = W3C(item.removeprefix("#Fields: "))
        else:
            found = (self._fields.read(item) if self._fields else None) or read(item.strip())
            if found and not found.time and item[0].isspace() and self._last:
                found = None  # an indented line with the word "error" is a part of the entry before it
            if self._continues(item, found):
                return
            if found:
                self._add(found)
            else:
                tally.unknown_line(f"{self._name}: {item[:160]}")

    def _add(self, entry: Entry) -> None:
        self._tally.add(entry)
        self._last = entry

    def _continues(self, line: str, found: Entry | None) -> bool:
        """Count a line that belongs to the entry before it, or to a traceback, and return whether it does."""
        if line.startswith("Traceback (most recent call last)"):
            self._in_traceback = True
        elif self._in_traceback and not line[0].isspace():
            self._in_traceback = False
            return not (found and found.time) and self._exception(line)
        elif not self._in_traceback:
            if found:
                return False
            if EXCEPTION.match(line):
                return self._exception(line)
            if self._last is None or not CONTINUED.match(line):
                return False
        self._tally.continued += 1
        return True

    def _exception(self, line: str) -> bool:
        """Count an exception: with the error before it, or as an error of its own."""
        _count(self._tally.exceptions, grouped(line))
        self._tally.examples.setdefault(grouped(line), line[:300])
        if self._last and self._last.level in ("critical", "error", "warning"):
            self._tally.continued += 1
        else:
            self._add(Entry("traceback", "error", line, time=self._last.time if self._last else None))
        return True


def read_files(names: list[str]) -> tuple[Tally, list[Note]]:
    """Return the counts of all files, and remarks on the files."""
    tally, notes = Tally(), []
    for name in names:
        before, file = tally.lines, LogFile(Path(name))
        shown = file.path.name
        reader = Reader(shown, tally)
        found: list[Note] = []
        try:
            for item in file.items():
                reader.read(item)
        except NoLog as error:
            found.append(error.note)
        except BROKEN as error:
            why, count = str(error) or type(error).__name__, tally.lines - before
            told = "{name} is broken or cut off ({why}). " + ("Lines before that: {count}." if count else NOTHING)
            found.append((told, {"why": why, "count": count}))
        found += file.notes
        if file.cut:
            found.append(
                ("{name} has lines that are too long: {count}. Their ends were left out.", {"count": file.cut})
            )
        notes += [(told, {"name": shown, **values}) for told, values in found]
        tally.files[shown] = tally.lines - before
    return tally, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--language", choices=["auto", "en", "de"], default="auto")
    given = parser.parse_args()
    tally, notes = read_files(given.files)
    if not tally.levels:
        known = f"No line of {tally.lines:,} has a known form." if tally.lines else "There is no line to report on."
        sys.exit("\n".join([*(told.format(**values) for told, values in notes), known, *tally.unknown[:3]]))

    import page  # draws, so it is not loaded for files that are no logs

    code = find_language([], tally.texts) if given.language == "auto" else given.language
    say = Language(code, page.GERMAN)
    report = page.summary(tally, notes, say)
    Path("summary.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    light, dark = page.timeline(tally, say)
    Path("timeline.png").write_bytes(light)
    Path("report.html").write_text(page.render(report, light, dark, say), "utf-8")
    told = ", ".join(f"{tally.levels[level]:,} {level}" for level in ORDER if tally.levels[level])
    print(f"{tally.lines:,} lines in {len(tally.files)} files: {told}")
    for error, count in tally.errors.most_common(5):
        print(f"  {count:,} × {error[:100]}")
    for note in report["notes"]:
        print(note)
    print("wrote report.html, summary.json and timeline.png")


if __name__ == "__main__":
    main()
