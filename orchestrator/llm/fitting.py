"""Answers held to a schema: the JSON in a text, and what is wrong with it in words that a model can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a tenth of a second to import: done when it is needed, in a thread
    from jsonschema import Draft202012Validator

#: Places in a text at which a JSON value is looked for, at most: each may be read to the end of the text.
PLACES = 50

FENCE = "```"

#: Where a reasoning model's thought ends.
THOUGHT_END = "</think>"

#: A JSON object or array cannot begin otherwise.
BEGIN = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[{\"\]\-0-9tfn])")


@dataclass(frozen=True)
class Found:
    """What was found in a text: ``value`` where ``wrong`` is empty, else what is wrong with it.

    ``is_json``: there was JSON in it at all.
    """

    value: Any
    wrong: str
    is_json: bool


def fit(text: str, schema: dict[str, Any]) -> Found:
    """The first JSON value of a text that fits the schema: the whole of it, in a fence, or in the middle of prose."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # an empty registry: a $ref to elsewhere is an error, and is not fetched from there
    validator = Draft202012Validator(schema, registry=Registry())
    first: Found | None = None
    for value in _values(_without_thought(text)):
        wrong = _wrong(value, validator)
        if not wrong:
            return Found(value, "", True)
        first = first or Found(None, wrong, True)
    return first or Found(None, "it has no JSON in it that can be read", False)


def _without_thought(text: str) -> str:
    """Some reasoning models think aloud before they answer."""
    thought, end, answer = text.partition(THOUGHT_END)
    return answer if end and thought.lstrip().startswith("<think>") else text


def _values(text: str) -> Iterator[Any]:
    """All JSON values of a text, those first that may be the answer.

    Where a thought began in the prompt, only its end is in the text. What follows that comes first, and what stands
    before it may be a draft: it counts only where nothing follows. The mark may also stand in the answer itself.
    """
    _, end, answer = text.rpartition(THOUGHT_END)
    answered = False
    if end and not _is_json(text):
        for value, _ in _places(answer):
            answered = True
            yield value
    for value, source in _places(text):
        if not answered or THOUGHT_END in source:
            yield value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _places(text: str) -> Iterator[tuple[Any, str]]:
    """The JSON values of a text, each with where it was read: the whole of it, fences, then anywhere."""
    for whole in (text, *_fenced(text)):
        try:
            yield json.loads(whole, parse_constant=_no_number), whole
        except (ValueError, RecursionError):
            continue
    decoder = json.JSONDecoder(parse_constant=_no_number)
    at = 0
    for _ in range(PLACES):
        begin = BEGIN.search(text, at)
        if not begin:
            return
        try:
            value, at = decoder.raw_decode(text, begin.start())
            yield value, text[begin.start() : at]
        except (ValueError, RecursionError):
            at = begin.start() + 1


def _fenced(text: str) -> Iterator[str]:
    """What stands after a fence that names no other language, to the next one."""
    for part in text.split(FENCE)[1:]:
        language, newline, content = part.partition("\n")
        if newline and language.strip().lower() in ("", "json"):
            yield content


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")  # Python's decoder would take NaN and Infinity


def _wrong(value: Any, validator: Draft202012Validator) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return "it has half of a surrogate pair (\\ud800 to \\udfff) in a text"
    from jsonschema.exceptions import best_match

    error = best_match(validator.iter_errors(value))
    if error is None:
        return ""
    message = error.message if len(error.message) <= 300 else error.message[:200] + " … " + error.message[-90:]
    return f"at {error.json_path}: {message}" if error.path else message
