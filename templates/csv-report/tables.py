"""Reads any CSV file: detects and reports its encoding, delimiter and header."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

MISSING = {"", "-", "--", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil"}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
DATE_FORMATS = [
    "ISO8601", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%Y", "%Y/%m/%d",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%b %Y",
]  # fmt: skip
CURRENCY = re.compile(r"[$€£¥₹%]|\b(?:USD|EUR|GBP|CHF|JPY|INR|CAD|AUD)\b")
ZEROS = re.compile(r"0\d+")
CHUNK = 20_000

csv.field_size_limit(10_000_000)


@dataclass
class Table:
    """A file and its format. ``rows`` yields its rows in chunks, each row as long as the header."""

    path: Path
    encoding: str
    delimiter: str
    has_header: bool
    names: list[str]
    notes: list[str] = field(default_factory=list)
    quoting: int = csv.QUOTE_MINIMAL
    too_long: int = 0
    too_short: int = 0

    def rows(self) -> Iterator[list[list[str]]]:
        width, chunk = len(self.names), []
        for number, row in enumerate(_rows(self.path, self.encoding, self.delimiter, self.quoting)):
            if number == 0 and self.has_header:
                continue
            if len(row) > width:
                self.too_long += 1
                row = row[:width]
            elif len(row) < width:
                self.too_short += 1
                row = row + [""] * (width - len(row))
            chunk.append(row)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


class Empty(Exception):
    """The file is empty."""


def open_table(path: Path, delimiter: str, header: str) -> Table:
    """Detect the format of a file. Raises Empty."""
    encoding = find_encoding(path)
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        head = file.read(200_000)
    if not head.strip("\ufeff \t\r\n,;|"):
        raise Empty
    notes = []
    if encoding == "cp1252":
        notes.append("It is not UTF-8; it was read as Windows-1252 (cp1252).")
    quoting = csv.QUOTE_MINIMAL
    try:
        for _ in _rows(path, encoding, ","):
            pass
    except csv.Error:
        quoting = csv.QUOTE_NONE
        notes.append("A quotation mark is never closed, so quotation marks were read as plain text.")
    if not delimiter:
        delimiter = find_delimiter(head, quoting)
    first = list(_limited(head, delimiter, quoting, 200))
    has_header = header == "yes" or (header == "auto" and looks_like_header(first))
    width = max(Counter(map(len, first)).items(), key=lambda item: (item[1], item[0]))[0]
    names = [cell.strip() for cell in first[0]] if has_header else [f"column {n}" for n in range(1, len(first[0]) + 1)]
    names += [f"column {n}" for n in range(len(names) + 1, width + 1)]
    if not has_header:
        notes.append("Its first row looks like data, so the columns were given names.")
    return Table(path, encoding, delimiter, has_header, _unique(names, notes), notes, quoting)


def find_encoding(path: Path) -> str:
    """Detect the encoding: from the byte order mark, else UTF-8 if the whole file is valid, else Windows-1252."""
    with open(path, "rb") as file:
        start = file.read(4096)
        for mark, name in MARKS:
            if start.startswith(mark):
                return name
        if start[1::2].count(0) > len(start) / 4:
            return "utf-16-le"
        if start[::2].count(0) > len(start) / 4:
            return "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(start)
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def find_delimiter(head: str, quoting: int) -> str:
    """Return the delimiter that cuts the first rows into the same number of cells, and into the most."""
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for row in _limited(head, delimiter, quoting, 100))
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        score = (count / widths.total()) * (1 + width / 1000) if width > 1 else 0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def looks_like_header(rows: list[list[str]]) -> bool:
    """Return whether the first row contains text, and no number or date."""
    cells = [cell.strip() for cell in rows[0]]
    if not any(cells) or (len(rows) > 1 and rows[0] in rows[1:]):
        return False
    return not any(re.fullmatch(r"[^A-Za-z]*\d[^A-Za-z]*", cell) for cell in cells)


def numbers(cells: pd.Series, comma: bool) -> pd.Series:
    """Parse cells as numbers, with NaN for others: 1,234.50 · 1.234,50 (comma) · $5 · 12 % · (3) for minus three."""
    if comma:
        return _slowly(cells, comma)
    values = pd.to_numeric(cells, errors="coerce").astype("float64")  # most numbers have the format of programs
    others = cells[values.isna() & cells.notna()]
    if len(others):
        values[others.index] = _slowly(others, comma)
    return values.where(values.abs() < 1e100)  # larger ones cannot be summed


def _slowly(cells: pd.Series, comma: bool) -> pd.Series:
    text = cells.str.replace(CURRENCY.pattern, "", regex=True).str.strip()
    text = text.str.replace(r"^\((.*)\)$", r"-\1", regex=True).str.replace("−", "-")
    if comma:
        grouped = text.str.replace(r"(?<=\d)[.'’ \u00a0\u202f](?=\d{3}(?:\D|$))", "", regex=True)
        text = grouped.str.replace(",", ".")
    else:
        text = text.str.replace(r"(?<=\d)[,'’ \u00a0\u202f](?=\d{3}(?:\D|$))", "", regex=True)
    plain = text.where(text.str.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"), None)
    values = pd.to_numeric(plain, errors="coerce").astype("float64")
    return values.where(values.abs() < 1e100)


def decimal_comma(cells: pd.Series) -> bool | None:
    """Return whether numbers have the form 3,5 instead of 3.5. None if the cells do not show it."""
    text = cells.str.replace(CURRENCY.pattern, "", regex=True).str.strip()
    comma = text.str.fullmatch(r"\(?[+-]?(?:\d+|\d{1,3}(?:[.' \u00a0]\d{3})*),(?:\d{1,2}|\d{4,})\)?").sum()
    point = text.str.fullmatch(r"\(?[+-]?(?:\d+|\d{1,3}(?:[,' \u00a0]\d{3})*)\.(?:\d{1,2}|\d{4,})\)?").sum()
    return None if comma == point else bool(comma > point)


def dates(cells: pd.Series, form: str) -> pd.Series:
    """Parse cells as times in UTC, with NaT for others."""
    if form == "ISO8601":
        cells = cells.where(cells.str.match(r"\d{4}-\d\d"), None)
    return pd.to_datetime(cells, format=form, errors="coerce", utc=True)


def _rows(path: Path, encoding: str, delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> Iterator[list[str]]:
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        for row in csv.reader(file, delimiter=delimiter, quoting=quoting, skipinitialspace=True):
            if any(row):
                yield row


def _limited(head: str, delimiter: str, quoting: int, count: int) -> Iterator[list[str]]:
    lines = io.StringIO(head, newline="")
    for row in csv.reader(lines, delimiter=delimiter, quoting=quoting, skipinitialspace=True):
        if any(row):
            yield row
            count -= 1
        if not count:
            return


def _unique(names: list[str], notes: list[str]) -> list[str]:
    """Make names unique and not empty."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = name or f"column {number}"
        new, count = plain, 2
        while new in found:
            new, count = f"{plain} ({count})", count + 1
        found.append(new)
    repeated = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if repeated:
        notes.append(f"Column names that repeat were numbered: {', '.join(repeated[:5])}.")
    return found
