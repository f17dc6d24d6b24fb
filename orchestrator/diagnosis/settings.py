"""Checks of valid but risky settings."""

from __future__ import annotations

from orchestrator.db.store import DAY
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import EngineError
from orchestrator.llm.base import Provider
from orchestrator.planning.steps import Limits
from orchestrator.settings import is_loopback
from orchestrator.sizes import show_size

#: Shorter keys can be guessed if the API is reachable from outside.
KEY_CHARACTERS = 16

NO_MODEL = (
    "No model is set, so free-text prompts are rejected. To use one, set GEMINI_API_KEY, ANTHROPIC_API_KEY, or "
    "LLM_BASE_URL and LLM_MODEL in `.env`, then `make up`."
)


async def model(case: Case) -> Finding:
    """Report each model's last result. No model is asked, because answers cost money."""
    if not case.models.all:
        return Finding("ok", NO_MODEL)
    found = [_heard(provider) for provider in case.models.all]
    detail = " ".join(part.detail for part in found)
    bad = [part for part in found if part.result != "ok"]
    return Finding(bad[0].result, detail, bad[0].to_do) if bad else Finding("ok", detail)


def _heard(model: Provider) -> Finding:
    named = f"{model.provider}: {model.name} at {model.setup.host}"
    if model.last is None:
        return Finding("ok", f"{named}; not asked yet.")
    at = model.last.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if model.last.wrong:  # only a warning: jobs start without a model
        return Finding("warning", f"{named}; failed at {at}: {model.last.wrong}", "See docs/models.md.")
    return Finding("ok", f"{named}; answered at {at}.")


async def settings(case: Case) -> Finding:
    """Report valid but risky settings."""
    given, notes = case.settings, []
    if not is_loopback(given.host):
        notes.append((f"HOST={given.host} is reachable from other machines, without TLS", "put a TLS proxy in front"))
        if given.api_key and len(given.api_key.get_secret_value()) < KEY_CHARACTERS:
            notes.append(("API_KEY is short", f"give API_KEY at least {KEY_CHARACTERS} characters"))
    if given.public and not is_loopback(given.public.hostname or ""):
        if given.api_key is None:
            notes.append((f"PUBLIC_URL={given.public_url} needs no key here", "set API_KEY, unless your proxy checks"))
        if given.proxied_views and not given.proxies:
            why = "TRUSTED_PROXIES is empty, so a job with internet access can call the API through your proxy"
            notes.append((why, "set TRUSTED_PROXIES to the proxy's address"))
    if given.retention_days * DAY < 3600:
        notes.append((f"RETENTION_DAYS={given.retention_days:g} is less than an hour", "raise RETENTION_DAYS"))
    if given.retention_days > 90:
        notes.append((f"RETENTION_DAYS={given.retention_days:g}: the disk may fill up", "lower RETENTION_DAYS"))
    slots = given.max_concurrent_jobs
    try:
        facts = await case.facts()
    except EngineError:
        facts = None
    if facts and slots > facts.cpus:
        notes.append((f"MAX_CONCURRENT_JOBS={slots} is more than the {facts.cpus} CPUs", "lower MAX_CONCURRENT_JOBS"))
    if facts and slots * Limits().memory > facts.memory:
        has = f"at {show_size(Limits().memory)} each, they exceed the machine's {show_size(facts.memory)}"
        notes.append((f"MAX_CONCURRENT_JOBS={slots}: {has}", "lower MAX_CONCURRENT_JOBS"))
    if not notes:
        return Finding("ok", f"{slots} jobs at a time, RETENTION_DAYS={given.retention_days:g}.")
    detail, to_do = "; ".join(note for note, _ in notes), "; ".join(dict.fromkeys(do for _, do in notes))
    return Finding("warning", f"{detail}.", f"{to_do[0].upper()}{to_do[1:]}, then `make up`.")
