"""Parses JSON from clients, and says what is wrong with it."""

from __future__ import annotations

import json
import re
from typing import Any

from orchestrator.errors import BadRequest
from orchestrator.files.client_texts import decode_json

#: Maximum characters of a name in an error.
NAME_CHARACTERS = 80

_FORM = "-F prompt='…' -F files=@sales.csv"

#: The first bytes of common binary formats, with the end of a sentence about them.
_BINARY = {
    b"\x1f\x8b": "is compressed with gzip. Add -H 'Content-Encoding: gzip'",
    b"PK\x03\x04": f"is a ZIP archive. Send a file with a form ({_FORM})",
    b"%PDF": f"is a PDF document. Send a file with a form ({_FORM})",
    b"\x89PNG": f"is a picture. Send a file with a form ({_FORM})",
    b"\xff\xd8\xff": f"is a picture. Send a file with a form ({_FORM})",
}

#: The first characters of other formats, with the end of a sentence about them.
_BEGINNINGS = {
    "--": "looks like a form. Let the client set the Content-Type, which names the form's boundary",
    "@": "begins with @. curl reads a file with -d @body.json or --data-binary @body.json only",
    "'": "begins with a single quote. The Command Prompt of Windows keeps it: put the JSON into a file (-d @body.json)",
    "%7B": "is percent-encoded. Use -d instead of --data-urlencode",
    "<": f"looks like XML or HTML. Send JSON, or a form ({_FORM})",
}

#: Patterns of common mistakes at the place where the parser stops, and what to do.
_MISTAKES = (
    (r"[“”„‟‘’«»']", "use plain double quotes"),
    (r"//|/\*|#", "JSON has no comments"),
    (r"(True|False|None|undefined)\b", "write true, false or null"),
    (r"[A-Za-z_]\w*\s*:", "a name needs double quotes"),
)

_CONTROLS = {"\n": "a line break", "\r": "a line break", "\t": "a tab", "\0": "a NUL character"}


def parse(body: bytes, charset: str | None = None) -> Any:
    """Parse a request body. Raises BadRequest: 400 for invalid JSON, 422 if an object has a name twice."""
    try:
        if not body.strip():
            raise ValueError(": it is empty. Send JSON (-d '{\"prompt\": \"…\"}') or a form (-F prompt='…')")
        for begin, what in _BINARY.items():
            if body.startswith(begin):
                raise ValueError(f": it {what}")
        return parse_text(decode_json(body, charset))
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1:,} (0x{body[error.start]:02x}) is not {error.encoding.upper()}"
        kind = "application/json; charset=windows-1252"
        why = f": {byte}. Send UTF-8, or name the charset (-H 'Content-Type: {kind}')"
    except ValueError as error:
        why = str(error)
    raise BadRequest(400, "not-json", "Not JSON", f"The body is not valid JSON{why}.")


def parse_text(text: str) -> Any:
    """Parse a text.

    Raises BadRequest if an object has a name twice, and ValueError for invalid JSON. Its message continues a
    sentence that ends with "is not valid JSON".
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(_reason(text, error)) from None
    except RecursionError:
        raise ValueError(": it is nested too deeply") from None
    except ValueError:  # Python reads numbers of 4,300 digits at most
        raise ValueError(": a number has too many digits") from None


def _reason(text: str, error: json.JSONDecodeError) -> str:
    """Say what is wrong in a text, and where. The reason has no part of the text, which may be secret."""
    start = text.lstrip()
    before, after = text[: error.pos].rstrip(), text[error.pos :].lstrip()
    mistake = next((to_do for pattern, to_do in _MISTAKES if re.match(pattern, after)), "")
    if not before or start[:1] not in ("{", "[", '"'):
        for begin, to_do in _BEGINNINGS.items():
            if start.upper().startswith(begin):
                return f": it {to_do}"
        if not mistake or before:
            return f": it looks like plain text. Send JSON, which begins with {{, or a form ({_FORM})"
    if not mistake:
        mistake = _by_message(text, error, before, after)
    return f" at line {error.lineno}, column {error.colno}: {mistake}"


def _by_message(text: str, error: json.JSONDecodeError, before: str, after: str) -> str:
    if (before[-1:] == "," and after[:1] in ("}", "]", ",")) or re.match(r",\s*[}\],]", after):
        return "a comma has nothing after it"
    if error.msg.startswith("Invalid control character"):
        character = text[error.pos]
        name = _CONTROLS.get(character, f"the control character U+{ord(character):04X}")
        return f"a string has {name}; write {json.dumps(character)[1:-1]}"
    if error.msg.startswith("Invalid \\"):
        return "a backslash begins no escape; write \\\\ for a backslash"
    if error.msg.startswith("Extra data"):
        return "text follows after the end of the JSON"
    if error.msg.startswith("Unterminated string"):
        return "a string has no end"
    return f"{error.msg[0].lower()}{error.msg[1:]}" + ("" if after else ", but the body ends")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            name = name[:NAME_CHARACTERS]
            errors = [{"field": name, "message": "is given more than once"}]
            raise BadRequest(422, "invalid", "Invalid request", f"{name}: is given more than once.", errors=errors)
        found[name] = value
    return found
