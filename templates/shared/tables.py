"""Finds the tables in files: the header below titles, the rows of data, and what else stands among them.

Lines that are not data are left out, and ``Table.notes`` says so: titles, totals, footers, comments, repeated headers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dialect import Record
from language import find_language
from reading import NoTable, Note, Source, TextSource, open_sources
from values import MISSING, has_decimal_comma, plain_number

CHUNK = 20_000
#: Records that show where the header is, and records at the end that may be footers.
HEAD, TAIL = 200, 20
#: Maximum rows of a text or sheet that is searched for several tables.
SHORT = 5000

#: The first cell of a row of totals, and what may follow it.
TOTAL = re.compile(
    r"(?:[Σ∑Ø]|(?:grand|sub|over-?all|net|sum)[ -]?totals?|totals?|totale?s?|sums?|summary|summen?|gesamt\w*"
    r"|(?:zwischen|end)summen?|insgesamt|total général|totaux|suma|totaal|łącznie|razem|celkem|итого|всего"
    r"|合計|总计|總計"
    r"|averages?|avg\.?|mean|durchschnitt|mittelwert|mittel)"
    r"(?:\s*[:(=].*|\s+(?:\W.*|\d.*|(?:in|of|der|des|aller?|all|for|für|q[1-4]) ?.*"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|januar|februar|märz|mai|juni|juli|oktober|dezember|summe|gesamt|total|eur|usd|chf|brutto|netto|gross|net))?",
    re.IGNORECASE,
)
#: Words that mean a total wherever they stand.
SURE = re.compile(r"(?:grand|sub)[ -]?totals?\b.*|(?:gesamt|zwischen|end)summen?\b.*", re.IGNORECASE)


#: How the report names the lines that are no data.
DROPPED = {
    "title": "Lines above the header: {count} (line {line}: {text!r}). They are no data and were left out.",
    "total": "Rows of totals: {count} (line {line}: {text!r}). They are no data and were left out.",
    "footer": "Lines below the data: {count} (line {line}: {text!r}). They are no data and were left out.",
    "comment": "Comments that begin with #: {count} (line {line}: {text!r}). They were left out.",
    "header": "Repeated headers: {count} (line {line}: {text!r}). They were left out.",
}


@dataclass
class Table:
    """A table of a file. ``records`` yields its rows of data with their lines, each as long as ``names``."""

    source: Source
    names: list[str]
    has_header: bool
    language: str
    notes: list[Note]
    #: The first line above the header.
    title: str = ""
    decimal_comma: bool = False
    #: Lines that are no data, by kind; lines of rows that are longer or shorter than the header.
    dropped: dict[str, list[Record]] = field(default_factory=dict)
    too_long: list[int] = field(default_factory=list)
    too_short: list[int] = field(default_factory=list)
    #: The header, its line, and the number of cells of a row. Columns that are filled somewhere, or almost everywhere.
    header: list[str] = field(default_factory=list)
    start: int = 0
    width: int = 1
    keep: list[int] = field(default_factory=list)
    usual: list[int] = field(default_factory=list)
    #: Lines: the first of the last rows, the first footer, and a last row of sums.
    tail: float = math.inf
    footers: float = math.inf
    sums: int = -1

    @property
    def path(self) -> Path:
        return self.source.path

    @property
    def name(self) -> str:
        """The name of the file, and of its sheet."""
        return f"{self.path.name}: {self.source.sheet}" if self.source.sheet else self.path.name

    @property
    def encoding(self) -> str:
        return self.source.encoding

    @property
    def delimiter(self) -> str:
        return self.source.delimiter

    def records(self) -> Iterator[Record]:
        """Yield the rows of data with their lines."""
        for line, cells, kind in self.all_records():
            if not kind:
                padded = cells[: self.width] + [""] * (self.width - len(cells))
                yield line, [padded[place] for place in self.keep]

    def all_records(self) -> Iterator[tuple[int, list[str], str]]:
        """Yield every row below the header as it is, with its line, and with its kind if it is no data."""
        self.too_long, self.too_short = [], []
        self.dropped = {kind: lines for kind, lines in self.dropped.items() if kind == "title"}
        for line, cells in _filled(self.source):
            if line < self.start or (line == self.start and self.has_header):
                continue
            if kind := self._kind(line, cells):
                self.dropped.setdefault(kind, []).append((line, cells))
            elif any(cells[self.width :]):
                self.too_long.append(line)
            elif len(cells) < self.width and self.source.delimiter:
                self.too_short.append(line)
            yield line, cells, kind

    def rows(self) -> Iterator[list[list[str]]]:
        """Yield the rows of data in chunks."""
        chunk: list[list[str]] = []
        for _, cells in self.records():
            chunk.append(cells)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _kind(self, line: int, cells: list[str]) -> str:
        """Name the kind of a row that is no data, or return an empty text."""
        first = next(text for cell in cells if (text := cell.strip()))
        if first[0] == "#" and self.width > 1 and (first[:2] == "# " or len(_texts(cells)) == 1):
            return "comment"
        if self.header and first == next(filter(None, self.header)) and _stripped(cells) == self.header:
            return "header"
        if line >= self.footers and len(_texts(cells)) == 1:
            return "total" if TOTAL.fullmatch(first) else "footer"
        if line == self.sums:
            return "total"
        labels = _texts(cells) if line >= self.tail else [first]
        for label in labels:
            if SURE.fullmatch(label) or (TOTAL.fullmatch(label) and self.is_sparse(cells)):
                return "total"
        return ""

    def is_sparse(self, cells: list[str]) -> bool:
        """Return whether a row lacks a cell that most rows have."""
        return any(place >= len(cells) or not cells[place].strip() for place in self.usual)

    def all_notes(self, of_rows: bool = True) -> list[Note]:
        """Return all remarks, after the rows were read. ``of_rows`` includes those on rows that are left out or cut."""
        found = list(self.notes)
        for kind, lines in self.dropped.items():
            if kind != "title" and not of_rows:
                continue
            number, cells = lines[0]
            text = " ".join(_texts(cells))[:60]
            found.append((DROPPED[kind], {"count": len(lines), "line": str(number), "text": text}))
        if self.source.unclosed:
            text = "Quotation marks that never close: {count} (line {line}). They were read as text."
            found.append((text, {"count": len(self.source.unclosed), "line": str(self.source.unclosed[0])}))
        if self.too_long and of_rows:
            text = "Rows with more cells than the header: {count} (line {line}). The further cells were left out."
            found.append((text, {"count": len(self.too_long), "line": str(self.too_long[0])}))
        if self.too_short and of_rows:
            text = "Rows with fewer cells than the header: {count} (line {line}). The others count as missing."
            found.append((text, {"count": len(self.too_short), "line": str(self.too_short[0])}))
        return found


def open_tables(path: Path, delimiter: str = "", header: str = "auto", language: str = "auto") -> list[Table]:
    """Find the tables of a file: one in a text, one in each sheet of a workbook. Raises NoTable."""
    parts = [part for source in open_sources(path, delimiter) for part in _parts(source)]
    tables = [table for part in parts if (table := _table(part, header, language))]
    if not tables:
        raise NoTable("It has no filled cell.")
    return tables


@dataclass
class Part(Source):
    """One of several tables that stand below each other in a text or a sheet."""

    whole: Any = None
    first: float = 0
    end: float = math.inf

    def records(self) -> Iterator[Record]:
        for line, cells in self.whole.records():
            if line >= self.end:
                return
            if line >= self.first:
                yield line, cells


def _parts(source: Source) -> list[Source]:
    """Divide a short text or sheet where, after blank rows, another header begins another table."""
    rows = list(itertools.islice(source.records(), SHORT + 1))
    if len(rows) > SHORT:
        return [source]
    blocks: list[list[Record]] = [[]]
    for line, cells in rows:
        if _texts(cells):
            blocks[-1].append((line, cells))
        elif blocks[-1]:
            blocks.append([])
    headers = [block[0] for block in blocks if len(block) > 1 and _begins_a_table(block)]
    # the same header again, as on each page, begins no other table
    starts = [line for n, (line, cells) in enumerate(headers) if n == 0 or cells != headers[n - 1][1]]
    if len(starts) < 2:
        return [source]
    found: list[Source] = []
    for number, (first, end) in enumerate(zip([0, *starts[1:]], [*starts[1:], math.inf], strict=True), 1):
        sheet = f"{source.sheet} {number}".strip()
        given = (source.path, source.encoding, list(source.notes), sheet, source.delimiter, source.unclosed)
        found.append(Part(*given, source, first, end))
    return found


def _begins_a_table(block: list[Record]) -> bool:
    """Return whether a block has a header of several cells above rows with figures."""
    rows = [_stripped(cells) for _, cells in block]
    width = len(rows[0])
    below = [row for row in rows[1:] if len(row) == width]
    names = rows[0][_first(rows[0]) :]
    texts = not any(name.lower() in MISSING or _is_figure(name) for name in names)
    return len(names) > 1 and texts and any(_is_figure(cell) for row in below for cell in row)


def _first(row: list[str]) -> int:
    """Return the place of the first filled cell."""
    return next((place for place, cell in enumerate(row) if cell), 0)


def _table(source: Source, header: str, language: str) -> Table | None:
    head: list[Record] = []
    for record in _filled(source):
        head.append(record)
        if len(head) == HEAD:
            break
    if not head:
        return None
    place, has_header = _find_header(head, header)
    line, first = head[place]
    cells = _stripped(first)
    if has_header and cells[0].startswith("#"):
        cells[0] = cells[0].lstrip("# ")
    body = [_stripped(record) for _, record in head[place + has_header :]]
    texts = [cell for row in body for cell in row]
    code = find_language(cells if has_header else [], texts) if language == "auto" else language
    notes = list(source.notes)
    if isinstance(source, TextSource) and not source.delimiter and len(head) > 1:
        notes.append(("No delimiter divides its lines, so they were read as one column.", {}))
    if not has_header:
        notes.append(("Its first row looks like data, so the columns were given names.", {}))
    table = Table(source, [], has_header, code, notes, start=line)
    if place:
        table.dropped["title"] = head[:place]
        table.title = " ".join(_texts(head[0][1]))[:200]
    _survey(table, cells if has_header else [], body)
    unnamed = "Spalte {}" if code == "de" else "column {}"
    names = [cells[n] if has_header and n < len(cells) else "" for n in range(table.width)]
    table.names = _unique([names[n] for n in table.keep], [unnamed.format(n + 1) for n in table.keep], notes)
    table.header = _stripped(first) if has_header else []
    table.decimal_comma = bool(has_decimal_comma(texts))
    return table


def _find_header(head: list[Record], header: str) -> tuple[int, bool]:
    """Return the place of the first row of the table, and whether it is a header."""
    rows = [_stripped(cells) for _, cells in head]
    counts = [sum(map(bool, row)) for row in rows]
    wide = Counter(len(row) for row, count in zip(rows, counts, strict=True) if count > 1)
    usual = max(wide, key=lambda width: (wide[width], width), default=1)
    needed = 1 if usual == 1 else max(2, math.ceil(0.6 * usual))
    place = next((n for n, count in enumerate(counts) if count >= needed), 0)
    # a comment may have as many cells as the table; the last one may be the header: #id,name
    comments = place
    while comments < len(rows) - 1 and usual > 1 and rows[comments][0].startswith("#"):
        comments += 1
    if comments > place:
        last = rows[comments - 1]
        is_header = len(last) == usual and not last[0].startswith("# ") and not _is_header(rows[comments:])
        place = comments - is_header
    # a line of details, such as a period and its dates, may fill most cells of a narrow table
    while place + 1 < len(rows) and counts[place] < counts[place + 1] and len(rows[place]) < usual:
        if not _is_header(rows[place + 1 :]):
            break
        place += 1
    return place, header == "yes" or (header == "auto" and _is_header(rows[place:]))


def _is_header(rows: list[list[str]]) -> bool:
    """Return whether the first row names columns: texts, or texts and years, but no other number and no date."""
    cells = rows[0]
    if not any(cells):
        return False
    if cells in rows[1:]:  # it repeats, as a header on each page does, or a row of data
        below = [row for row in rows[1:] if row != cells]
        return any(_is_figure(cell) for row in below for cell in row) and not any(map(_is_figure, cells))
    figures = [cell for cell in cells if _is_figure(cell)]
    years = all(re.fullmatch(r"(?:19|20)\d\d", cell) for cell in figures)
    if figures and years and len(set(figures)) == len(figures) > 1 and len(figures) < len(cells):
        places = [n for n, cell in enumerate(cells) if cell in figures]
        below = [row[n] for row in rows[1:] for n in places if n < len(row) and row[n]]
        return not below or sum(bool(re.fullmatch(r"(?:19|20)\d\d", cell)) for cell in below) < 0.5 * len(below)
    return not figures


def _is_figure(cell: str) -> bool:
    """Return whether a cell is a number or a date without letters."""
    return re.fullmatch(r"[^A-Za-zÀ-ž]*\d[^A-Za-zÀ-ž]*", cell) is not None


def _survey(table: Table, header: list[str], body: list[list[str]]) -> None:
    """Read the table once, to find its width, its empty columns, its footers, and a total without a name."""
    widths = Counter(len(row) for row in body if sum(map(bool, row)) > 1)
    usual = max(widths, key=lambda width: (widths[width], width), default=max(map(len, body), default=0))
    table.width = max(len(header), usual, 1)
    filled, count = [0] * table.width, 0
    tail: deque[Record] = deque(maxlen=TAIL)
    for line, cells in _filled(table.source):
        if line < table.start or (line == table.start and table.has_header):
            continue
        count += 1
        tail.append((line, cells))
        for place, cell in enumerate(cells[: table.width]):
            if cell and not cell.isspace():
                filled[place] += 1
    named = [place < len(header) and bool(header[place]) for place in range(table.width)]
    table.keep = [place for place in range(table.width) if filled[place] or named[place]]
    table.usual = [place for place in range(table.width) if count > 2 and filled[place] >= 0.8 * (count - 1)]
    data = list(tail)
    table.tail = data[0][0] if data else math.inf
    while table.width > 2 and len(data) > 1 and count > 2 and len(_texts(data[-1][1])) == 1:
        line, cells = data.pop()
        if plain_number(_texts(cells)[0], False) is None:
            table.footers = line
    if data and count > 2:
        line, cells = data[-1]
        named_so = TOTAL.fullmatch(_texts(cells)[0]) is not None
        if (named_so or (len(table.usual) > 1 and table.is_sparse(cells))) and _sums_up(table, line, cells, named_so):
            table.sums = line


def _sums_up(table: Table, last: int, total: list[str], named_so: bool) -> bool:
    """Return whether the numbers of the last row are sums of the columns above, or means if the row says so."""
    comma = bool(has_decimal_comma([cell for cell in total if cell.strip()]))
    wanted = {n: float(text) for n, cell in enumerate(total) if (text := plain_number(cell, comma)) is not None}
    sums, counts = dict.fromkeys(wanted, 0.0), Counter[int]()
    for line, cells in _filled(table.source):
        if table.start < line < last and not TOTAL.fullmatch(_texts(cells)[0]):
            for place in wanted:
                text = plain_number(cells[place], comma) if place < len(cells) else None
                if text is not None:
                    sums[place] += float(text)
                    counts[place] += 1

    def fits(place: int, value: float) -> bool:
        mean = sums[place] / max(1, counts[place])
        is_sum = math.isclose(sums[place], value, rel_tol=1e-6, abs_tol=0.02)
        return is_sum or (named_so and math.isclose(mean, value, rel_tol=1e-3, abs_tol=0.01))

    found = [fits(place, value) for place, value in wanted.items() if value]
    return (any if named_so else all)(found) and bool(found)


def _filled(source: Source) -> Iterator[Record]:
    return ((line, cells) for line, cells in source.records() if any(cell and not cell.isspace() for cell in cells))


def _texts(cells: list[str]) -> list[str]:
    return [text for cell in cells if (text := cell.strip())]


def _stripped(cells: list[str]) -> list[str]:
    """Return cells without outer blanks and without empty cells at the end."""
    found = [" ".join(cell.split()) for cell in cells]
    while found and not found[-1]:
        found.pop()
    return found


def _unique(names: list[str], unnamed: list[str], notes: list[Note]) -> list[str]:
    """Make names unique and not empty."""
    found: list[str] = []
    taken: set[str] = set()
    for name, other in zip(names, unnamed, strict=True):
        plain = new = name or other
        count = 2
        while new in taken:
            new, count = f"{plain} ({count})", count + 1
        found.append(new)
        taken.add(new)
    repeated = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if repeated:
        notes.append(("Column names that repeat were numbered: {names}.", {"names": ", ".join(repeated[:5])}))
    return found


__all__ = ["MISSING", "NoTable", "Table", "open_tables"]
