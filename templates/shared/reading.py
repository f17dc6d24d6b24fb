"""Opens any file that may have tables: finds out what it is, its encoding, its delimiter and its records.

The content decides, not the name: a workbook named .csv is read as a workbook, and a text named .xls as a text.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import itertools
import json
import re
import zipfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
#: Beginnings of texts that are something other than a table.
TEXTS = {
    r"%PDF-": "a PDF document (application/pdf)",
    r"\{\\rtf": "an RTF document (application/rtf)",
    r"<\?xml[^>]*>\s*(?:<\?[^>]*>\s*)*<(?:\w+:)?Workbook": "an Excel 2003 workbook in XML; save it as .xlsx",
    r"(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|table|meta|title|style|div|center)\b":
        "an HTML page (text/html)",
    r"<\?xml|<!doctype|<svg\b": "an XML document (application/xml)",
    r"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    r"-----BEGIN ": "a key or certificate in PEM format",
}  # fmt: skip
#: Bytes of the beginning, and records that show the dialect.
HEAD, SAMPLE = 256_000, 100
#: Maximum characters of a record of several lines.
MOST = 64_000_000
#: A cell of digits, in the shape of a row.
FIGURE = 1
#: Letters and signs of the languages that Windows-1252 is mostly used for. They show the encoding without a guess.
WESTERN = set("ÄÖÜäöüßéèêëàâîôûçñóíáúÉÀ€£§°«»–’\u00a0")

csv.field_size_limit(2**31 - 1)

#: A remark for the report: a text with placeholders, and the values for them.
Note = tuple[str, dict[str, object]]
Record = tuple[int, list[str]]


class NoTable(Exception):
    """The file has no table. The message says why, and what the file is."""


@dataclass
class Source:
    """Records of one text or one sheet. ``records`` yields each with the number of its first line, blank ones too."""

    path: Path
    encoding: str
    notes: list[Note] = field(default_factory=list)
    sheet: str = ""
    delimiter: str = ""
    #: Lines with a quotation mark that never closes, found so far.
    unclosed: list[int] = field(default_factory=list)

    def records(self) -> Iterator[Record]:
        raise NotImplementedError


def open_sources(path: Path, delimiter: str = "") -> list[Source]:
    """Return the text or the sheets of a file. Raises NoTable."""
    with open(path, "rb") as file:
        start = file.read(HEAD)
    if not start.strip(b"\0\t\n\r \xef\xbb\xbf\xfe\xff"):
        raise NoTable("It is empty.")
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
        return _sheets(path)
    encoding, notes = _encoding(path, start)
    if not encoding:
        raise NoTable(f"It is {_binary(path)}.")
    return [TextSource.open(path, encoding, notes, delimiter)]


# ── workbooks ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class SheetSource(Source):
    """A sheet of a workbook, xlsx, xls, xlsb or ods."""

    rows: Any = None

    def records(self) -> Iterator[Record]:
        for number, row in enumerate(self.rows.iter_rows(), 1):
            yield number, [_cell(value) for value in row]


def _sheets(path: Path) -> list[Source]:
    from python_calamine import (
        CalamineError,
        CalamineWorkbook,
        PasswordError,
        SheetTypeEnum,
        SheetVisibleEnum,
        ZipError,
    )

    try:
        with open(path, "rb") as file:
            book = CalamineWorkbook.from_filelike(file)  # the name says too little: many a .xls is an .xlsx
    except PasswordError:
        raise NoTable("It is a workbook with a password. Remove the password and send it again.") from None
    except ZipError as error:
        raise NoTable(f"It is {_archive(path)}: {error}.") from None
    except CalamineError as error:
        raise NoTable(f"It is {_archive(path)}.") from error
    found: list[Source] = []
    for about in book.sheets_metadata:
        if about.typ != SheetTypeEnum.WorkSheet:
            continue
        try:
            rows = book.get_sheet_by_name(about.name)
        except CalamineError as error:
            raise NoTable(f"Its sheet {about.name} is broken: {error}.") from None
        if rows.height:
            source = SheetSource(path, "workbook", sheet=about.name, rows=rows)
            if about.visible != SheetVisibleEnum.Visible:
                source.notes.append(("The sheet is hidden in the workbook.", {}))
            found.append(source)
    if not found:
        raise NoTable("It is a workbook without a filled cell.")
    return found


def _archive(path: Path) -> str:
    """Say what a ZIP or an Office file is that holds no workbook."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            content = file.read(10_000_000)
        if "EncryptedPackage".encode("utf-16-le") in content:
            return "a workbook with a password. Remove the password and send it again"
        zipped = content.startswith(b"PK")
        return (
            "a broken ZIP archive (application/zip)" if zipped else "an Office file without a workbook, or a broken one"
        )
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
    for name, what in (("word/document.xml", "a Word document"), ("ppt/presentation.xml", "a PowerPoint document")):
        if name in names:
            return what
    if "[Content_Types].xml" in names or "META-INF/manifest.xml" in names:
        return "a document without a workbook, or a broken workbook"
    inside = f", which has {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" if names else ""
    return f"a ZIP archive (application/zip){inside}. Unpack it first"


def _cell(value: object) -> str:
    """Write a cell of a workbook as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        text = repr(value)
        # three decimals would be the same as thousands in a column with decimal commas
        return f"{text}0" if re.fullmatch(r"-?\d+\.\d{3}", text) else text
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class TextSource(Source):
    """A text with delimiters, such as a CSV file."""

    quote: str = '"'
    escape: str | None = None
    width: int = 1

    @classmethod
    def open(cls, path: Path, encoding: str, notes: list[Note], delimiter: str) -> TextSource:
        """Find the dialect of a text. Raises NoTable."""
        source = cls(path, encoding, notes)
        head, size = [], 0
        for line in source._lines():
            head.append(line)
            size += len(line)
            if size > HEAD:
                break
        if what := _text_kind("".join(itertools.islice(head, 2000)), path):
            raise NoTable(f"It is {what}.")
        given = _sep(head[0]) if head else ""
        source.delimiter = delimiter or given or ""
        body = head[1:] if given else head
        shown = [line for line in body if not line.startswith("#")] or body
        source.escape = "\\" if re.search(r'\\"[^,;\t|\r\n]', "".join(shown[:2000])) else None
        dialect = find_dialect(shown, [source.delimiter] if source.delimiter else list(DELIMITERS), source.escape)
        source.delimiter, source.quote, source.width = dialect
        return source

    def records(self) -> Iterator[Record]:
        lines = self._lines()
        first = next(lines, "")
        start = 2 if _sep(first) else 1
        if start == 1:
            lines = itertools.chain([first], lines)
        self.unclosed.clear()
        options = Dialect(self.delimiter, self.quote, self.escape, self.width)
        for number, cells in split_records(lines, options, self.unclosed, start):
            if any(cell[:2] == '="' for cell in cells):  # a spreadsheet's formula for text
                cells = [cell[2:-1] if cell[:2] == '="' and cell[-1:] == '"' else cell for cell in cells]
            yield number, cells

    def _lines(self) -> Iterator[str]:
        with open(self.path, encoding=self.encoding, errors="replace", newline="") as file:
            for line in file:
                if "\0" in line or "\x1a" in line or "\ufeff" in line:
                    line = line.translate({0: None, 0x1A: None, 0xFEFF: None})
                yield line


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


def _sep(line: str) -> str:
    """Return the delimiter of Excel's line ``sep=;``, or an empty text."""
    found = re.fullmatch(r'"?sep=(.)"?[,;\t|]*\s*', line.lstrip("\ufeff"), re.IGNORECASE)
    return found[1] if found else ""


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
            split = split_records(filled, Dialect(delimiter, quote, escape, likely), [])
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


# ── what a file is ───────────────────────────────────────────────────────────────────────────────────────────────────


def _text_kind(head: str, path: Path) -> str:
    """Name a text that is no table, or return an empty text."""
    begin = head.lstrip("\ufeff \t\r\n")[:4000]
    for pattern, what in TEXTS.items():
        if re.match(pattern, begin, re.IGNORECASE | re.DOTALL):
            return what
    if begin.startswith(("{", "[")) and path.stat().st_size < 100_000_000:
        for text in (begin.split("\n", 1)[0], path.read_bytes()):
            try:
                if isinstance(json.loads(text), dict | list):
                    return "JSON (application/json)"
            except ValueError:
                continue
    return ""


def _binary(path: Path) -> str:
    """Name a binary file."""
    import puremagic

    try:
        found = puremagic.magic_file(str(path))
    except (puremagic.PureError, ValueError):
        return "a binary file of an unknown kind"
    if not found:
        return "a binary file of an unknown kind"
    best = next((item for item in found if item.mime_type), found[0])
    more = f" ({best.mime_type})" if best.mime_type else ""
    return f"a binary file: {best.name}{more}"


def _encoding(path: Path, start: bytes) -> tuple[str, list[Note]]:
    """Return the encoding of a text, with a note if it is an assumption. A binary file has none."""
    for mark, name in MARKS:
        if start.startswith(mark):
            return name, []
    if b"\0" in start:
        for name in ("utf-16-le", "utf-16-be"):
            text = start[: len(start) // 2 * 2].decode(name, "replace")
            if sum(_is_odd(character) for character in text) < 0.01 * len(text):
                return name, [("It has no byte order mark; it was read as {encoding}.", {"encoding": name.upper()})]
    if sum(byte < 32 and byte not in b"\t\n\f\r\x1a\x1b" for byte in start) > 0.005 * len(start):
        return "", []
    damaged, good = 0, 0
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 20)
            text = decoder.decode(block, final=not block)
            if not text.isascii():
                bad = len(re.findall("[\udc80-\udcff]", text))
                damaged += bad
                good += len(re.findall("[^\x00-\x7f]", text)) - bad
            if not block:
                break
    if not damaged:
        return "utf-8", []
    if good > 10 * damaged:
        return "utf-8", [("Bytes that are not valid UTF-8 were replaced by a mark: {count}.", {"count": damaged})]
    name = _legacy(path)
    return name, [("It is not UTF-8; it was read as {encoding}.", {"encoding": _shown(name)})]


def _is_odd(character: str) -> bool:
    return (
        character == "\ufffd"
        or (character < " " and character not in "\t\n\f\r\x1a")
        or "\ue000" <= character <= "\uf8ff"
    )


def _legacy(path: Path) -> str:
    """Guess the code page of a text from its lines with letters beyond ASCII."""
    sample = bytearray()
    with open(path, "rb") as file:
        for line in itertools.islice(file, 200_000):
            if not line.isascii():
                sample += line[:10_000]
            if len(sample) > 100_000:
                break
    content = bytes(sample)
    letters = set(content.decode("cp1252", "replace")) - set(map(chr, range(128)))
    if letters <= WESTERN:
        return "cp1252"
    import chardet

    name = chardet.detect(content)["encoding"]
    try:
        content.decode(name or "cp1252")
        return codecs.lookup(name or "cp1252").name
    except (LookupError, UnicodeDecodeError):
        return "cp1252"


def _shown(encoding: str) -> str:
    pages = re.fullmatch(r"cp(125\d)", encoding)
    return f"Windows-{pages[1]} ({encoding})" if pages else encoding
