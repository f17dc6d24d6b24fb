"""What steps print: stored in few events, and read again without all of it in memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.concurrency.notifier import Notifier
from orchestrator.db.models import Job, Step
from orchestrator.db.store import PRINTED_PAGE, Report, Store
from orchestrator.jobs.event_feed import EventFeed
from orchestrator.reports.documents import Api, all_of
from orchestrator.reports.notebook import Shown, notebook
from protocol.messages import OUTPUT_EVENT_CHARACTERS
from tests.support.record import Known, report, rows

#: Events of one job, and bytes of memory that its documents may take: as rows, the events alone would take 40 MB.
MANY, MEMORY = 20_000, 15_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A record with one running job, ``job0``, of two steps."""
    one = Store(tmp_path / "orchestrator.db")

    async def begin() -> None:
        await one.add(*rows(Known("job0", 0, {1: "waiting", 2: "waiting"}, None)), 1)
        await one.claim(1, {"sandbox_id": "x", "token_sha256": "x"})

    asyncio.run(begin())
    try:
        yield one
    finally:
        one.close()


def printed(number: int, step: int, text: str) -> Report:
    return Report(number, time.time(), "output", {"step": step, "text": text})


def texts(store: Store) -> list[tuple[int, int, str]]:
    return [(event.number, event.data["step"], event.data["text"]) for event in store.outputs("job0")]


def test_neighbouring_outputs_of_one_step_in_one_batch_are_one_event(store: Store) -> None:
    batch = [
        printed(1, 1, "a"), printed(2, 1, "b"), printed(3, 2, "c"), printed(4, 1, "d"), printed(5, 1, "e"),
        report(6, "step_ended", 1), printed(7, 1, "f"), printed(8, 1, "g"),
    ]  # fmt: skip
    assert asyncio.run(store.record("job0", batch)) == 8
    assert texts(store) == [(3, 1, "ab"), (4, 2, "c"), (5, 1, "de"), (7, 1, "fg")]  # 6 is the step's end
    assert asyncio.run(store.record("job0", batch)) == 8  # sent again
    assert asyncio.run(store.record("job0", [*batch[6:], printed(9, 1, "h"), printed(10, 1, "i")])) == 10
    assert texts(store)[4:] == [(8, 1, "hi")]


def test_an_event_of_joined_outputs_is_no_longer_than_any_other(store: Store) -> None:
    third = "x" * (OUTPUT_EVENT_CHARACTERS // 3)
    assert asyncio.run(store.record("job0", [printed(number, 1, third) for number in range(1, 8)])) == 7
    assert [len(text) for _, _, text in texts(store)] == [3 * len(third), 3 * len(third), len(third)]


def test_whoever_follows_a_job_reads_joined_outputs_without_a_gap_or_a_repetition(store: Store) -> None:
    notifier = Notifier()
    event_feed = EventFeed(store, notifier)

    async def followed(after: int) -> list[tuple[int, str]]:
        return [(told.number, told.data) async for told in event_feed.follow("job0", after)]

    async def work() -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
        early = asyncio.create_task(followed(0))
        for first in range(1, 301, 3):
            await store.record("job0", [printed(first + more, 1, f"{first + more},") for more in range(3)])
            notifier.ring("job0")
            await asyncio.sleep(0)
        await store.finish("job0", "completed", {})
        notifier.ring("job0")
        whole = await early
        return whole, await followed(whole[49][0])

    whole, later = asyncio.run(work())
    assert [number for number, _ in whole] == list(range(1, len(whole) + 1))
    assert later == whole[50:]
    assert "".join(text for _, _, text in texts(store)) == "".join(f"{number}," for number in range(1, 301))
    assert len(whole) == 100 + 3


def test_outputs_are_read_page_by_page_in_their_order(store: Store, tmp_path: Path) -> None:
    fill(tmp_path, 2 * PRINTED_PAGE + 1)
    assert [number for number, _, _ in texts(store)] == list(range(3, 2 * PRINTED_PAGE + 4))


def test_documents_and_notebook_of_a_job_that_printed_long_take_little_memory(store: Store, tmp_path: Path) -> None:
    fill(tmp_path, MANY)

    async def job_and_steps() -> tuple[Job, list[Step]]:
        job = await store.job("job0")
        assert job
        return job, await store.steps("job0")

    job, steps = asyncio.run(job_and_steps())
    job.outcome = {"status": "completed", "reason": None, "detail": ""}
    tracemalloc.start()
    try:
        made = all_of(job, steps, store.outputs("job0"), [], [], Api(1, False))
        assert made.texts["output.log"].count("a line\n") == MANY
        assert tracemalloc.get_traced_memory()[1] < MEMORY
        tracemalloc.reset_peak()
        del made
        assert "characters are left out here" in notebook(job, steps, Shown(store.outputs("job0")))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def fill(folder: Path, count: int) -> None:
    """Store so many events, as a long job makes them that prints a line now and then."""
    data = json.dumps({"step": 1, "text": "a line\n"})
    events = (("job0", number, 0.0, "output", data) for number in range(3, count + 3))
    with closing(sqlite3.connect(folder / "orchestrator.db")) as record, record:
        record.executemany("INSERT INTO event (job_id, number, at, kind, data) VALUES (?, ?, ?, ?, ?)", events)
