"""Checks of the engine, the image, their versions, and a sandbox's start."""

from __future__ import annotations

import asyncio
import platform
import secrets
import time

from orchestrator.diagnosis.base import Case, Finding, lasting, not_tried
from orchestrator.engines.base import Exit, Spec
from orchestrator.errors import EngineError, ImageMissing
from protocol import messages

#: Seconds for a sandbox's start and for its end, and the bytes of its memory.
SANDBOX_SECONDS, SANDBOX_BYTES = 5.0, 2**28

#: The agent prints this after the link has refused its token. It proves that every part in between works.
REFUSED = "(HTTP 401)"

BUILD = "Build all images again: `make up`, or `docker compose up --build -d`."


async def engine(case: Case) -> Finding:
    try:
        facts = await case.facts()
    except EngineError as error:
        return engine_away(error)
    detail = " ".join([f"{facts.version}, {facts.detail}", *(concern.detail for concern in facts.concerns)])
    if not facts.concerns:
        return Finding("ok", detail)
    to_do = " ".join(concern.to_do for concern in facts.concerns)
    return Finding("failed" if any(concern.serious for concern in facts.concerns) else "warning", detail, to_do)


async def image(case: Case) -> Finding:
    name = case.settings.agent_image
    try:
        facts = await case.facts()
        image_id = await case.image_id()
    except ImageMissing as error:
        return Finding("failed", str(error), f"{BUILD} Or set AGENT_IMAGE.")
    except EngineError:
        return not_tried()
    age = f", made {lasting(time.time() - facts.image_made)} ago" if facts.image_made else ""
    return Finding("ok", f"{name} is {image_id[:19]}, version {messages.VERSION}{age}.")


async def versions(case: Case) -> Finding:
    ours = f"orchestrator {messages.VERSION}, Python {platform.python_version()}"
    try:
        facts = await case.facts()
    except EngineError:
        return Finding("ok", f"{ours}. The engine does not answer, so its version and the image's are unknown.")
    detail = f"{ours}, agent's image {facts.image_version or 'none'}, {facts.version}."
    if facts.image_version not in (messages.VERSION, None):
        return Finding("failed", detail, f"Orchestrator and agent must have the same version. {BUILD}")
    return Finding("ok", detail)


async def sandbox(case: Case) -> Finding:
    """Start a container as for a job, with an invalid token. The link's refusal proves that the whole path works."""
    if case.stopped:
        return Finding("warning", "Skipped: the system is stopping.", "Start it again: make up.")
    try:
        image_id = await case.image_id()
    except EngineError:
        return not_tried()
    begun = time.monotonic()
    try:
        exit = await _probe(case, image_id)
        if exit is not None and exit.code == -1:  # reconciliation removed it as unknown
            exit = await _probe(case, image_id)
    except EngineError as error:
        return Finding("failed", f"The engine cannot start a sandbox: {error}", "See the engine's message.")
    took = f"{time.monotonic() - begun:.1f} s"
    if exit is None:
        return Finding(
            "failed",
            f"A sandbox starts, but its agent did not reach the link in {took}.",
            "The machine may be busy. Otherwise check `link` here, and that RUN_DIR is the same path on the host.",
        )
    if REFUSED not in exit.last_lines:
        said = f" It printed: {exit.last_lines}" if exit.last_lines else " It printed nothing."
        return Finding("failed", f"A sandbox ends immediately with exit code {exit.code}.{said}", BUILD)
    return Finding("ok", f"A sandbox started, its agent reached the link, and it was removed, all in {took}.")


async def _probe(case: Case, image_id: str) -> Exit | None:
    """Run a sandbox without a job. Returns its exit, or None after a timeout.

    It has our label. If the orchestrator dies here, reconciliation removes it.
    """
    sandbox_id = secrets.token_hex(6)
    token = f"{sandbox_id}.{secrets.token_urlsafe(32)}"
    until = time.monotonic() + SANDBOX_SECONDS
    try:
        await case.engine.start(Spec(sandbox_id, token, image_id, SANDBOX_BYTES, 1.0, 64, "none"))
        while True:
            exit = await case.engine.exit(sandbox_id)
            if exit is not None or time.monotonic() > until:
                return exit
            await asyncio.sleep(0.05)
    finally:
        await case.engine.stop(sandbox_id)


def engine_away(error: EngineError) -> Finding:
    """Return a finding for an engine that does not answer."""
    return Finding("failed", str(error), error.to_do)
