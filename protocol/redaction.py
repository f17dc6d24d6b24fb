"""Keeps secrets out of everything that leaves a job: texts, streams, and files.

Both sides use it. A mark ``[secret NAME]`` replaces the value. ``forms`` lists the encodings in which a value is also
found. Without secrets, this costs nothing.
"""

from __future__ import annotations

import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the packing process must start fast
    from collections.abc import Iterable, Iterator, Mapping, Set
    from typing import Any, Literal

#: Minimum characters of a value, or of one of its lines. Shorter texts occur by chance.
SHORTEST, SHORTEST_LINE = 6, 16

#: Maximum needles that are searched one by one, each at the same cost. Longer needles beyond it are found by their
#: words.
ONE_BY_ONE = 24

#: Bytes of such a word, and its letter in a memoryview. Any text of twice this length minus one contains a whole word.
WORDS: tuple[tuple[int, Literal["Q", "I"]], ...] = ((8, "Q"), (4, "I"))

#: Bytes of a needle's beginning that are searched before all of it is compared.
BEGINNING = 8

#: The start of every mark.
MARK = "[secret "

#: Values under these keys are fixed words or pictures in base64, not texts.
FIXED = frozenset(
    {
        "kind",
        "phase",
        "status",
        "reason",
        "network",
        "state",
        "purpose",
        "planned_by",
        "about",
        "image/png",
        "image/jpeg",
    }
)

#: Under these keys, all keys are the user's own words, so none is FIXED.
OF_USERS = frozenset({"labels", "inputs"})

#: Header lines of PEM files, which are the same in all files of a kind.
PEM_EDGE = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")

#: JSON escapes for characters with a meaning in HTML: in Go and Jinja, and (upper case) in PHP.
JSON_IN_HTML = [
    str.maketrans({character: f"\\u{ord(character):{form}}" for character in characters})
    for characters in ("<>&", "<>&'")
    for form in ("04x", "04X")
]

#: HTML and XML entities of double and single quotes. Libraries differ in their choice.
HTML_QUOTES = [
    ('"', "'"), ("&quot;", "'"), ("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("&quot;", "&#039;"), ("&quot;", "&apos;"),
    ("&#34;", "&#39;"),
]  # fmt: skip

#: A quote inside a quoted text: in bash, ``shlex.quote``, YAML and SQL, and CSV.
QUOTES_IN_QUOTES = [("'", "'\\''"), ("'", "'\"'\"'"), ("'", "''"), ('"', '""')]

#: Characters that shells escape with a backslash: inside double quotes, and (``printf %q``) without quotes.
SHELL_SPECIAL = [r'[$`"\\]', r"""[ !"$&'()*,;<>?\[\\\]^`{|}]"""]

#: Characters that stay unescaped in URLs: Python's ``quote``, ``encodeURIComponent``, ``encodeURI`` and ``requests``.
URL_SAFE = ["/", "", "!*'()", ";/?:@&=+$,#!*'()", ";/?:@&=+$,#!*'()%"]


def mark(name: str) -> str:
    """Return the mark that replaces a secret."""
    return f"{MARK}{name}]"


def fixed_under(key: str, fixed: Set[str] = FIXED) -> Set[str]:
    """Return the FIXED keys below a key, in a structure with ``fixed`` ones."""
    return frozenset() if key in OF_USERS else fixed


class Needles:
    """The search patterns: the values of secrets (name → value) in all their forms. False if there are none."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names: dict[bytes, str] = {}
        for name, value in secrets.items():
            for form in forms(value):
                self._names.setdefault(form, name)
        self.longest = max(map(len, self._names), default=0)
        self._plain = list(self._names)
        self._by_words: list[tuple[int, Literal["Q", "I"], dict[int, list[bytes]], frozenset[int]]] = []
        for size, letter in WORDS:
            if len(self._plain) <= ONE_BY_ONE:
                break
            long = [needle for needle in self._plain if len(needle) >= 2 * size - 1]
            self._plain = [needle for needle in self._plain if len(needle) < 2 * size - 1]
            table: dict[int, list[bytes]] = {}
            for needle in long:
                for begin in range(size):
                    word = int.from_bytes(needle[begin : begin + size], sys.byteorder)
                    table.setdefault(word, []).append(needle)
            self._by_words.append((size, letter, table, frozenset(table)))
        self._short_beginnings = frozenset(
            needle[:length] for needle in self._names for length in range(1, min(BEGINNING, len(needle)))
        )

    def __bool__(self) -> bool:
        return bool(self._names)

    def names_in(self, data: bytes) -> set[str]:
        """Return the names of the secrets in a text or bytes."""
        return {self._names[needle] for needle in self._found(data)}

    def text(self, text: str) -> str:
        """Return a text with marks instead of secrets."""
        if not self._names:
            return text
        data = text.encode("utf-8", "surrogatepass")  # a file's name may contain undecodable bytes
        spans = self.spans(data)
        return self._marked(data, spans).decode("utf-8", "surrogatepass") if spans else text

    def structure(self, value: Any, fixed: Set[str] = FIXED) -> Any:
        """Return the structure of dicts, lists, dataclasses and rows with marks in its texts.

        Field names and keys stay, and so do values under ``fixed`` keys.
        """
        if not self._names:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                key: inner if key in fixed else self.structure(inner, fixed_under(key, fixed))
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return type(value)(self.structure(inner, fixed) for inner in value)
        of_dataclass: dict[str, Any] = getattr(value, "__dataclass_fields__", {})
        # SQLAlchemy's attributes of a row
        fields: dict[str, Any] = of_dataclass or getattr(type(value), "model_fields", {})
        if not fields:
            return value
        changed = self.structure({name: getattr(value, name) for name in fields if name not in FIXED})
        if of_dataclass:
            from dataclasses import replace

            return replace(value, **changed)
        return value.model_copy(update=changed)

    def spans(self, data: bytes) -> list[tuple[int, int, list[str]]]:
        """Return the places of secrets, [begin, end) and their names, in order. Overlapping ones are merged."""
        found = []
        for needle in self._found(data):
            begin = at = data.find(needle)
            while at >= 0:
                end = at + len(needle)
                at = data.find(needle, at + 1)  # a repetitive needle may overlap itself
                if not 0 <= at < end:
                    found.append((begin, end, [self._names[needle]]))
                    begin = at
        return merged(found)

    def unfinished(self, data: bytes) -> int:
        """Return the position of the first secret that may continue beyond ``data``, or its length."""
        lengths = range(min(BEGINNING, len(data) + 1) - 1, 0, -1)
        length = next((length for length in lengths if data[-length:] in self._short_beginnings), 0)
        first = len(data) - length
        for needle in self._names:
            at = data.find(needle[:BEGINNING], max(0, len(data) - len(needle) + 1))
            while 0 <= at < first:
                if needle.startswith(data[at:]):
                    first = at
                at = data.find(needle[:BEGINNING], at + 1)
        return first

    def _found(self, data: bytes) -> list[bytes]:
        """Return the needles found in the data."""
        near = list(self._plain)
        for size, letter, table, words in self._by_words:
            for word in words.intersection(memoryview(data)[: len(data) // size * size].cast(letter)):
                near += table[word]
        return [needle for needle in dict.fromkeys(near) if needle in data]

    @staticmethod
    def _marked(data: bytes, spans: Iterable[tuple[int, int, list[str]]]) -> bytes:
        parts, at = [], 0
        for begin, end, names in spans:
            parts += [data[at:begin], *(mark(name).encode() for name in names)]
            at = end
        return b"".join([*parts, data[at:]])


class Stream:
    """Takes bytes and returns them with marks.

    It holds back only bytes that may begin a secret, until the next bytes decide.
    """

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._held = b""
        self._known = 0  # held bytes of secrets whose marks were returned already:
        self._given = list[str]()

    def feed(self, data: bytes) -> bytes:
        """Take bytes, and return all text that is now certain."""
        if not self._needles:
            return data
        data = self._held + data
        until = self._needles.unfinished(data)
        if until:
            return self._release(data, until)
        self._held = data
        return b""

    def close(self) -> bytes:
        """Return the rest. No more bytes follow."""
        return self._release(self._held, len(self._held)) if self._held else b""

    def _release(self, data: bytes, until: int) -> bytes:
        parts, at, known, given = [], 0, 0, list[str]()
        spans = self._needles.spans(data)
        if self._known:
            spans = merged([(0, self._known, self._given), *spans])
        for begin, end, names in spans:
            if begin >= until:
                break  # the next call finds it again
            before = self._given if begin == 0 and self._known else ()
            parts += [data[at:begin], *(mark(name).encode() for name in names if name not in before)]
            at, known, given = min(end, until), max(0, end - until), names
        parts.append(data[at:until])
        self._held, self._known, self._given = data[until:], known, given
        return b"".join(parts)


class Scan:
    """Searches a file while it is read. ``names`` are the secrets found."""

    def __init__(self, needles: Needles) -> None:
        self._needles, self._end = needles, b""
        self.names: set[str] = set()

    def feed(self, chunk: bytes) -> None:
        data = self._end + chunk
        self.names |= self._needles.names_in(data)
        self._end = data[1 - self._needles.longest :]


def merged(spans: Iterable[tuple[int, int, list[str]]]) -> list[tuple[int, int, list[str]]]:
    """Return spans in order, with overlapping ones merged."""
    found: list[tuple[int, int, list[str]]] = []
    for begin, end, names in sorted(spans):
        if found and begin < found[-1][1]:
            before = found[-1]
            found[-1] = (before[0], max(before[1], end), list(dict.fromkeys([*before[2], *names])))
        else:
            found.append((begin, end, names))
    return found


def forms(value: str) -> set[bytes]:
    """Return the forms of a value: as it is, escaped as in JSON, Python, URLs, HTML and shells, in base64 and hex.

    Each long enough line of a multi-line value counts too. White space at the ends does not count.
    """
    value = value.strip()
    content = value.encode()
    texts = {value, *escaped(value), *lines(value)}
    in_hex = content.hex()
    return {text.encode() for text in (*texts, in_hex, in_hex.upper())} | set(based(content))


def lines(value: str) -> Iterator[str]:
    """Return the lines of a value that are worth hiding alone. A key in JSON has escaped line ends."""
    parts = re.split(r"[\r\n]+|\\n", value)
    if len(parts) > 1:
        for line in map(str.strip, parts):
            if len(line) >= SHORTEST_LINE and not PEM_EDGE.fullmatch(line):
                yield line


def escaped(value: str) -> Iterator[str]:
    import html
    import json
    from urllib.parse import quote, quote_plus

    in_unicode = json.dumps(value, ensure_ascii=False)[1:-1]
    for text in (in_unicode, json.dumps(value)[1:-1]):
        for slashed in (text, text.replace("/", "\\/")):  # the second form is PHP's
            yield slashed
            for codes in JSON_IN_HTML:
                yield slashed.translate(codes)
    yield re.sub(r"[^\x00-\x7f]", _yaml_code, in_unicode)
    yield repr(value)[1:-1]
    yield repr(value.encode())[2:-1]
    in_html = html.escape(value, quote=False)
    for double, single in HTML_QUOTES:
        yield in_html.replace('"', double).replace("'", single)
    for quote_mark, in_quotes in QUOTES_IN_QUOTES:
        yield value.replace(quote_mark, in_quotes)
    for special in SHELL_SPECIAL:
        yield re.sub(special, r"\\\g<0>", value)
    for url in (*(quote(value, safe=safe) for safe in URL_SAFE), quote_plus(value)):
        yield url
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), url)


def _yaml_code(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02X}" if number < 0x100 else f"\\u{number:04X}" if number < 0x10000 else f"\\U{number:08X}"


def based(content: bytes) -> Iterator[bytes]:
    """Return the base64 characters of a value in both alphabets, at any offset inside the encoded data."""
    from base64 import b64encode

    for before in range(3):
        encoded = b64encode(bytes(before) + content)
        inner = encoded[-(-8 * before // 6) : 8 * (before + len(content)) // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))
