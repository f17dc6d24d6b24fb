"""Check of the model: whether and how fast it answers. Only ``/health?full`` asks it, because answers cost money."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from orchestrator.diagnosis import settings
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import ModelCut, ModelEmpty, ModelError
from orchestrator.llm.base import Heard, Message, Question

#: Time limit of the answer in seconds.
SECONDS = 30.0

#: Seconds for which a good answer counts, so that the model is not asked again.
FRESH = 60.0

QUESTION = Question((Message("user", "Answer with one word: ready"),), max_tokens=16)

DO = "See docs/models.md."


class _Waits(Exception):
    """The provider wants to retry later. The check does not wait for that."""


async def model(case: Case) -> Finding:
    """Ask the default model a short question. A failure is only a warning, because jobs without a model still start."""
    one = next(iter(case.models.all), None)
    if one is None or (one.last and not one.last.wrong and (datetime.now(UTC) - one.last.at).total_seconds() < FRESH):
        return await settings.model(case)
    named = f"{one.provider}: {one.name} at {one.setup.host}"
    begun = time.monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            await one.ask(QUESTION, _break_off)
    except (ModelCut, ModelEmpty):  # the limit is too small for a model that reasons first; still, it answers
        one.last = Heard(datetime.now(UTC), "")
    except _Waits as wait:
        return Finding("warning", f"{named}; no answer: {wait}.", DO)
    except TimeoutError:
        detail = f"{named}; no answer to a short question in {SECONDS:g} s."
        return Finding("warning", detail, "It may be busy with a job's question. Otherwise check its server's log.")
    except ModelError as error:
        return Finding("warning", f"{named}; no answer: {error}", DO)
    return Finding("ok", f"{named}; answered a short question in {time.monotonic() - begun:.1f} s.")


def _break_off(seconds: float, why: str) -> None:
    raise _Waits(why.rstrip("."))
