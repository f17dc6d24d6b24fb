"""The thread that writes the record outlives every failure; if it ends all the same, nothing waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import Session, text

from orchestrator.db.database import Database
from orchestrator.errors import RecordClosed
from tests.support.answers import problem
from tests.support.disk import fill
from tests.support.system import ROOT, System, until

#: Seconds in which an answer must come that waits for nothing.
AT_ONCE = 10.0

#: Run at the start of Python: the queue of writes raises, as soon as there is a file of that name.
DYING_WRITER = """
import pathlib, queue, types
from orchestrator.db import database

class Queue:
    def __init__(self):
        self.real = queue.SimpleQueue()
        self.put, self.get_nowait = self.real.put, self.real.get_nowait
    def get(self):
        if pathlib.Path({name!r}).exists():
            raise MemoryError("no room for this thread")
        return self.real.get()

database.queue = types.SimpleNamespace(SimpleQueue=Queue, Empty=queue.Empty)
"""


class Strange(BaseException):
    """No ``Exception``: what catches those does not catch this."""


@pytest.mark.parametrize("error", [ValueError, OSError, Strange])
def test_what_a_write_raises_reaches_its_caller_alone(tmp_path: Path, error: type[BaseException]) -> None:
    database = Database(tmp_path / "record.db")

    def wrong(session: Session) -> None:
        raise error("it went wrong")

    def right(session: Session) -> int:
        return int(session.execute(text("SELECT 1")).scalar_one())

    async def write() -> list[Any]:
        writes = [database.write(work) for work in (right, wrong, right)]
        return await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), AT_ONCE)

    first, failed, last = asyncio.run(write())
    assert (first, last) == (1, 1) and isinstance(failed, error) and str(failed) == "it went wrong"
    assert asyncio.run(write())[0] == 1
    database.close()


def test_a_write_to_a_closed_record_fails_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path / "record.db")
    database.close()

    async def write() -> None:
        await asyncio.wait_for(database.write(lambda session: None), AT_ONCE)

    with pytest.raises(RecordClosed, match="nothing can be stored"):
        asyncio.run(write())


def test_a_reserve_that_cannot_be_removed_fails_the_write_and_not_the_writer(
    make_parked: Callable[..., System], small_disk: Path
) -> None:
    system = make_parked(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="1m")
    (system.record / "orchestrator.spare").mkdir(parents=True)  # unlink() raises an OSError of it
    system.start()
    job = system.submit(prompt="Hello world")
    filler = fill(small_disk)
    problem(system.http.post(f"/cancel/{job}", timeout=AT_ONCE), 507, "is full", "Make room")
    filler.unlink()
    assert system.http.post(f"/cancel/{job}", timeout=AT_ONCE).json()["status"] == "cancelled"
    system.close()
    system.process = None


def test_if_the_writer_ends_health_is_red_and_every_write_fails_at_once(
    make_parked: Callable[..., System], tmp_path: Path
) -> None:
    dies = tmp_path / "dies"
    (tmp_path / "sitecustomize.py").write_text(DYING_WRITER.format(name=str(dies)))
    system = make_parked(PYTHONPATH=f"{tmp_path}:{ROOT}").start()
    job = system.submit(prompt="Hello world")
    assert "database" not in system.http.get("/health").json()["checks"]
    dies.touch()
    until(lambda: wrote_nothing(system), "the writer has ended")
    for path in ("/schedule", f"/cancel/{job}"):
        answer = system.http.post(path, json={"prompt": "Hello world"}, timeout=AT_ONCE)
        found = problem(answer, 503, "nothing can be stored", "no room for this thread", "Restart")
        assert found["type"] == "/problems/record-closed"
    for question in ("/health", "/health?full"):
        answer = system.http.get(question)
        assert answer.status_code == 503
        check = answer.json()["checks"]["database"]
        assert (
            check["result"] == "failed" and "nothing can be stored" in check["detail"] and "Restart" in check["to_do"]
        )
    assert system.status(job)["status"] == "scheduled"
    dies.unlink()
    assert system.stop() == 0
    system.start()
    assert system.cancel(job).json()["status"] == "cancelled"


def wrote_nothing(system: System) -> bool:
    try:
        return system.http.post("/schedule", json={"prompt": "Hello world"}, timeout=AT_ONCE).status_code != 202
    except httpx.ReadTimeout:
        pytest.fail("a write hangs")
