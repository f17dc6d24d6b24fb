"""Opens any file that may have tables: finds out what it is, its encoding, its delimiter and its records.

The content decides, not the name: a workbook named .csv is read as a workbook, and a text named .xls as a text.
"""

from __future__ import annotations

import codecs
import datetime
import itertools
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dialect import DELIMITERS, Dialect, Record, find_dialect, split_records

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
#: Bytes of the beginning.
HEAD = 256_000
#: Letters and signs of the languages that Windows-1252 is mostly used for. They show the encoding without a guess.
WESTERN = set("ÄÖÜäöüßéèêëàâîôûçñóíáúÉÀ€£§°«»–’\u00a0")

#: A remark for the report: a text with placeholders, and the values for them.
Note = tuple[str, dict[str, object]]


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
    import python_calamine as calamine

    try:
        with open(path, "rb") as file, _without_panic():
            book = calamine.CalamineWorkbook.from_filelike(file)  # the name says too little: many a .xls is an .xlsx
    except calamine.PasswordError:
        raise NoTable("It is a workbook with a password. Remove the password and send it again.") from None
    except calamine.CalamineError as error:
        raise NoTable(f"It is {_archive(path)}.") from error
    found: list[Source] = []
    broken: list[str] = []
    for about in book.sheets_metadata:
        if about.typ != calamine.SheetTypeEnum.WorkSheet:
            continue
        try:
            with _without_panic():
                rows = book.get_sheet_by_name(about.name)
        except (calamine.CalamineError, NoTable):
            broken.append(about.name)
            continue
        if rows.height:
            source = SheetSource(path, "workbook", sheet=about.name, rows=rows)
            if about.visible != calamine.SheetVisibleEnum.Visible:
                source.notes.append(("The sheet is hidden in the workbook.", {}))
            found.append(source)
    if not found:
        what = f"whose sheets are broken: {', '.join(broken)}" if broken else "without a filled cell"
        raise NoTable(f"It is a workbook {what}.")
    if broken:
        found[0].notes.append(("Broken sheets that were left out: {names}.", {"names": ", ".join(broken)}))
    return found


@contextmanager
def _without_panic() -> Iterator[None]:
    """Raise NoTable if the library gives up on a broken file. Its exception has no public type, and no common base."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise NoTable("It is a broken workbook.") from None


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
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        return "a broken ZIP archive (application/zip)"
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


def _sep(line: str) -> str:
    """Return the delimiter of Excel's line ``sep=;``, or an empty text."""
    found = re.fullmatch(r'"?sep=(.)"?[,;\t|]*\s*', line.lstrip("\ufeff"), re.IGNORECASE)
    return found[1] if found else ""


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
