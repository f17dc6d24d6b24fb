"""Waiting for a condition that a job's notifier announces."""

from __future__ import annotations

import asyncio
import time

from orchestrator.concurrency.notifier import Notifier, wait_until


def test_a_condition_is_asked_at_once_and_after_each_ring_of_its_job_alone() -> None:
    async def work() -> None:
        notifier, asked = Notifier(), list[int]()

        async def third() -> str | None:
            asked.append(len(asked) + 1)
            return "there" if asked[-1] == 3 else None

        waiting = asyncio.create_task(wait_until(notifier, "job", third))
        for ring in ("", "other", "job", "job"):
            if ring:
                notifier.ring(ring)
            before = len(asked)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(asked) == before + (ring != "other")
        assert await waiting == "there"
        notifier.ring("job")
        assert asked == [1, 2, 3]

    asyncio.run(work())


def test_a_ring_while_the_condition_is_being_asked_is_not_missed() -> None:
    async def work() -> None:
        notifier, answers = Notifier(), iter((False, True))

        async def condition() -> bool:
            notifier.ring("job")
            return next(answers)

        async with asyncio.timeout(20):
            assert await wait_until(notifier, "job", condition)

    asyncio.run(work())


def test_a_wait_ends_at_its_deadline_with_a_last_look_and_when_the_system_stops() -> None:
    async def work() -> None:
        notifier, asked = Notifier(), list[float]()

        async def never() -> bool:
            asked.append(time.monotonic())
            return False

        deadline = time.monotonic() + 0.05
        async with asyncio.timeout(20):
            assert await wait_until(notifier, "job", never, deadline) is None
            assert asked[-1] >= deadline
            assert await wait_until(notifier, "job", never, deadline) is None, "it is asked once where it is too late"
            waiting = asyncio.create_task(wait_until(notifier, "job", never))
            await asyncio.sleep(0)
            notifier.close()
            assert await waiting is None

    asyncio.run(work())
