"""Settings that are allowed, but worth a second thought."""

from __future__ import annotations

from orchestrator.db.store import DAY
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import EngineError
from orchestrator.llm.base import Provider
from orchestrator.planning.steps import Limits
from orchestrator.settings import is_loopback
from orchestrator.sizes import show_size

#: Shorter keys are tried out too fast where others can reach us.
KEY_CHARACTERS = 16


async def model(case: Case) -> Finding:
    """Which models are set, and how the last question to each went. None is asked for this: answers cost money."""
    if not case.models.all:
        return Finding("ok", "No model: free-text prompts are refused.")
    found = [_heard(provider) for provider in case.models.all]
    detail = " ".join(part.detail for part in found)
    bad = [part for part in found if part.result != "ok"]
    return Finding(bad[0].result, detail, bad[0].to_do) if bad else Finding("ok", detail)


def _heard(model: Provider) -> Finding:
    named = f"{model.provider}: {model.name} at {model.setup.host}"
    if model.last is None:
        return Finding("ok", f"{named}; not asked yet.")
    at = model.last.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if model.last.wrong:  # no more than a warning: jobs start without it
        return Finding("warning", f"{named}; failed at {at}: {model.last.wrong}", "docs/models.md says what to do.")
    return Finding("ok", f"{named}; answered at {at}.")


async def settings(case: Case) -> Finding:
    """What is allowed, but worth a second thought."""
    given, notes = case.settings, []
    if not is_loopback(given.host):
        notes.append((f"HOST={given.host} can be reached by others, without TLS", "put a proxy with TLS before it"))
        if given.api_key and len(given.api_key.get_secret_value()) < KEY_CHARACTERS:
            notes.append(("API_KEY is short", f"give API_KEY {KEY_CHARACTERS} characters or more"))
    if given.retention_days * DAY < 3600:
        notes.append((f"RETENTION_DAYS={given.retention_days:g} is less than an hour", "raise RETENTION_DAYS"))
    if given.retention_days > 90:
        notes.append((f"RETENTION_DAYS={given.retention_days:g}: the disk fills up", "lower RETENTION_DAYS"))
    slots = given.max_concurrent_jobs
    try:
        facts = await case.facts()
    except EngineError:
        facts = None
    if facts and slots > facts.cpus:
        notes.append((f"MAX_CONCURRENT_JOBS={slots} is more than the {facts.cpus} CPUs", "lower MAX_CONCURRENT_JOBS"))
    if facts and slots * Limits().memory > facts.memory:
        has = f"their {show_size(Limits().memory)} each are more than the machine's {show_size(facts.memory)}"
        notes.append((f"MAX_CONCURRENT_JOBS={slots}: {has}", "lower MAX_CONCURRENT_JOBS"))
    if not notes:
        return Finding("ok", f"{slots} jobs at the same time, RETENTION_DAYS={given.retention_days:g}.")
    detail, to_do = "; ".join(note for note, _ in notes), "; ".join(dict.fromkeys(do for _, do in notes))
    return Finding("warning", f"{detail}.", f"{to_do[0].upper()}{to_do[1:]}, then `make up`.")
