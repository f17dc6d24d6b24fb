"""Reads log files: packed or not, in any encoding, as lines or as documents of JSON."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

#: Maximum characters of a line; of a line that is not JSON, which is cut; and bytes of a JSON document.
LINE, TEXT, DOCUMENT = 16_000_000, 8192, 64_000_000

PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip

#: Escape sequences for colours and titles, also as rsyslog and JSON write them.
COLOURS = re.compile(r"(?:\x1b|#033|\\x1b|\\u001b|\^\[)\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]")

#: Letters that show Western European text without a guess.
WESTERN = set("ÄÖÜäöüßéèêëàâîôûçñóíáúÉÀ€£§°«»–’\u00a0")

BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


#: A remark for the report: a text with placeholders, and the values for them.
Note = tuple[str, dict[str, object]]


class NoLog(Exception):
    """The file is no log. ``note`` says why."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text)
        self.note: Note = text, values


@dataclass
class LogFile:
    """A file, and remarks on how it was read."""

    path: Path
    notes: list[Note] = field(default_factory=list)
    encoding: str = "utf-8"
    cut: int = 0

    def items(self) -> Iterator[str | dict[str, Any]]:
        """Yield its lines, or the objects of a JSON document. Raises NoLog, and BROKEN for a broken archive."""
        with self._opened() as file:
            start = file.peek(256_000)[:256_000]
            self._find_encoding(start)
            if _is_document(self._decoded(start)):
                content = file.read(DOCUMENT)
                more = bool(file.read(1))
                records = None if more else _records(self._decoded(content))
                if records is not None:
                    yield from records
                    return
                yield from self._lines(io.BytesIO(content))
            yield from self._lines(file)

    def _opened(self) -> Any:
        """Open the file, which may be packed. The result can peek and read lines."""
        with open(self.path, "rb") as file:
            start = file.read(8)
        opened = next((opened for mark, opened in PACKED.items() if start.startswith(mark)), open)
        return opened(self.path, "rb")  # type: ignore[operator]

    def _find_encoding(self, start: bytes) -> None:
        if not start.strip(b"\0\r\n\t \xef\xbb\xbf\xff\xfe"):
            raise NoLog("{name} is empty.")
        for mark, name in MARKS.items():
            if start.startswith(mark):
                self.encoding = name
                return
        if start.count(b"\0") > len(start) / 5:
            self.encoding = "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
            if "\ufffd" not in start[:1000].decode(self.encoding, "replace")[:-1]:
                self.notes.append(
                    ("{name} has no byte order mark; {encoding} was assumed.", {"encoding": self.encoding.upper()})
                )
                return
        if sum(byte < 32 and byte not in b"\t\n\f\r\0\x1a\x1b\x1e\x07\x08" for byte in start) > 0.02 * len(start):
            raise NoLog("{name} is not a text but {kind}.", kind=_binary(start, self.path))
        if start.count(b"\0") > len(start) / 5:
            raise NoLog("{name} is not a text but {kind}.", kind=_binary(start, self.path))

    def _decoded(self, content: bytes) -> str:
        return content.decode(self.encoding, "replace")

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        if not self.encoding.startswith(("utf-16", "utf-32")):
            yield from self._read_lines(file, b"\n")
            return
        text = io.TextIOWrapper(file, self.encoding, "replace", newline="\n")
        yield from self._read_lines(text, "\n")
        text.detach()  # the caller closes the file

    def _read_lines(self, file: IO[Any], end: bytes | str) -> Iterator[str]:
        while line := file.readline(LINE):
            rest = line[:0] if line.endswith(end) else file.readline(LINE)
            self.cut += bool(rest)
            while rest and not rest.endswith(end):
                rest = file.readline(LINE)
            yield self._clean(line)

    def _clean(self, line: str | bytes) -> str:
        if isinstance(line, bytes):
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text = self._legacy(line)
        else:
            text = line
        text = text.lstrip("\ufeff\x1e").replace("\0", "")
        if "\x1b" in text or "[" in text:
            text = COLOURS.sub("", text)
        text = text.rstrip().rpartition("\r")[2]  # a progress bar overwrites its line
        if len(text) > TEXT and not text.lstrip().startswith(("{", "data: {")):
            text = text[:TEXT]
            self.cut += 1
        return text.removeprefix("data: ") if text.startswith("data: {") else text

    def _legacy(self, line: bytes) -> str:
        """Decode a line that is not UTF-8. The first one decides the code page of the file."""
        if self.encoding in ("utf-8", "utf-8-sig"):
            letters = set(line.decode("cp1252", "replace")) - set(map(chr, range(128)))
            if letters <= WESTERN:
                self.encoding = "cp1252"
            else:
                import chardet

                found = chardet.detect(line)["encoding"]
                self.encoding = codecs.lookup(found or "cp1252").name
            self.encoding = "cp1252" if self.encoding in ("utf-8", "ascii") else self.encoding
            told = "{name} has lines that are not UTF-8; {encoding} was assumed."
            self.notes.append((told, {"encoding": self.encoding}))
        return line.decode(self.encoding, "replace")


def _is_document(start: str) -> bool:
    """Tell whether a file is one JSON document, or objects over several lines each, and not one object a line."""
    start = start.lstrip("\ufeff\x1e \t\r\n")
    if re.match(r"\[\s*[{\]]", start):
        return True
    first, *others = start.split("\n")
    if not start.startswith("{") or not any(line.strip() for line in others):
        return start.startswith("{")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return bool(re.match(r'\{\s*(?:"|$)', first))
    return False


def _records(text: str) -> list[dict[str, Any]] | None:
    """Return the objects of a JSON document: of an array, of objects one after the other, or of a list in an object."""
    decoder, found, place = json.JSONDecoder(), [], 0
    text = text.lstrip("\ufeff")
    while rest := re.compile(r"[\s,\x1e]*").match(text, place):
        place = rest.end()
        if place == len(text):
            break
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        found += value if isinstance(value, list) else [value]
    if len(found) == 1 and isinstance(found[0], dict):
        found = _inner(found[0])
    return [item.get("_source", item) if isinstance(item.get("_source", item), dict) else item
            for item in found if isinstance(item, dict)]  # fmt: skip


def _inner(document: dict[str, Any], depth: int = 0) -> list[Any]:
    """Return the longest list of objects in a document, such as Records of CloudTrail or hits of a search engine."""
    lists = [value for value in document.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        return max(lists, key=len)
    if depth < 2:
        for value in document.values():
            if isinstance(value, dict) and len(inner := _inner(value, depth + 1)) > 1:
                return inner
    return [document]


def _binary(start: bytes, path: Path) -> str:
    if start.startswith(b"LPKSHHRH"):
        return "a journal of systemd; export it with journalctl -o json"
    if start.startswith(b"ElfFile"):
        return "an event log of Windows; export it as CSV or XML"
    import puremagic

    try:
        found = puremagic.magic_string(start, filename=path.name)
    except (puremagic.PureError, ValueError):
        return "a binary file of an unknown kind"
    best = next((item for item in found if item.mime_type), found[0])
    return f"a {best.name}{f' ({best.mime_type})' if best.mime_type else ''}"
