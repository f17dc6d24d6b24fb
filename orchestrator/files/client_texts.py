"""Texts as clients encode them: names in the headers of a form, form fields, and JSON bodies."""

from __future__ import annotations

import codecs
import json
import re
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import quote, unquote

#: Charsets that count if a client names one and its text is not UTF-8.
DECLARED = frozenset(
    ("iso8859-1", "iso8859-15", "cp1252", "cp1251", "koi8-r", "cp932", "shift_jis", "euc_jp", "gbk", "gb18030", "big5",
     "euc_kr")
)  # fmt: skip

#: A name in encoded words (RFC 2047). .NET writes a name outside of ASCII so, beside ``filename*``.
_WORDS = re.compile(r"(=\?[\w.+-]+\?[bq]\?[^?\s]*\?=\s*)+", re.IGNORECASE)


def decode(content: bytes, charset: str | None = None) -> str:
    """Decode a text: UTF-8, or UTF-16 with a byte order mark, or else the charset that the client names.

    A byte order mark is not part of the text. Raises UnicodeDecodeError.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return _or_declared(content, "utf-8-sig", charset)


def decode_json(content: bytes, charset: str | None = None) -> str:
    """Decode a JSON document: UTF-8, UTF-16 or UTF-32 (by its first bytes), or else the charset that the client names.

    Raises UnicodeDecodeError.
    """
    return _or_declared(content, json.detect_encoding(content), charset)


def _or_declared(content: bytes, encoding: str, charset: str | None) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        try:
            declared = codecs.lookup(charset or "").name
        except (LookupError, ValueError):
            declared = ""
        if declared not in DECLARED:
            raise
        return content.decode(declared)


def disposition(header: bytes, percent_encoded: bool = False) -> tuple[str, str | None] | None:
    """Return the field name and the file name of a form's part, or None if the header has no field name.

    ``filename*`` (RFC 8187) counts before ``filename``. ``percent_encoded`` says that the client encodes every plain
    name. Raises UnicodeDecodeError if a name is not UTF-8.
    """
    message = Message()
    message["Content-Disposition"] = header.decode("latin-1")
    try:
        (kind, _), *parameters = message.get_params([("", "")], "Content-Disposition")
    except (TypeError, ValueError):  # a malformed list of extended parameters
        return None
    if kind.lower() != "form-data":
        return None
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    for key, value in parameters:
        if isinstance(value, tuple):
            extended.setdefault(key.lower(), _extended(value))
        else:
            plain.setdefault(key.lower(), value.encode("latin-1").decode())
    name = extended.get("name") or plain.get("name")
    if name is None:
        return None
    if extended.get("filename"):
        return name, extended["filename"]
    filename = plain.get("filename", extended.get("filename"))
    return name, None if filename is None else _plain(filename, percent_encoded)


def _extended(value: tuple[str | None, str | None, str]) -> str:
    """Decode a value of RFC 8187. Return an empty text if it cannot be decoded, so that the plain name counts."""
    try:
        return collapse_rfc2231_value(value, "strict", "utf-8")
    except ValueError:  # not of this charset, or no name of a charset
        return ""


def _plain(name: str, percent_encoded: bool) -> str:
    """Undo the encodings that clients use for a plain name, if the name has no other meaning.

    aiohttp percent-encodes the whole name, but its form has no sign of that. Other clients send a percent sign as it
    is.
    """
    if _WORDS.fullmatch(name):
        try:
            return str(make_header(decode_header(name))) or name
        except (MessageError, LookupError, ValueError):
            return name
    try:
        decoded = unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name
    whole = quote(decoded, safe="").lower() == name.lower()
    if whole and (percent_encoded or not decoded.isascii()):
        return decoded
    return name.replace("%22", '"')  # as browsers, curl and urllib3 write it (WHATWG)
