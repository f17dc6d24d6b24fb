"""The engine, the image, their versions, and whether a sandbox really starts."""

from __future__ import annotations

import asyncio
import platform
import secrets
import time

from orchestrator.diagnosis.base import Case, Finding, lasting, not_tried
from orchestrator.engines.base import Exit, Spec
from orchestrator.errors import EngineError, ImageMissing
from protocol import messages

#: Seconds for a sandbox, and for its end; the bytes of its memory.
SANDBOX_SECONDS, SANDBOX_BYTES = 5.0, 2**28

#: What a sandbox's agent prints when the link has refused its token: then all between has worked.
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
        return Finding("ok", f"{ours}; the engine's and the agent's cannot be asked.")
    detail = f"{ours}, agent's image {facts.image_version or 'none'}, {facts.version}."
    if facts.image_version not in (messages.VERSION, None):
        return Finding("failed", detail, f"Orchestrator and agent must be of one version. {BUILD}")
    return Finding("ok", detail)


async def sandbox(case: Case) -> Finding:
    """Start a container as a job's is started, with a token that the link refuses: that it does so is the proof."""
    if case.stopped:
        return Finding("warning", "Not tried: the system is being stopped.", "Start it again: make up.")
    try:
        image_id = await case.image_id()
    except EngineError:
        return not_tried()
    begun = time.monotonic()
    try:
        exit = await _probe(case, image_id)
        if exit is not None and exit.code == -1:  # the comparison with the engine found it, and knows no such job
            exit = await _probe(case, image_id)
    except EngineError as error:
        return Finding("failed", f"The engine cannot start a sandbox: {error}", "See the engine's words.")
    took = f"{time.monotonic() - begun:.1f} s"
    if exit is None:
        return Finding(
            "failed",
            f"A sandbox starts, but its agent has not reached the link in {took}.",
            "Is the machine busy? Else see what `link` says here, and whether RUN_DIR is the same path on the host.",
        )
    if REFUSED not in exit.last_lines:
        said = f" It printed: {exit.last_lines}" if exit.last_lines else " It printed nothing."
        return Finding("failed", f"A sandbox ends at once, with exit code {exit.code}.{said}", BUILD)
    return Finding("ok", f"One started, its agent reached the link, and it was removed, all in {took}.")


async def _probe(case: Case, image_id: str) -> Exit | None:
    """How a sandbox without a job ended; None where it did not in time.

    It is ours as all others are, so the comparison with the engine removes it where we are ended on the way.
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
    """An engine that cannot be asked, and what to do."""
    return Finding("failed", str(error), error.to_do)
