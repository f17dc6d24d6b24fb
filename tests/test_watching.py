"""An engine that answers late or never, as the clock and the reconnection meet it: no work is begun twice.

The engine stands in for a real one, because the order of its answers is what is tried here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from test_states import Known, rows

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

PATIENCE = 20.0


class LateEngine:
    """Has no sandbox at first. Listings, kills and removals can be held back."""

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
            await self.holds["second listing"].wait()  # and what is answered then was so before
        else:
            await self._begin("sandboxes")
        return found


class Watched(Store):
    """A record that counts how often it is asked for the running jobs: each tick and each comparison does."""

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
    """A job service whose clocks go fast, and one job that was claimed and whose agent never said a word."""

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


def test_a_container_that_cannot_be_killed_is_killed_once_and_not_at_each_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        engine = LateEngine("box")
        engine.hold("kill box")
        async with House(tmp_path, engine, monkeypatch, start_seconds=0.01) as house:
            await until(lambda: engine.count("kill", "box"), "the container said nothing in time")
            await house.looks_again(20)
            assert engine.count("kill", "box") == 1
            engine.holds["kill box"].set()
            job = await house.job_service.wait("job0", PATIENCE)
            assert (job.status, job.reason) == ("failed", "engine_error")
            assert "did not say a word" in job.detail

    asyncio.run(work())


def test_a_reconnection_and_the_clock_together_start_a_sandbox_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        engine = LateEngine()
        engine.hold("second listing")
        engine.connected.set()
        async with House(tmp_path, engine, monkeypatch) as house:
            await until(lambda: engine.count("sandboxes") >= 2, "the job is seen to have no sandbox")
            await house.looks_again(20)  # the clock has its chance to start the sandbox too
            engine.holds["second listing"].set()
            await until(lambda: "box" in engine.there, "its sandbox is started")
            before = engine.count("sandboxes")
            await until(lambda: engine.count("sandboxes") > before + 2, "the engine is compared again")
            assert engine.count("start", "box") == 1

    asyncio.run(work())


def test_the_clock_and_a_start_that_needs_room_together_remove_no_more_than_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        house = House(tmp_path, LateEngine("box"), monkeypatch)
        removed, freed = list[str](), threading.Event()

        def remove(job_id: str) -> None:
            removed.append(job_id)
            if len(removed) == 1:
                freed.wait(PATIENCE)  # a large folder: its room comes back at the end

        monkeypatch.setattr(house.job_files, "disk_short", lambda: None if freed.is_set() else "It is short.")
        monkeypatch.setattr(house.job_files, "remove", remove)
        for job_id in ("old0", "old1"):
            await house.store.add(*rows(Known(job_id, 0, {}, None)), 9)
            await house.store.finish(job_id, "cancelled", {})
        async with house:
            await until(lambda: removed, "the clock makes room")
            start = asyncio.create_task(house.job_service.hooks.room_needed.emit())
            await house.looks_again(20)
            freed.set()
            await start
            assert removed == ["old0"]

    asyncio.run(work())


def test_a_container_that_cannot_be_removed_is_removed_once_and_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        engine = LateEngine("stranger")
        engine.hold("stop stranger")
        async with House(tmp_path, engine, monkeypatch) as house:
            await until(lambda: engine.count("stop", "stranger"), "the sandbox of no job is removed")
            await until(lambda: "box" in engine.there, "the sandbox of the job is started all the same")
            await house.looks_again(20)
            assert engine.count("stop", "stranger") == 1

    asyncio.run(work())
