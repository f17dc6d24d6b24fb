"""Sentences about model errors for users. They never contain a key."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.errors import ModelAway, ModelBusy, ModelDenied, ModelError, ModelRejected
from orchestrator.llm.retries import Failure
from orchestrator.llm.setup import Setup

#: Maximum characters of a server's own message.
WORDS = 300

#: Minimum characters of a secret. Shorter keys ("none") are placeholders for servers that accept any key.
SECRET = 8


def explained(failure: Failure, setup: Setup) -> ModelError:
    """Return the ModelError for a failure."""
    status, named, host = failure.status, setup.named, setup.host
    words = redacted(failure.words, setup.secrets)
    code = f"{failure.error.get('code')} {failure.error.get('status')} {words}"
    if status is None:
        return ModelAway(f"The model's server {host} cannot be reached ({words}). Check {named['url']}.")
    if status in (401, 403) or (status == 400 and re.search(r"API_KEY_INVALID|API key (not valid|expired)", code)):
        return ModelDenied(f"{host} rejects the key ({status}: {words}). Check {named['key']}.")
    if status == 402 or "insufficient_quota" in code or (status == 400 and "FAILED_PRECONDITION" in code):
        return ModelDenied(f"The account of {named['key']} at {host} cannot be used ({status}: {words}).")
    if status == 404:
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
    """Return a server's message, shortened. Return the default for an HTML page."""
    text = " ".join(str(said or "").split())
    if not text or text.startswith("<"):
        return default
    return text if len(text) <= WORDS else text[:WORDS] + " …"
