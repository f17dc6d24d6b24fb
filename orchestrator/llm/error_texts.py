"""What went wrong with a model, in a sentence for a person, and never with a key in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.errors import ModelAway, ModelBusy, ModelDenied, ModelError, ModelRejected
from orchestrator.llm.retries import Failure
from orchestrator.llm.setup import Setup

#: Characters of a server's own words in a sentence.
WORDS = 300

#: Characters of the shortest secret. What is given to a server of one's own that wants any key ("none") is none.
SECRET = 8


def explained(failure: Failure, setup: Setup) -> ModelError:
    """A failure as the error that it means."""
    status, named, host = failure.status, setup.named, setup.host
    words = redacted(failure.words, setup.secrets)
    code = f"{failure.error.get('code')} {failure.error.get('status')} {words}"
    if status is None:
        return ModelAway(f"The model's server {host} cannot be reached ({words}). Check {named['url']}.")
    if status in (401, 403) or (status == 400 and re.search(r"API_KEY_INVALID|API key (not valid|expired)", code)):
        return ModelDenied(f"{host} does not take the key ({status}: {words}). Check {named['key']}.")
    if status == 402 or "insufficient_quota" in code or (status == 400 and "FAILED_PRECONDITION" in code):
        return ModelDenied(f"The account of {named['key']} at {host} cannot be used ({status}: {words}).")
    if status == 404:
        return ModelDenied(
            f"{host} has no model {setup.name!r}, or is no model's server ({words}). "
            f"Check {named['name']} and {named['url']}."
        )
    if status < 400:
        return ModelDenied(f"What answers at {host} is no model's server ({status}: {words}). Check {named['url']}.")
    if status == 429:
        asked = failure.asked_seconds
        wait = f", and asks to wait {asked:.0f} s" if asked else ""
        return ModelBusy(f"{host} still says that there are too many requests{wait} ({words}).")
    if failure.may_pass:
        return ModelAway(f"The model's server {host} fails ({status}: {words}).")
    return ModelRejected(f"The model {setup.name} does not take this question ({status}: {words}).")


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, on one line and of bounded length, for a person to read.

    What a server has masked by itself goes too ("sk-ab***yz"): its first and last letters are the key's.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SECRET:
            text = text.replace(secret, "***")
    text = re.sub(r"[\w.-]*\*{3,}[\w-]*", "***", text[: 20 * WORDS])
    text = " ".join(text.split())
    return text if len(text) <= 3 * WORDS else text[: 3 * WORDS] + " …"


def words(said: object, default: str) -> str:
    """A server's own words, shortened; a page of HTML has none."""
    text = " ".join(str(said or "").split())
    if not text or text.startswith("<"):
        return default
    return text if len(text) <= WORDS else text[:WORDS] + " …"
