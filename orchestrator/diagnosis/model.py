"""The model: whether it answers, and how fast. Only ``/health?full`` asks it, because an answer may cost money."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from orchestrator.diagnosis import settings
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import ModelCut, ModelEmpty, ModelError
from orchestrator.llm.base import Heard, Message, Question

#: Seconds for the answer.
SECONDS = 30.0

#: After a good answer the model is not asked again for this many seconds.
FRESH = 60.0

QUESTION = Question((Message("user", "Answer with one word: ready"),), max_tokens=16)

DO = "docs/models.md says what to do."


class _Waits(Exception):
    """The model would be asked again later: the check does not wait for that."""


async def model(case: Case) -> Finding:
    """Ask the default model a short question. A model that fails is a warning: jobs that need none start without it."""
    one = next(iter(case.models.all), None)
    if one is None or (one.last and not one.last.wrong and (datetime.now(UTC) - one.last.at).total_seconds() < FRESH):
        return await settings.model(case)
    named = f"{one.provider}: {one.name} at {one.setup.host}"
    begun = time.monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            await one.ask(QUESTION, _break_off)
    except (ModelCut, ModelEmpty):  # a model that thinks first needs more tokens than it has here; it answers
        one.last = Heard(datetime.now(UTC), "")
    except _Waits as wait:
        return Finding("warning", f"{named}; no answer: {wait}.", DO)
    except TimeoutError:
        detail = f"{named}; no answer to a short question in {SECONDS:g} s."
        return Finding("warning", detail, "Is it busy with a job's question? Otherwise look at its server's log.")
    except ModelError as error:
        return Finding("warning", f"{named}; no answer: {error}", DO)
    return Finding("ok", f"{named}; answered a short question in {time.monotonic() - begun:.1f} s.")


def _break_off(seconds: float, why: str) -> None:
    raise _Waits(why.rstrip("."))
