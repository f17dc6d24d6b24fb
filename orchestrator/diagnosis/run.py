"""Runs the checks in parallel, each with a timeout, and each once at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from orchestrator.concurrency.background import Going
from orchestrator.db.store import Store
from orchestrator.diagnosis import doors, engine, gateway, model, record, settings
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.engines.base import Engine, Facts
from orchestrator.errors import EngineDown, EngineError, ImageMissing
from orchestrator.files.job_files import JobFiles
from orchestrator.job_secrets.validation import keys
from orchestrator.live.grants import Signer
from orchestrator.llm import Models
from orchestrator.settings import Settings
from protocol.redaction import Needles

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds for the engine's facts and for the disk's free space.
ENGINE_SECONDS, DISK_SECONDS = 3.0, 3.0

#: Seconds to wait for a sandbox check in progress when the system stops.
STOP_SECONDS = 10.0


class Check(NamedTuple):
    """A check, its timeout in seconds, and the remedy after a timeout; ``{advice}`` is the engine's."""

    look: Callable[[Case], Awaitable[Finding]]
    seconds: float
    hangs: str


ENGINE = "The engine is busy or hangs. {advice}"
DISK = "The disk of AGENT_OUTPUT_DIR is busy or hangs (a network disk that is away?): see `df` and `dmesg`."
BUSY = "The machine may be busy. See `top`, and try again."

#: All checks, in the order of the report.
CHECKS = {
    "engine": Check(engine.engine, ENGINE_SECONDS + 1, ENGINE),
    "image": Check(engine.image, ENGINE_SECONDS + 2, ENGINE),
    "versions": Check(engine.versions, ENGINE_SECONDS + 1, ENGINE),
    "sandbox": Check(engine.sandbox, engine.SANDBOX_SECONDS + 2, ENGINE),
    "link": Check(doors.link, 3, BUSY),
    "ports": Check(doors.ports, 3, BUSY),
    "views": Check(doors.views, 3, BUSY),
    "gateway": Check(gateway.gateway, 5, "The program at its ports hangs. `make doctor` names the process."),
    "disk": Check(record.disk, ENGINE_SECONDS + 2, DISK),
    "database": Check(record.database, record.DATABASE_SECONDS + 2, DISK),
    "clock": Check(record.clock, ENGINE_SECONDS + 2, DISK),
    "model": Check(model.model, model.SECONDS + 2, BUSY),
    "settings": Check(settings.settings, ENGINE_SECONDS + 1, BUSY),
}


class Diagnosis:
    """Reports on the system's health, briefly or in full."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        job_files: JobFiles,
        models: Models,
        signer: Signer,
    ) -> None:
        self._settings, self._engine, self._job_files = settings, engine, job_files
        self._case = Case(settings, store, engine, job_files, models, signer, self._facts, self._image_id)
        self._going = Going()
        self._keys = Needles(keys(settings))

    async def brief(self) -> dict[str, Finding]:
        """Check whether jobs can start."""
        found = {}
        try:
            image_id = await self._image_id()
            found["engine"] = Finding("ok", "The engine answers.")
            found["image"] = Finding("ok", f"{self._settings.agent_image} is {image_id}.")
        except ImageMissing as error:
            found["image"] = Finding("failed", str(error), engine.BUILD)
        except EngineError as error:
            found["engine"] = engine.engine_away(error)
        try:
            found["disk"] = await self._going.within("room", self._disk, DISK_SECONDS)
        except TimeoutError:
            detail = f"The disk of {self._job_files.folder} does not answer within {DISK_SECONDS:g} s."
            found["disk"] = Finding("failed", detail, DISK)
        found["model"] = await settings.model(self._case)
        if failed := record.writer(self._case):
            found["database"] = failed
        return self._hidden(found)

    async def full(self) -> dict[str, Finding]:
        """Run all checks. Concurrent callers share the results."""
        return self._hidden(dict(zip(CHECKS, await asyncio.gather(*map(self._check, CHECKS)), strict=True)))

    async def stop(self) -> None:
        """Start no more sandbox checks, and wait for one in progress to remove its sandbox."""
        self._case.stopped = True
        await self._going.wait("sandbox", STOP_SECONDS)

    def _hidden(self, found: dict[str, Finding]) -> dict[str, Finding]:
        """Hide our keys in findings, which have the words of servers, programs and errors."""
        hidden: dict[str, Finding] = self._keys.structure(found)
        return hidden

    async def _check(self, name: str) -> Finding:
        look, seconds, hangs = CHECKS[name]

        async def work() -> Finding:
            return await look(self._case)

        try:
            return await self._going.within(name, work, seconds)
        except TimeoutError:
            detail = f"The check took longer than {seconds:g} s."
            return Finding("failed", detail, hangs.format(advice=self._engine.advice))
        except Exception as error:
            log.exception("the check of %s failed unexpectedly", name)
            return Finding("failed", f"The check failed unexpectedly: {error}", "See the orchestrator's log.")

    async def _disk(self) -> Finding:
        return await record.room(self._case) or Finding("ok", "There is free disk space.")

    async def _facts(self) -> Facts:
        return await self._asked("facts", lambda: self._engine.facts(self._settings.agent_image))

    async def _image_id(self) -> str:
        return await self._asked("image id", lambda: self._engine.image(self._settings.agent_image))

    async def _asked(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the engine's answer. Raises EngineDown after a timeout."""
        try:
            return await self._going.within(name, ask, ENGINE_SECONDS)
        except TimeoutError:
            detail = f"The {self._engine.name} does not answer within {ENGINE_SECONDS:g} s."
            raise EngineDown(detail, ENGINE.format(advice=self._engine.advice)) from None
