"""Describes data for a model in a sentence: the columns of a table, or the words of a log's lines.

Without this sentence, models guess from the first rows. They then miss a log's rare level, or a table's empty cells.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence

#: Column delimiters.
DELIMITERS = ",;\t|"

#: Minimum rows for a statement, maximum different values in a list, and maximum characters of a value.
ROWS, VALUES, WIDE = 8, 8, 40

#: Words that give the level of a log's line.
LEVELS = frozenset(("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"))

#: Words examined at the start of a line, and maximum columns described.
WORDS, COLUMNS = 6, 60


def table(head: str, size: int) -> str:
    """Describe the columns of a table by its first row and by common properties of the cells.

    Returns an empty text if the file is not a table. ``head`` is the beginning of the file, ``size`` its size in bytes.
    """
    whole = size <= len(head.encode()) + 3
    lines = [line for line in head.splitlines() if line.strip()]
    lines = lines if whole else lines[:-1]
    if len(lines) < 2:
        return ""
    delimiter = max(DELIMITERS, key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    if not lines[0].count(delimiter) or len(rows[0]) != len(rows[1]) or len(rows[0]) > COLUMNS:
        return ""
    names = [name.strip() for name in rows[0]]
    pairs = "; ".join(f"{name!r}: {value[:60]!r}" for name, value in zip(names, rows[1], strict=True))
    count = f"{head.count(chr(10)):,}" if whole else f"about {round(size * head.count(chr(10)) / len(head.encode())):,}"
    said = f"a table of {count} lines with a header, delimiter {delimiter!r}"
    said += "" if delimiter == "," else f" (pandas: sep={delimiter!r})"
    more = [text for n, name in enumerate(names) if (text := _column(name, [r[n] for r in rows[1:] if len(r) > n]))]
    return ". ".join([f"{said}. Its first row, by column: {pairs}", *more])


def _column(name: str, cells: Sequence[str]) -> str:
    """Return the notable properties of a column, or an empty text."""
    if len(cells) < ROWS:
        return ""
    said = []
    full = [cell for cell in cells if cell.strip()]
    if kinds := _few(cell.strip() for cell in full):
        said.append(f"is one of {kinds}")
    odd = list(dict.fromkeys(cell for cell in full if not _is_number(cell)))
    if odd and len(odd) <= 3 and sum(map(_is_number, full)) > 0.7 * len(full):
        said.append(f"has values that are no number: {', '.join(map(repr, odd))}")
    if len(full) < len(cells):
        said.append("is empty in some rows")
    if any(cell != cell.strip() for cell in full):
        said.append("has blanks around some values")
    return f"{name!r} {' and '.join(said)}" if said else ""


def lines(head: str) -> str:
    """Describe a log by the words at the same place in each line. Returns an empty text if nothing is notable."""
    whole = head.splitlines() if head.endswith("\n") else head.splitlines()[:-1]
    split = [line.split() for line in whole if line.strip()]
    if len(split) < 3 * ROWS or sum(len(words) > 1 for words in split) < 0.9 * len(split):
        return ""
    said = []
    for place in range(WORDS):
        words = [line[place] for line in split if len(line) > place]
        if len(words) > 0.9 * len(split) and (kinds := _few(words)):
            said.append(f"line.split()[{place}] is one of {kinds}")
            if LEVELS & set(words):
                said.append(f"line.split(maxsplit={place + 1})[{place + 1}] is the message")
    return "; ".join(said)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _few(values: Iterable[str]) -> str:
    """List the different values if they are few and repeat often. Otherwise return an empty text."""
    values = list(values)
    kinds = list(dict.fromkeys(values))
    if not 1 < len(kinds) <= min(VALUES, len(values) // 3) or max(map(len, kinds)) > WIDE:
        return ""
    if sum(map(_is_number, kinds)) > 0.5 * len(kinds):
        return ""
    return ", ".join(repr(kind) for kind in kinds)
