"""Report on log files: python log_report.py FILE...

Reads access logs of web servers, syslog, the logs of applications and JSON lines, also packed with gzip, and mixed.
Writes report.html (one page, everything in it), summary.json and timeline.png.
"""

import gzip
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import page

#: Maximum characters read of a line, and maximum different texts counted in each list.
LINE, DISTINCT = 8192, 20_000

LEVELS = {
    "emerg": "critical", "alert": "critical", "crit": "critical", "critical": "critical", "fatal": "critical",
    "panic": "critical", "severe": "error", "error": "error", "err": "error", "warning": "warning", "warn": "warning",
    "notice": "info", "info": "info", "information": "info", "debug": "debug", "trace": "debug", "verbose": "debug",
}  # fmt: skip
ORDER = ["critical", "error", "warning", "info", "debug"]
NUMBERED = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "critical"}  # pino, bunyan

ACCESS = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]{20,30})\] "(?P<method>[A-Z]{3,10}) (?P<path>\S+)(?: [^"]*)?" '
    r"(?P<status>\d{3}) (?P<size>\d+|-)"
)
SYSLOG = re.compile(
    r"(?:<\d{1,3}>1? ?)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) (?P<host>[\w.:-]+) "
    r"(?P<program>[\w./@-]+)(?:\[\d+\])?:? (?P<message>.*)"
)
TIME = re.compile(r"\[?(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)\]?")
WORD = re.compile(rf"\b({'|'.join(LEVELS)})\b", re.IGNORECASE)
CONTINUED = re.compile(r"\s+\S|Traceback \(|Caused by: |\.\.\. \d+ more|[\w.]+(?:Error|Exception)\b")
PARTS = [
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{12,})\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
]


@dataclass
class Found:
    """Contents of a line: time, level and text; for an access log also client and request."""

    time: datetime | None
    level: str
    message: str
    source: str = ""
    access: tuple[str, str, int, int] | None = None  # client, path, status, bytes


@dataclass
class Tally:
    """The counts of all lines."""

    files: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    blank: int = 0
    continued: int = 0
    unknown: list[str] = field(default_factory=list)
    unknown_count: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    minutes: Counter[tuple[datetime, str]] = field(default_factory=Counter)
    without_year: bool = False

    def add(self, found: Found) -> None:
        self.levels[found.level] += 1
        if found.time:
            self.minutes[found.time.replace(second=0, microsecond=0), found.level] += 1
        if found.source:
            _count(self.sources, found.source)
        if found.access:
            client, path, status, size = found.access
            self.statuses[status] += 1
            self.sent += size
            _count(self.paths, path)
            _count(self.clients, client)
            if status >= 400:
                _count(self.failing, f"{status} {path}")
        elif found.level in ("critical", "error", "warning"):
            group = found.message
            for pattern, mark in PARTS:
                group = pattern.sub(mark, group)
            group = group[:300]
            _count(self.warnings if found.level == "warning" else self.errors, group)
            if len(self.examples) < DISTINCT:
                self.examples.setdefault(group, found.message[:300])


def _count(counter: Counter[str], text: str) -> None:
    if text in counter or len(counter) < DISTINCT:
        counter[text] += 1


def read(line: str, tally: Tally) -> Found | None:
    """Parse a line; return None if its format is unknown."""
    if line.startswith("{") and (found := _json(line)):
        return found
    if match := ACCESS.match(line):
        status = int(match["status"])
        level = "error" if status >= 500 else "warning" if status >= 400 else "info"
        path = match["path"].partition("?")[0][:200]
        size = int(match["size"]) if match["size"] != "-" else 0
        message = f"{match['method']} {path} → {status}"
        return Found(_time(match["time"], tally), level, message, access=(match["client"], path, status, size))
    if (match := TIME.match(line)) and (rest := line[match.end() :].strip(" -|:\t")) and not SYSLOG.match(line):
        level = WORD.search(rest[:80])
        message = rest[level.end() :].lstrip(" ]|:-\t") if level else rest
        return Found(_time(match["time"], tally), LEVELS[level[1].lower()] if level else "info", message or rest)
    if match := SYSLOG.match(line):
        level = WORD.search(match["message"][:120])
        failed = re.search(
            r"\b(fail(ed|ure)?|denied|refused|cannot|unable|segfault)\b", match["message"], re.IGNORECASE
        )
        name = LEVELS[level[1].lower()] if level else "error" if failed else "info"
        return Found(_time(match["time"], tally), name, match["message"], source=match["program"])
    if level := re.match(rf"\[?({'|'.join(LEVELS)})\]?[\s:|-]+(.+)", line, re.IGNORECASE):
        return Found(None, LEVELS[level[1].lower()], level[2])
    return None


def _json(line: str) -> Found | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    level = next(
        (data[name] for name in ("level", "severity", "levelname", "lvl", "log.level") if name in data), "info"
    )
    name = NUMBERED.get(level, "info") if isinstance(level, int) else LEVELS.get(str(level).lower(), "info")
    stamp = next((data[key] for key in ("time", "timestamp", "ts", "@timestamp", "date") if key in data), None)
    time = None
    if isinstance(stamp, int | float):
        seconds = stamp / 1000 if stamp > 1e11 else stamp
        time = datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 4e9 else None
    elif stamp:
        time = _time(str(stamp), Tally())
    message = next((str(data[key]) for key in ("message", "msg", "event", "error") if data.get(key)), line)
    return Found(time, name, message, source=str(data.get("logger") or data.get("service") or "")[:80])


def _time(text: str, tally: Tally) -> datetime | None:
    text = text.replace(",", ".").replace("/", "-") if text[:4].isdigit() else text
    try:
        if text[:4].isdigit():
            found = datetime.fromisoformat(text)
        elif "/" in text:
            found = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
        else:
            now = datetime.now(UTC)
            found = datetime.strptime(f"{now.year} {text}", "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
            found = found.replace(year=now.year - 1) if found > now + timedelta(days=2) else found
            tally.without_year = True
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file, unpacked and bounded. Raises OSError, EOFError or zlib.error for a broken archive."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else open(path, "rb") as file:
        while line := file.readline(LINE):
            while not line.endswith(b"\n") and (more := file.readline(1 << 20)):
                line += more if more.endswith(b"\n") and len(more) == 1 else b""
                if more.endswith(b"\n"):
                    break
            yield line.decode("utf-8", "replace").replace("\0", "").rstrip()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tally, broken = Tally(), []
    for name in sys.argv[1:]:
        before, known = tally.lines, False
        try:
            for line in lines_of(Path(name)):
                tally.lines += 1
                if not line:
                    tally.blank += 1
                elif found := read(line, tally):
                    known = True
                    tally.add(found)
                elif known and CONTINUED.match(line):
                    tally.continued += 1
                else:
                    tally.unknown_count += 1
                    if len(tally.unknown) < 10:
                        tally.unknown.append(f"{Path(name).name}: {line[:160]}")
        except (OSError, EOFError, zlib.error) as error:
            broken.append(f"{Path(name).name} could be read only in part: {error}")
        tally.files[Path(name).name] = tally.lines - before
    if not tally.levels:
        sys.exit(f"No line of {tally.lines:,} is of a form that is known here (access log, syslog, application, JSON).")
    report = page.summary(tally, broken)
    Path("summary.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    page.timeline(tally, Path("timeline.png"))
    Path("report.html").write_text(page.render(report, Path("timeline.png")), "utf-8")
    told = ", ".join(f"{tally.levels[level]:,} {level}" for level in ORDER if tally.levels[level])
    print(f"{tally.lines:,} lines in {len(tally.files)} files: {told}")
    for error, count in tally.errors.most_common(5):
        print(f"  {count:,} × {error[:100]}")
    for note in report["notes"]:
        print(note)
    print("wrote report.html, summary.json and timeline.png")


if __name__ == "__main__":
    main()
