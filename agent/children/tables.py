"""Describes data for a model in a sentence: the columns of a table, the fields of JSON, or the words of a log's lines.

Without this sentence, models guess from the first rows. They then miss a log's rare level, or a table's empty cells.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

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
    given = re.match(r'\ufeff?"?sep=(.)"?[,;\t|]*\s*\n', head, re.IGNORECASE)
    body = "".join(line for line in head.splitlines(keepends=True)[given is not None :] if not line.startswith("# "))
    delimiter = given[1] if given else max(DELIMITERS, key=lambda sign: _score(_split(body, sign, whole), sign))
    rows = _split(body, delimiter, whole)
    # titles may stand above the header: the table begins at its usual width
    usual = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    above = next((n for n, row in enumerate(rows) if len(row) == usual and sum(map(bool, row)) > 1), 0)
    rows = rows[above:]
    if len(rows) < 2 or usual < 2 or len(rows[0]) != len(rows[1]) or len(rows[0]) > COLUMNS:
        return ""
    if above and any(map(_is_number, rows[0])):
        return ""  # a header of one column stands above decimal commas
    names = [name.strip() for name in rows[0]]
    pairs = "; ".join(f"{name!r}: {value[:60]!r}" for name, value in zip(names, rows[1], strict=True))
    count = f"{head.count(chr(10)):,}" if whole else f"about {round(size * head.count(chr(10)) / len(head.encode())):,}"
    said = f"a table of {count} lines with a header, delimiter {delimiter!r}"
    said += "" if delimiter == "," else f" (pandas: sep={delimiter!r})"
    more = [text for n, name in enumerate(names) if (text := _column(name, [r[n] for r in rows[1:] if len(r) > n]))]
    return ". ".join([f"{said}. Its first row, by column: {pairs}", *more])


def _split(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Return the records of a text that are not blank, without the last one if the text is cut."""
    blanks = re.search(rf'{re.escape(delimiter)} +"', text) is not None
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=blanks))
    except csv.Error:
        return []
    return [row for row in (rows if whole else rows[:-1]) if any(cell.strip() for cell in row)]


def _score(rows: list[list[str]], delimiter: str) -> float:
    """Return how well records fit a delimiter, by the rule of the templates' reader (templates/shared/dialect.py)."""
    widths = Counter(map(len, rows))
    if not widths or max(widths) == 1:
        return 0.0
    shares = {width: count / len(rows) for width, count in widths.items()}
    regular = sum(share * (width - 1) / width for width, share in shares.items())
    cells = [cell for row in rows for cell in row]
    fitting = sum(_fits(cell, delimiter) for cell in cells) / len(cells)
    begins = 1.0 if len(rows[0]) == max(widths, key=lambda width: (widths[width], width)) else 0.5
    return regular * sum(share**2 for share in shares.values()) * fitting * begins


def _fits(cell: str, delimiter: str) -> float:
    """Return how much a cell looks like a whole cell."""
    if delimiter in cell or not cell:
        return 1.0  # it was in quotation marks
    if any(sign in cell for sign in ";\t|"):
        return 0.0
    plain = re.fullmatch(r"[\d.,'’\s:/+€$%-]+", cell) is not None
    return 0.5 if not plain and ("," in cell or '"' in cell) else 1.0


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


def objects(head: str, whole: bool) -> str:
    """Describe JSON objects, one a line or in an array, by their fields. Returns an empty text for any other text."""
    try:
        if head.startswith("["):
            found = json.loads(head) if whole else None
        else:
            texts = head.splitlines() if whole or head.endswith("\n") else head.splitlines()[:-1]
            found = [json.loads(text) for text in texts if text.strip()]
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(one, dict) for one in found):
        return ""
    flat = [dict(_fields(one)) for one in found]
    names = list(dict.fromkeys(name for one in flat for name in one))
    listed = ", ".join(map(repr, names[:COLUMNS])) + (" …" if len(names) > COLUMNS else "")
    shape = "an array of JSON objects" if head.startswith("[") else "one JSON object a line"
    said = [f"{shape}, with the fields {listed}"]
    for name in names[:COLUMNS]:
        values = [str(one[name]) for one in flat if one.get(name) is not None]
        notable = [f"is one of {kinds}"] if (kinds := _few(values)) else []
        notable += ["is missing in some objects"] if len(values) < len(flat) else []
        said += [f"{name!r} {' and '.join(notable)}"] if notable else []
    return ". ".join(said)


def _fields(value: dict[str, object], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yield the fields of an object. The names of nested fields are joined with dots."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner and depth < 2:
            yield from _fields(inner, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}"[:WIDE], inner


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
