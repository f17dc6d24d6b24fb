"""An engine that answers late or never, as the clock and the reconnection meet it: no work is begun twice.

The engine stands in for a real one, because the order of its answers is what is tried here.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.support.house import PATIENCE, House, LateEngine, until
from tests.support.record import Known, rows


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
            assert "sent no message" in job.detail

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
        house = House(tmp_path, LateEngine("box"), monkeypatch, min_keep_minutes=0)
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
