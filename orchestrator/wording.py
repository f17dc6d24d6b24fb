"""Puts pydantic's errors into plain words. Requests, query parameters and settings use it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

#: Maximum characters of a wrong value that an error repeats.
VALUE_CHARACTERS = 40

#: Words for each type of error. ``{name}`` is a value of the error's context.
WORDS = {
    "missing": "is missing",
    "string_type": "must be a text",
    "string_too_long": "has too many characters; the maximum is {max_length}",
    "string_too_short": "has too few characters; the minimum is {min_length}",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be a smaller integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "too_long": "has too many items; the maximum is {max_length}",
    "too_short": "has too few items; the minimum is {min_length}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "extra_forbidden": "there is no such field",
}


def words(error: Mapping[str, Any]) -> str:
    """Return the sentence for one of pydantic's errors, without the name of the field and without the value."""
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "string_too_short" and context.get("min_length") == 1:
        return "is empty"
    if kind == "too_short" and context.get("min_length") == 1:
        return "is empty; give at least one item"
    if kind in WORDS:
        return WORDS[kind].format(**context)
    return str(error["msg"]).removeprefix("Value error, ")


def given(error: Mapping[str, Any]) -> str:
    """Return the wrong value for a message, or an empty text if it is long or not a simple value."""
    value = error.get("input")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) or (isinstance(value, str) and value.isprintable()):
        shown = repr(value)
        return shown if len(shown) <= VALUE_CHARACTERS else ""
    return ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to a misspelt word, or None."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return found[0] if found else None
