"""Checks the rules that a prompt has for its results: a child process with the identity of the job's user.

    python -I -m agent.children.check_promises

stdin, JSON:   {"root": folder, "promises": [{"path": text, "rule": word, "text": text, "data": path}]}
stdout, JSON:  [{"path": text, "ok": bool, "detail": sentence, "about": "promise", "doubt" or "ok"}]

A rule has no entry if it cannot be judged: its file is missing or not readable, or no column fits its words.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections import Counter
from contextlib import suppress

from agent.children.isolation import USERS_PACKAGES
from agent.children.tables import DELIMITERS
from agent.children.walk import OPEN_FLAGS
from protocol.file_names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Maximum bytes of a file, groups of a rule, groups named in a sentence, and characters of a value in a sentence.
FILE_BYTES, GROUPS, NAMED, VALUE = 16 << 20, 30, 5, 60

#: Minimum share of a log's lines that must have a level.
LEVELLED = 0.5

#: Copies of a picture that are compared, and pixels by which one side of a copy may be off.
COPIES, PIXELS_OFF = 5, 1.5

#: Items of a list or a mapping that are compared with an example.
COMPARED = 100

_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|ALERT|EMERG)\b")

Rows = list[list[str]]


def main() -> int:
    sys.path.append(USERS_PACKAGES)  # for pictures
    request = json.load(sys.stdin)
    os.chdir(request["root"])
    told = []
    for promise in request["promises"]:
        with suppress(Exception):  # it cannot be judged
            wrong = RULES[promise["rule"]](promise)
            if wrong is not None:
                about = "ok" if not wrong else "doubt" if promise["rule"] == "whole" else "promise"
                path = promise["path"] or promise["data"]
                detail = f"{shown(path)} {shown(wrong or 'keeps a rule of the request.')}"
                told.append({"path": path, "ok": not wrong, "detail": detail, "about": about})
    json.dump(told, sys.stdout)
    return 0


# A rule returns what is wrong, after the path; an empty text if all is right; None if it cannot be judged.


def trimmed(promise: dict[str, str]) -> str | None:
    return _each_cell(promise, lambda cell: cell != cell.strip(), "has blanks around it; strip the values first")


def filled(promise: dict[str, str]) -> str | None:
    return _each_cell(promise, lambda cell: not cell.strip(), "is empty: strip blanks first, then drop such rows")


def whole(promise: dict[str, str]) -> str | None:
    """Check that no cell of the columns that the prompt names is empty. A doubt only, because data may have gaps."""
    return _each_cell({**promise, "text": ""}, lambda cell: not cell.strip(), "is empty")


def lower(promise: dict[str, str]) -> str | None:
    if not promise["text"]:
        return None
    return _each_cell(promise, lambda cell: cell != cell.lower(), "is not in lower case")


def unique(promise: dict[str, str]) -> str | None:
    rows = _rows(promise["path"])[1:]
    seen: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, 2):
        if (first := seen.setdefault(tuple(row), number)) != number:
            return f"has row {number} twice: it is the same as row {first}."
    return ""


def like(promise: dict[str, str]) -> str | None:
    example, value = json.loads(promise["text"]), json.loads(_text(promise["path"]))
    if promise["data"] and isinstance(value, dict):  # the example is one item of a mapping
        example = dict.fromkeys(list(value)[:COMPARED], *example.values())
    return _unlike(example, value, "")


def each(promise: dict[str, str]) -> str | None:
    groups = _groups(_text(promise["data"]), promise["text"])
    if not 1 < len(groups) <= GROUPS:
        return None
    text = _text(promise["path"]).casefold()
    missing = [name for name in groups if name.casefold() not in text]
    if not missing:
        return ""
    named = ", ".join(repr(name) for name in missing[:NAMED])
    return f"does not have the {promise['text']} {named}, which {promise['data']} has."


def proportions(promise: dict[str, str]) -> str | None:
    """Compare a picture in the promise's ``data`` with its copies of the same name in other folders."""
    from PIL import Image

    name = promise["data"].rpartition("/")[2]
    copies = [f"{folder}/{name}"[2:] for folder, _, files in os.walk(".") if name in files]
    sizes = {}
    for path in [promise["data"], *copies[:COPIES]]:
        with Image.open(path) as picture:
            sizes[path] = picture.size
    width, height = sizes.pop(promise["data"])
    for path, (wide, high) in sizes.items():
        if abs(wide * height - high * width) > max(width, height) * PIXELS_OFF:
            return f"is distorted in {path}: {width} × {height} became {wide} × {high}."
    return "" if sizes else None


def count(promise: dict[str, str]) -> str | None:
    """Check that the number of rows of each group is in the result, as a number."""
    groups = _groups(_text(promise["data"]), promise["text"])
    if not 1 < len(groups) <= GROUPS:
        return None
    numbers = {number.replace(",", "") for number in re.findall(r"\d+(?:,\d{3})*", _text(promise["path"]))}
    wrong = [name for name, rows in groups.items() if str(rows) not in numbers]
    if not wrong:
        return ""
    named = ", ".join(repr(name) for name in wrong[:NAMED])
    return f"has wrong counts for the {promise['text']} {named} of {promise['data']}."


RULES = {
    "proportions": proportions,
    "trimmed": trimmed,
    "filled": filled,
    "whole": whole,
    "lower": lower,
    "unique": unique,
    "like": like,
    "each": each,
    "count": count,
}


def _each_cell(promise: dict[str, str], wrong: Any, says: str) -> str | None:
    """Check each cell of the columns that the rule names.

    Words can fit two columns: "an e-mail address" fits ``email`` and ``address``. So a row is wrong if all of them are.
    """
    rows = _rows(promise["path"])
    header, columns = rows[0], _columns(rows[0], promise["text"])
    if not columns:
        return None
    count = len(columns) if promise["text"] else 1
    for number, row in enumerate(rows[1:], 2):
        bad = [at for at in columns if at < len(row) and wrong(row[at])]
        if len(bad) >= count:
            return f"row {number}: {header[bad[0]]} {_short(row[bad[0]])} {says}."
    return ""


def _columns(header: list[str], words: str) -> list[int]:
    """Return the columns that a text names, all columns for an empty text."""
    if not words:
        return list(range(len(header)))
    text, letters = f" {_plain(words)} ", _plain(words).replace(" ", "")
    found = []
    for at, name in enumerate(header):
        plain = _plain(name)
        joined = plain.replace(" ", "")
        if plain and (f" {plain} " in text or f" {plain}s " in text or (len(joined) > 3 and joined in letters)):
            found.append(at)
    return found


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.replace("_", " ").casefold()))


def _rows(path: str) -> Rows:
    text = _text(path)
    first = text.split("\n", 1)[0]
    rows = [row for row in csv.reader(text.splitlines(), delimiter=max(DELIMITERS, key=first.count)) if row]
    if not rows:
        raise ValueError("no rows")
    return rows


def _groups(text: str, what: str) -> dict[str, int]:
    """Return the values of a table's column, or the levels of a log, each with its number of rows."""
    if what in ("level", "severity"):
        lines = text.splitlines()
        found = [match[1] for line in lines if (match := _LEVEL.search(line))]
        if len(found) > LEVELLED * len(lines):
            return dict(Counter(found))
    rows = list(csv.reader(text.splitlines(), delimiter=max(DELIMITERS, key=text.split("\n", 1)[0].count)))
    names = [_plain(name) for name in rows[0]] if rows else []
    at = next((n for n, name in enumerate(names) if len(names) > 1 and name in (what, f"{what}s")), None)
    cells = [] if at is None else [row[at].strip() for row in rows[1:] if at < len(row)]
    names_of = {cell.casefold(): cell for cell in cells if cell}
    return {names_of[key]: n for key, n in Counter(cell.casefold() for cell in cells if cell).items()}


def _unlike(example: Any, value: Any, where: str) -> str:
    """Compare a value with the shape of an example. Returns what differs, or an empty text."""
    kind, wanted = _kind(value), _kind(example)
    if wanted == "null":
        return ""
    if kind != wanted:
        return f"{f'at {where} ' if where else ''}has {kind}, but the example in the request has {wanted} there."
    if isinstance(example, dict):
        for key in example:
            if key in value and (wrong := _unlike(example[key], value[key], f"{where}[{json.dumps(key)}]")):
                return wrong
    elif isinstance(example, list) and example:
        for number, one in enumerate(value[:COMPARED]):
            if wrong := _unlike(example[0], one, f"{where}[{number}]"):
                return wrong
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _text(path: str) -> str:
    with open(path, "rb", opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise ValueError("too long")
    return content.decode("utf-8-sig")


def _short(value: str) -> str:
    text = repr(value)
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
