"""Sentences about model errors for users. They never contain a key."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.errors import ModelAway, ModelBusy, ModelDenied, ModelError, ModelRefused, ModelRejected
from orchestrator.llm.retries import Failure
from orchestrator.llm.setup import Setup

#: Maximum characters of a server's own message.
WORDS = 300

#: Minimum characters of a secret. Shorter keys ("none") are placeholders for servers that accept any key.
SECRET = 8

_ANSI = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_TITLE = re.compile(r"<title[^>]{0,100}>([^<]*)", re.IGNORECASE)


def explained(failure: Failure, setup: Setup) -> ModelError:
    """Return the ModelError for a failure."""
    status, cause, named, host = failure.status, failure.cause, setup.named, setup.host
    words = redacted(failure.words, setup.secrets)
    if status is None:
        return ModelAway(f"The model's server {host} cannot be reached ({words}). Check {named['url']}.")
    if cause == "refused":
        return ModelRefused(f"The model {setup.name} does not answer this: {host} blocked it ({status}: {words}).")
    if cause == "account":
        return ModelDenied(f"The account of {named['key']} at {host} cannot be used ({status}: {words}).")
    if cause == "day":
        return ModelBusy(f"A quota of {named['key']} at {host} is used up {until(failure)} ({status}: {words}).")
    if cause == "long":
        return ModelRejected(f"The model {setup.name} rejected this request: it is too long ({status}: {words}).")
    if cause == "key" or (status == 403 and cause != "model"):
        return ModelDenied(f"{host} rejects the key ({status}: {words}). Check {named['key']}.")
    if cause == "model" or status in (404, 405, 410):
        return ModelDenied(
            f"{host} has no model {setup.name!r}, or is not a model's server ({words}). "
            f"Check {named['name']} and {named['url']}."
        )
    if status < 400:
        return ModelDenied(f"{host} is not a model's server ({status}: {words}). Check {named['url']}.")
    if status == 429:
        asked = failure.asked_seconds
        wait = f" and asks to wait {asked:.0f} s" if asked else ""
        return ModelBusy(f"{host} still reports too many requests{wait} ({words}).")
    if failure.may_pass:
        return ModelAway(f"The model's server {host} failed ({status}: {words}).")
    return ModelRejected(f"The model {setup.name} rejected this request ({status}: {words}).")


def until(failure: Failure) -> str:
    """Return the end of a daily quota in words. Google's RetryInfo does not know it."""
    asked, now = failure.asked_seconds, datetime.now(UTC)
    if "PerDay" in failure.said:
        with contextlib.suppress(ZoneInfoNotFoundError):
            there = now.astimezone(ZoneInfo("America/Los_Angeles"))  # https://ai.google.dev/gemini-api/docs/rate-limits
            end = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
            asked = end.timestamp() - now.timestamp()
    if not asked:
        return "for the day, the week or the month; the server does not say until when"
    return f"until {now + timedelta(seconds=min(asked, 10**8)):%Y-%m-%d %H:%M} UTC"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Remove secrets from a text, put it on one line, and limit its length.

    Partially masked keys ("sk-ab***yz") are removed too, because they show parts of the key.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SECRET:
            text = text.replace(secret, "***")
    text = re.sub(r"[\w.-]*\*{3,}[\w-]*", "***", text[: 20 * WORDS])
    text = " ".join(text.split())
    return text if len(text) <= 3 * WORDS else text[: 3 * WORDS] + " …"


def words(said: object, default: str) -> str:
    """Return a server's message, shortened and without control characters. Of an HTML page, return the title."""
    text = printable(str(said or ""))
    if text.startswith("<"):
        title = _TITLE.search(text[: 20 * WORDS])
        return f"a web page: {title[1].strip()[:100]}" if title and title[1].strip() else default
    if not text:
        return default
    return text if len(text) <= WORDS else text[:WORDS] + " …"


def printable(text: str) -> str:
    """Put a text on one line, without ANSI sequences and control characters."""
    text = _ANSI.sub("", text[: 20 * WORDS])
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
