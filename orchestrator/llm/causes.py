"""Recognises the cause of an error in the server's words.

The status alone says too little: servers report a question that is too long with 400, 413, 422, 429 or 500, and an
account without credit with 400, 402, 403 or 429.
"""

from __future__ import annotations

import re
from typing import Literal

#: Causes that do not pass while MODEL_SECONDS last. Empty for all others.
Cause = Literal["", "refused", "account", "day", "long", "model", "key"]

#: The causes in the order in which they are looked for, each with its statuses and its words. None stands for all.
_CAUSES: tuple[tuple[Cause, tuple[int, ...] | None, str], ...] = (
    (
        "refused",
        (400, 403, 422, 451, 500, 502),
        r"content[_ ]?filter|content[_ ]management[_ ]policy|responsible_?ai_?policy|content[_ ]policy"
        r"|data_?inspection_?failed|content exists risk|considered high risk|\bflagged\b|moderation"
        r"|safety (system|filter)|violat\w+ .{0,40}polic(y|ies)|PROHIBITED_CONTENT|sensitive content",
    ),
    (
        "account",
        None,
        r"insufficient[_ ](user[_ ])?(quota|balance|credits?|funds|account)|exceeded_current_quota|billing_hard_limit"
        r"|balance is (too low|insufficient|not enough)|(used|run out of|out of|used all) (available )?credits"
        r"|n.t have any credits|requires more credits|credits? (are|is) depleted|spending limit|usage limits"
        r"|included credits|arrearage|account\w* ?overdue|payment required|billing_not_active|余额不足|欠费"
        r"|account (is |has been )?(suspended|deactivated|disabled)",
    ),
    ("account", (402,), r""),
    ("account", (400, 403), r"FAILED_PRECONDITION|unsupported_country|country, region|location is not supported"),
    (
        "day",
        (403, 429, 502, 503),
        r"per[ _-]?(day|week|month)|PerDay|ByDay|\b(dai|week|month)ly\b|\b[TR]PD\b|per 86400 ?s|request_quota_exceeded",
    ),
    (
        "long",
        None,
        r"context[_ ](length|size|window|limit)|exceed_context|too many (input )?tokens"
        r"|(prompt|input|request|message|conversation|text)s?( is| are| was|_is)?[ _]too[ _](long|large)"
        r"|(maximum|max) (context|input|prompt|number of (input )?tokens)|model_max_prompt"
        r"|token count .{0,60}exceed|tokens? .{0,60}exceeds? the (limit|maximum|model)|token limit (was )?exceeded"
        r"|reduce (the|your) (length|prompt|message|input)|string_above_max_length|exceeds? the (available )?context"
        r"|tokens to keep from the initial prompt|context (the )?overflow|length limit of \d+"
        r"|`inputs` (tokens|must have)|prompt (contains|has|length) .{0,60}(exceed|max|more than)",
    ),
    (
        "model",
        (400, 403, 404, 410, 422, 500, 502),
        r"model[_ ](not[_ ](found|exist)|decommissioned|not_supported|deprecated)|not a valid model"
        r"|(invalid|unknown|unsupported|no such) model|\bmodel\b.{0,100}(not found|does ?n.t exist|does not exist"
        r"|has been (decommissioned|deprecated|removed|retired)|is not available|no longer (available|supported))",
    ),
    (
        "key",
        (400, 403, 422, 500, 502),
        r"API_KEY_INVALID|(invalid|incorrect|expired|missing|wrong|malformed)[ _](api[ _-]?key|access token|bearer)"
        r"|api[ _-]?key.{0,30}(not valid|expired|invalid|missing|required|not found)|no api[ _-]?key"
        r"|authentication[ _](failed|error)|unauthenticated|unauthorized",
    ),
    ("key", (401,), r""),
)
CAUSES = tuple((name, statuses, re.compile(words, re.IGNORECASE)) for name, statuses, words in _CAUSES)

_NUMBER = r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hours?|d|days?)(?![a-z])"
_PART = re.compile(_NUMBER, re.IGNORECASE)
_DURATION = re.compile(r"(?:\s*(?:,|and)?\s*\d+(?:\.\d+)?\s*(?:ms|[a-z]{1,12}))+", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:try again|retry(?: your request)?|wait|available again|resets?|regain access)(?: after| in| for)?:?\s*"
    r"(?:about |~)?(?=\d)",
    re.IGNORECASE,
)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def found(status: int | None, said: str) -> Cause:
    """Return the cause that an error's words name."""
    for name, statuses, words in CAUSES:
        if status is not None and (statuses is None or status in statuses) and words.search(said):
            return name
    return ""


def seconds(text: str) -> float | None:
    """Parse a duration such as ``57s``, ``28m48.576s`` or ``2 minutes``."""
    parts = _PART.findall(text)
    if not parts:
        return None
    return sum(
        float(number) * (0.001 if unit.lower().startswith(("ms", "mil")) else UNITS[unit[0].lower()])
        for number, unit in parts
    )


def wait(words: str) -> float | None:
    """Return the wait that a sentence asks for, such as ``Please try again in 20s``."""
    for begin in _WAIT.finditer(words):
        if (duration := _DURATION.match(words, begin.end())) and (asked := seconds(duration[0])) is not None:
            return asked
    return None
