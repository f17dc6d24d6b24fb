"""Finds the delimiter and the quotation marks of a text, and divides it into records."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
#: Records that show the dialect, and maximum characters of a record of several lines.
SAMPLE, MOST = 100, 64_000_000
#: A cell of digits, in the shape of a row.
FIGURE = 1

csv.field_size_limit(2**31 - 1)

#: The number of a record's first line, and its cells.
Record = tuple[int, list[str]]


@dataclass(frozen=True)
class Dialect:
    delimiter: str
    quote: str
    escape: str | None
    width: int


class _Stray(Exception):
    """A quotation mark swallows lines that are records."""


class _Lines:
    """Lines that can be put back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._back, self._size = iter(lines), deque[str](), 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        self._size += len(line)
        if self._size > MOST and len(self.taken) > 1:
            raise _Stray
        return line

    def begin(self) -> None:
        self.taken = []
        self._size = 0

    def ended(self) -> bool:
        """Return whether no line follows."""
        if not self._back:
            self._back.extend(itertools.islice(self._lines, 1))
        return not self._back

    def put_back(self, lines: list[str]) -> None:
        self._back.extendleft(reversed(lines))


def split_records(lines: Iterable[str], dialect: Dialect, unclosed: list[int], start: int = 1) -> Iterator[Record]:
    """Yield records with the number of their first line. A cell in quotation marks may have several lines.

    A mark that never closes, or that closes only at another cell's mark, would swallow all lines between. Such a mark
    is read as text, and ``unclosed`` gets its line.
    """
    source = _Lines(lines)
    number = start
    options: dict[str, Any] = {"delimiter": dialect.delimiter or "\x1f", "escapechar": dialect.escape}
    options |= {"skipinitialspace": True, "quotechar": dialect.quote}
    reader = csv.reader(source, **options)
    shape: tuple[int, ...] = ()
    while True:
        source.begin()
        try:
            cells = next(reader)
            taken = source.taken
            if len(taken) > 1:
                stray = _swallows(taken, cells, dialect, options, shape, source.ended())
            else:
                stray = taken[0].count(dialect.quote) % 2 == 1 and source.ended() and _fault(taken, options) == "open"
        except StopIteration:
            return
        except _Stray:
            stray, taken = True, source.taken
            reader = csv.reader(source, **options)
        if stray:
            source.put_back(taken[1:])
            unclosed.append(number)
            cells, taken = _without_stray(taken[0], dialect, options), taken[:1]
        if not shape and len(taken) == 1 and len(cells) == dialect.width and number > start:
            shape = _shape(cells)
        yield number, cells
        number += len(taken)


def _swallows(
    lines: list[str], cells: list[str], dialect: Dialect, options: dict[str, Any], shape: tuple[int, ...], ended: bool
) -> bool:
    """Return whether a record of several lines is several records, joined by a mark that does not close its cell."""
    fault = _fault(lines, options)
    if fault == "open":
        return ended
    if dialect.width == 1:
        return False
    inner = lines[1:-1][:1000]
    if fault or len(cells) != dialect.width:
        alone = sum(line.count(dialect.delimiter) == dialect.width - 1 for line in inner or lines[1:])
        return alone > 0.6 * len(inner or lines[1:])
    # the mark closes as it should: only lines that look like the rows of this table are rows
    alike = sum(_shape(line.rstrip("\r\n").split(dialect.delimiter)) == shape for line in inner)
    return FIGURE in shape and len(inner) > 2 and alike > 0.6 * len(inner)


def _shape(cells: list[str]) -> tuple[int, ...]:
    """Return the kind of each cell: empty, a figure, or a text."""
    return tuple(0 if not cell else FIGURE if re.fullmatch(r"[\d.,:/ +-]+", cell.strip('"')) else 2 for cell in cells)


def _fault(lines: list[str], options: dict[str, Any]) -> str:
    """Return ``open`` if a quotation mark does not close in these lines, and ``wrong`` if one closes within a text."""
    try:
        list(csv.reader(lines, strict=True, **options))
    except csv.Error as error:
        return "open" if "unexpected end" in str(error) else "wrong"
    return ""


def _without_stray(line: str, dialect: Dialect, options: dict[str, Any]) -> list[str]:
    """Return the cells of a line whose last opening quotation mark is text."""
    line = line.rstrip("\r\n")
    place = line.rfind(dialect.delimiter + dialect.quote) + len(dialect.delimiter)
    if not dialect.delimiter or place < len(dialect.delimiter):
        place = 0
    hidden = "\ue000"  # stands for the mark, which csv would read as an opening one
    text = line[:place] + line[place:].replace(dialect.quote, hidden, 1)
    if _fault([text], options) == "open":
        return next(csv.reader([line], delimiter=dialect.delimiter or "\x1f", quoting=csv.QUOTE_NONE), [])
    return [cell.replace(hidden, dialect.quote) for cell in next(csv.reader([text], **options), [])]


def find_dialect(lines: list[str], delimiters: list[str], escape: str | None = None) -> tuple[str, str, int]:
    """Return the delimiter, the quotation mark, and the number of cells of most records.

    Each dialect is tried on whole records, not on lines. The best dialect gives records of one width, of many cells,
    that look like cells: no number, date or text with another delimiter in it.
    """
    filled = [line for line in lines if line.strip()]
    if not "".join(filled).strip(f"{''.join(delimiters)}\"' \r\n"):
        return max(delimiters, key="".join(filled).count), '"', 1
    if len(delimiters) > 1 and _is_one_column(filled, delimiters):
        return "", '"', 1
    best, best_score = ("", '"', 1), 0.0
    for delimiter in delimiters:
        counts = Counter(line.count(delimiter) + 1 for line in filled[:SAMPLE])
        likely = max(counts, key=lambda width: (counts[width], width), default=1)
        for quote in ('"', "'"):
            if quote == "'" and not _quotes_cells(filled[:SAMPLE], delimiter):
                continue
            for expected in (1, likely):  # cells of several lines hide the width, and so do marks that never close
                split = split_records(filled, Dialect(delimiter, quote, escape, expected), [])
                records = [cells for _, cells in itertools.islice(split, SAMPLE) if any(cells)]
                score, width = _score(records, delimiter)
                if score > best_score:
                    best, best_score = (delimiter, quote, width), score
    if len(delimiters) == 1 and not best[0]:
        return delimiters[0], '"', 1
    return best


def _score(records: list[list[str]], delimiter: str) -> tuple[float, int]:
    """Return how well records fit a delimiter, and the width of most of them."""
    widths = Counter(map(len, records))
    if not widths or max(widths) == 1:
        return 0.0, 1
    width = max(widths, key=lambda item: (widths[item], item))
    shares = {item: count / len(records) for item, count in widths.items()}
    regular = sum(share * (item - 1) / item for item, share in shares.items()) * sum(
        share**2 for share in shares.values()
    )
    cells = [cell for record in records for cell in record]
    fitting = sum(_fits(cell, delimiter) for cell in cells) / len(cells)
    begins = 1.0 if len(records[0]) == width else 0.5
    return regular * fitting * begins, width


def _fits(cell: str, delimiter: str) -> float:
    """Return how much a cell looks like a whole cell."""
    if delimiter in cell or not cell:
        return 1.0  # it was in quotation marks
    if any(sign in cell for sign in ";\t|"):
        return 0.0
    if re.fullmatch(r"[\d.,'’\s:/+€$%-]+", cell):
        return 1.0
    return 0.5 if "," in cell or '"' in cell else 1.0


def _quotes_cells(lines: list[str], delimiter: str) -> bool:
    """Return whether most lines have a cell in single quotation marks."""
    sign = re.escape(delimiter)
    quoted = re.compile(rf"(?:^|{sign})'[^']*'(?:{sign}|\s*$)")
    return sum(bool(quoted.search(line)) for line in lines) > 0.5 * len(lines)


def _is_one_column(lines: list[str], delimiters: list[str]) -> bool:
    """Return whether a header without a delimiter stands above numbers, whose commas are decimal signs."""
    if len(lines) < 2 or any(sign in lines[0] for sign in delimiters):
        return False
    number = re.compile(r'\s*"?[-+(]?[€$£]?\s?\d[\d.\' ]*(?:,\d+)?\s?[%€$£)]?"?\s*')
    return sum(bool(number.fullmatch(line)) for line in lines[1:SAMPLE]) >= 0.9 * len(lines[1:SAMPLE])
