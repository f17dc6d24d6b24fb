"""Finds the properties that a prompt demands of its result, such as "drop rows without an e-mail address".

The agent checks them after the work, without a model. A rule is found only if the prompt leaves one reading: a wrong
rule would fail finished work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from orchestrator.reasoning.named_files import columns_of, made_files, named_files, test_files
from protocol import messages

#: Maximum characters of the searched prompt, of an example, and maximum number of rules.
LOOKED_AT, LONGEST, MOST = 40_000, 2_000, 20

_CLAUSE = re.compile(r"[^,;:\n.]+(?:\.(?!\s|$)[^,;:\n.]*)*")

_TRIMMED = re.compile(
    r"\b(?:(?:strip|trim)\b.{0,60}\b(?:blanks?|spaces?|white ?space)|"
    r"(?:leading|trailing|surrounding|outer)\b.{0,30}\b(?:blanks?|spaces?|white ?space)|"
    r"(?:strip|remove|delete|drop)\b.{0,40}\b(?:blanks?|spaces?|white ?space) (?:around|at the (?:ends?|edges?)))\b",
    re.IGNORECASE,
)
_FILLED = re.compile(
    r"\b(?:drop|remove|delete|skip|leave out|exclude|discard|filter out|ignore)\b.{0,30}"
    r"\b(?:rows?|lines?|records?|entries)\b.{0,20}"
    r"\b(?:without|with no|missing|lacking|that lack|that have no|with (?:an? |any )?(?:missing|empty|blank))\b"
    r"(?P<rest>.*)",
    re.IGNORECASE,
)
_UNIQUE = re.compile(
    r"\b(?:(?:drop|remove|delete|eliminate|without|discard)\b.{0,30}\bduplicate(?:s|d)?\b(?! e?-?mail)|dedup\w*)",
    re.IGNORECASE,
)
_LOWER = re.compile(r"\blower[ -]?case\b", re.IGNORECASE)
_ALL = re.compile(r"\b(?:all|every|each|any)\b|^\W*(?:values?|cells?|fields?|data)\b", re.IGNORECASE)

_LIKE = re.compile(
    r"\b(?:such as|like(?: this)?|for example|for instance|e\.g\.|(?:in|of) the form|looks like)[\s:,`]*(?=[{\[])",
    re.IGNORECASE,
)
_EACH = re.compile(r"\b(?:each|every|per)\s+(?P<what>[a-z][\w-]{2,30})", re.IGNORECASE)

#: Words of prompts whose results may have empty cells.
_GAPS = re.compile(
    r"\b(?:missing|empty|blanks?|null|nan|join|merge|match\w*|optional|if any|where known)\b", re.IGNORECASE
)

#: Words before a group of which the result says the number of lines or rows.
_COUNTS = re.compile(
    r"\b(?:number of|count(?: of)?|how many) (?:the )?(?:lines|rows|entries|records)(?: there are)? "
    r"(?:of|for|per|by|in|with|at|on)\s*$",
    re.IGNORECASE,
)

#: Words that select some of the data. Then not every group must be in the result.
_SELECTS = re.compile(
    r"\b(?:only|except|excluding|ignor\w+|filter\w*|top|at least|at most|more than|less than|fewer than|above|below|"
    r"where|highest|lowest|largest|smallest|best|worst|between|since|until)\b",
    re.IGNORECASE,
)

#: Words of prompts that keep the proportions of pictures, and words that do not.
_RESIZE = re.compile(
    r"\b(?:thumbnails?|(?:not|un)[ -]?distort\w*|aspect ratio|proportions?|longe(?:r|st) side)\b", re.IGNORECASE
)
_CROP = re.compile(
    r"\b(?:crop\w*|squares?|stretch\w*|pad\w*|rotat\w*|exactly|\d+ ?[x×] ?\d+|ignor\w+)\b", re.IGNORECASE
)
_PICTURES = ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff")

#: The suffixes of results that name groups in plain text, and of data with groups.
_TEXTS = ("txt", "csv", "tsv", "json", "md", "html")
_DATA = ("csv", "tsv", "log", "txt")


def promises_of(prompt: str, uploads: Sequence[str]) -> list[messages.Promise]:
    """Return the rules for the files of a prompt, each once, in order."""
    text = prompt[:LOOKED_AT]
    made = made_files(text, uploads)
    found = [*_of_tables(text, _only(made, ("csv", "tsv"))), *_like(text, _only(made, ("json",)))]
    found += _pictures(text, uploads)
    found += _each(text, _only(made, _TEXTS), uploads)
    return [one for n, one in enumerate(found) if one not in found[:n]][:MOST]


def made_tests(prompt: str, uploads: Sequence[str]) -> dict[str, str]:
    """Return the test files that the prompt asks for, each with the Python file that it tests."""
    found = {}
    known = [*named_files(prompt, uploads), *uploads]
    for test in test_files(named_files(prompt, uploads)):
        stem = re.sub(r"^test_|_test$", "", test.rsplit("/", 1)[-1].removesuffix(".py"))
        tested = next((name for name in known if name.rsplit("/", 1)[-1] == f"{stem}.py"), "")
        if tested and tested != test and test.endswith(".py"):
            found[test] = tested
    return found


def _only(names: Sequence[str], suffixes: Sequence[str]) -> str:
    """Return the name with one of these suffixes, if there is exactly one."""
    mine = [name for name in names if name.rsplit(".", 1)[-1].lower() in suffixes]
    return mine[0] if len(mine) == 1 else ""


def _of_tables(text: str, path: str) -> Iterator[messages.Promise]:
    if not path:
        return
    if path in columns_of(text) and not _GAPS.search(text):
        yield messages.Promise(path, "whole", "")
    for match in _CLAUSE.finditer(text):
        clause = match[0]
        if found := _TRIMMED.search(clause):
            yield messages.Promise(path, "trimmed", _columns(clause[found.start() :]))
        if found := _FILLED.search(clause):
            yield messages.Promise(path, "filled", _columns(found["rest"]))
        if _LOWER.search(clause):
            yield messages.Promise(path, "lower", clause.strip())
        if _UNIQUE.search(clause):
            yield messages.Promise(path, "unique", "")


def _columns(words: str) -> str:
    """Return the words that may name columns. An empty text means all columns."""
    return "" if not words.strip() or _ALL.search(words) else words.strip()


def _like(text: str, path: str) -> Iterator[messages.Promise]:
    """Yield the shape of a JSON result, by an example in the prompt."""
    for match in _LIKE.finditer(text) if path else ():
        try:
            value, _ = json.JSONDecoder().raw_decode(text[match.end() : match.end() + LONGEST])
        except (ValueError, RecursionError):
            continue
        if value:
            sentence = text[: match.start()].rsplit(". ", 1)[-1]
            alike = isinstance(value, dict) and len(value) == 1 and _EACH.search(sentence)
            yield messages.Promise(path, "like", json.dumps(value), "alike" if alike else "")
            return


def _pictures(text: str, uploads: Sequence[str]) -> Iterator[messages.Promise]:
    if _RESIZE.search(text) and not _CROP.search(text):
        for name in uploads:
            if name.rsplit(".", 1)[-1].lower() in _PICTURES:
                yield messages.Promise("", "proportions", "", name)


def _each(text: str, path: str, uploads: Sequence[str]) -> Iterator[messages.Promise]:
    """Yield the groups that must all be in the result, such as "the number of lines of each level"."""
    data = _only(uploads, _DATA)
    if not path or not data or _SELECTS.search(text):
        return
    for match in _EACH.finditer(text):
        if _COUNTS.search(text[: match.start()]):
            yield messages.Promise(path, "count", match["what"].lower(), data)
        yield messages.Promise(path, "each", match["what"].lower(), data)
