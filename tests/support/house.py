"""A job service with fast clocks, and an engine whose answers a test can delay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.db.models import Job
from orchestrator.db.store import Store
from orchestrator.engines.base import Engine, Exit, Sandbox, Spec
from orchestrator.files.job_files import JobFiles
from orchestrator.job_secrets.vault import Vault
from orchestrator.jobs import monitor, service
from orchestrator.jobs.service import JobService
from orchestrator.live.grants import Signer
from orchestrator.llm import choose
from orchestrator.settings import Settings
from tests.support.record import Known, rows

PATIENCE = 20.0


class LateEngine:
    """An engine that starts with the given sandboxes. A test can delay its answers with ``hold``."""

    def __init__(self, *there: str) -> None:
        self.there, self.begun = set(there), list[tuple[str, str]]()
        self.connected = asyncio.Event()
        self.holds: dict[str, asyncio.Event] = {}

    def hold(self, *verbs: str) -> None:
        for verb in verbs:
            self.holds[verb] = asyncio.Event()

    def count(self, verb: str, sandbox_id: str = "") -> int:
        return self.begun.count((verb, sandbox_id))

    async def _begin(self, verb: str, sandbox_id: str = "") -> None:
        self.begun.append((verb, sandbox_id))
        if hold := self.holds.get(f"{verb} {sandbox_id}".strip()):
            await hold.wait()

    async def ended(self) -> AsyncIterator[str]:
        while True:
            await self.connected.wait()
            self.connected.clear()
            yield ""

    async def written(self) -> dict[str, int]:
        return {}

    async def start(self, spec: Spec) -> Sandbox:
        await self._begin("start", spec.sandbox_id)
        self.there.add(spec.sandbox_id)
        return Sandbox(spec.sandbox_id, running=True)

    async def kill(self, sandbox_id: str) -> None:
        await self._begin("kill", sandbox_id)

    async def stop(self, sandbox_id: str) -> None:
        await self._begin("stop", sandbox_id)
        self.there.discard(sandbox_id)

    async def exit(self, sandbox_id: str) -> Exit | None:
        return Exit(137, False, "") if sandbox_id in self.there else Exit(-1, False, "")

    async def sandboxes(self) -> list[Sandbox]:
        found = [Sandbox(sandbox_id, running=True) for sandbox_id in sorted(self.there)]
        if self.count("sandboxes") == 1 and "second listing" in self.holds:
            self.begun.append(("sandboxes", ""))
            await self.holds["second listing"].wait()  # the answer is the state before the wait
        else:
            await self._begin("sandboxes")
        return found


class Watched(Store):
    """A record that counts the queries for running jobs. Each tick and each comparison with the engine makes one."""

    asked = 0

    async def running(self) -> list[Job]:
        self.asked += 1
        return await super().running()


async def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - no notifier tells of this
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"this took too long: {what}")


class House:
    """A job service with fast clocks, and a claimed job whose agent has sent nothing."""

    def __init__(self, folder: Path, engine: LateEngine, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
        monkeypatch.setattr(service, "TICK_SECONDS", 0.02)
        monkeypatch.setattr(monitor, "RECONCILE_SECONDS", 0.02)
        self.engine = engine
        settings = Settings(agent_output_dir=folder / "jobs", run_dir=folder / "run", disk_reserve=0, **given)
        self.job_files = JobFiles(settings.agent_output_dir, 0)
        self.store = Watched(self.job_files.database)
        signer = Signer(self.job_files.key("views"))
        self.job_service = JobService(
            settings, self.store, cast(Engine, engine), self.job_files, Vault(self.job_files), choose(settings), signer
        )

    async def __aenter__(self) -> House:
        await self.store.add(*rows(Known("job0", 0, {1: "waiting"}, None)), 1)
        await self.store.claim(1, {"sandbox_id": "box", "token_sha256": "x", "image": "i", "image_id": "i"})
        await self.job_service.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        for hold in self.engine.holds.values():
            hold.set()
        await self.job_service.abandon()
        self.store.close()
        self.job_files.close()

    async def looks_again(self, times: int) -> None:
        before = self.store.asked
        await until(lambda: self.store.asked >= before + times, "the clocks go on")
