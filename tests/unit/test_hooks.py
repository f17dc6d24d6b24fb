"""The named events of a job's life: any number of subscribers hears each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.db.models import Job
from orchestrator.jobs.hooks import Hook
from tests.support.house import PATIENCE, House, LateEngine


def test_all_subscribers_hear_an_event_in_order_and_one_that_fails_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = list[tuple[str, str]]()
    hook = Hook[[str]]("it_happened")

    async def later(job_id: str) -> None:
        await asyncio.sleep(0)
        heard.append(("later", job_id))

    def fails(job_id: str) -> None:
        raise ValueError(job_id)

    hook.subscribe(later)
    hook.subscribe(fails)
    hook.subscribe(lambda job_id: heard.append(("at once", job_id)))
    asyncio.run(hook.emit("job0"))
    assert heard == [("later", "job0"), ("at once", "job0")]
    assert "a subscriber of it_happened failed" in caplog.text


def test_the_end_of_a_job_is_heard_once_by_each_subscriber_after_its_settling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        engine, heard = LateEngine("box"), list[tuple[str, str]]()
        async with House(tmp_path, engine, monkeypatch, start_seconds=0.01) as house:
            hooks = house.job_service.hooks

            def ended(job: Job) -> None:
                heard.append((job.id, job.status))

            hooks.job_settling.subscribe(lambda job_id: heard.append((job_id, "settling")))
            hooks.job_ended.subscribe(ended)
            hooks.job_ended.subscribe(ended)
            await house.job_service.wait("job0", PATIENCE)
            await house.looks_again(3)
        assert heard == [("job0", "settling"), ("job0", "failed"), ("job0", "failed")]

    asyncio.run(work())
