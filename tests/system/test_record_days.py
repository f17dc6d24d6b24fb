"""How long jobs stay in the record: RECORD_DAYS, and never less than their files; then their room is given back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import SQLModel

from orchestrator.db.models import Job, Step, Turn
from orchestrator.db.store import DAY, FORGET_ROWS, Store
from tests.support.first_record import FIRST_RECORD, write
from tests.support.retention import AT_ONCE, LONG
from tests.support.system import System, until

OLD, RECENT, WITH_FILES = ("0" * 16, "1" * 16, "2" * 16)

#: PRAGMA auto_vacuum: the file gives pages back, some at a time.
INCREMENTAL = 2


def pragma(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as record:
        return int(record.execute(f"PRAGMA {name}").fetchone()[0])


def rows(path: Path, job_id: str) -> dict[str, int]:
    """How many rows of a job each table has."""
    keys = {name: "id" if name == "job" else "job_id" for name in SQLModel.metadata.tables}
    with closing(sqlite3.connect(path)) as record:
        count = "SELECT count(*) FROM {} WHERE {} = ?"
        return {name: record.execute(count.format(name, key), (job_id,)).fetchone()[0] for name, key in keys.items()}


def a_job(job_id: str, **fields: Any) -> Job:
    limits = {"seconds": 1, "memory": 1, "cpus": 1, "processes": 1, "zip_bytes": 1, "steps_count": 1}
    return Job(id=job_id, prompt="p", planned_by="request", network="none", created_at=1.0, **limits, **fields)


def ended(job_id: str, ended_at: float, **fields: Any) -> Job:
    return a_job(job_id, status="completed", ended_at=ended_at, expired_at=ended_at, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.db"


# ── which jobs go ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_leaves_the_record_when_its_files_are_gone_and_its_days_are_over(
    make_system: Callable[..., System],
) -> None:
    system = make_system(RETENTION_DAYS=str(AT_ONCE), RECORD_DAYS=str(AT_ONCE)).start()
    first = system.completed(system.shell("echo first"))["job_id"]
    keeps = system.completed(system.shell("echo kept", keep_days=LONG))["job_id"]
    waits = system.shell("echo ready; sleep 600")
    system.says(waits, "ready")
    system.kill()
    system.start()
    until(lambda: system.http.get(f"/status/{first}").status_code == 404, "the ended job leaves the record")
    assert set(rows(system.record / "orchestrator.db", first).values()) == {0}
    assert not (system.record / first).exists()
    assert system.zip(keeps).manifest["plan"]["keep_days"] == LONG, "its files are kept, and so is its row"
    assert [job["job_id"] for job in system.http.get("/jobs").json()["jobs"]] == [waits, keeps]
    system.cancel(waits)
    system.ended(waits)


def test_by_default_an_expired_job_stays_in_the_record_and_0_keeps_all(make_parked: Callable[..., System]) -> None:
    old, recent = time.time() - 91 * DAY, time.time() - 89 * DAY
    system = make_parked(AGENT_IMAGE="none").start()
    system.stop()
    path = system.record / "orchestrator.db"
    store = Store(path)
    with_files = a_job(WITH_FILES, status="completed", ended_at=old)
    asyncio.run(add(store, ended(OLD, old), ended(RECENT, recent), with_files))
    store.close()
    system.settings["RECORD_DAYS"] = "0"
    system.start()
    until(lambda: "its files are removed" in system.log.read_text(), "old jobs are looked for")
    system.stop()
    assert [rows(path, job)["job"] for job in (OLD, RECENT, WITH_FILES)] == [1, 1, 1]
    del system.settings["RECORD_DAYS"]
    system.start()
    until(lambda: [rows(path, job)["job"] for job in (OLD, WITH_FILES)] == [0, 0], "what ended 91 days ago goes")
    assert system.http.get(f"/status/{RECENT}").status_code == 200
    assert system.http.get(f"/status/{OLD}").status_code == 404


async def add(store: Store, *jobs: Job) -> None:
    for job in jobs:
        assert await store.add(job, [], 1000)


def add_events(path: Path, job_id: str, count: int) -> None:
    with closing(sqlite3.connect(path)) as record, record:
        made = [(job_id, number, 1.0, "step_started", "{}") for number in range(100, 100 + count)]
        record.executemany("INSERT INTO event (job_id, number, at, kind, data) VALUES (?, ?, ?, ?, ?)", made)


# ── how they go ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_hangs_on_a_job_goes_in_small_batches(path: Path) -> None:
    events = 2 * FORGET_ROWS + 10
    store = Store(path)

    async def work() -> list[int]:
        step = Step(job_id="old", number=1, kind="shell", title="", source="x", seconds=1)
        assert await store.add(ended("old", 1.0), [step], 1)
        assert await store.add(ended("new", time.time()), [], 1)
        await store.say("old", [Turn(job_id="old", number=1, role="user", purpose="plan", text="hi")])
        add_events(path, "old", events)
        assert await store.to_forget(time.time() - DAY) == ["old"]
        left = []
        while not await store.forget(["old"]):
            left.append(rows(path, "old")["event"])
        return left

    left = asyncio.run(work())
    store.close()
    assert len(left) >= 2 and max(a - b for a, b in zip([events + 1, *left], left, strict=False)) <= FORGET_ROWS
    assert set(rows(path, "old").values()) == {0}
    assert rows(path, "new")["job"] == 1


# ── the room ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_room_of_jobs_that_left_the_record_is_given_back(make_parked: Callable[..., System]) -> None:
    system = make_parked().start()
    steps = [{"kind": "file", "path": f"{name}.txt", "content": "x" * 490_000} for name in "ab"]
    for _ in range(30):
        system.cancel(system.submit(steps=steps))
    system.stop()
    path = system.record / "orchestrator.db"
    full = path.stat().st_size
    assert full > 29_000_000
    system.settings.update(RETENTION_DAYS=str(AT_ONCE), RECORD_DAYS=str(AT_ONCE))
    system.start()
    until(lambda: not system.http.get("/jobs").json()["jobs"], "all of them leave the record")
    until(lambda: pragma(path, "page_count") < 2_500, "their pages are given back")
    system.stop()
    assert path.stat().st_size < full / 3


def test_a_record_of_an_earlier_version_learns_to_give_room_back(path: Path) -> None:
    write(path, FIRST_RECORD.read_text())
    assert pragma(path, "auto_vacuum") == 0
    store = Store(path)
    assert len(asyncio.run(store.jobs())) == 2
    store.close()
    assert pragma(path, "auto_vacuum") == INCREMENTAL
    with closing(sqlite3.connect(path)) as record:
        assert record.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_new_record_can_give_room_back(path: Path) -> None:
    Store(path).close()
    assert pragma(path, "auto_vacuum") == INCREMENTAL


# ── what a look for such jobs costs ──────────────────────────────────────────────────────────────────────────────────

LOOKS: dict[str, tuple[Callable[[Store], Awaitable[Any]], str]] = {
    "to_expire": (lambda store: store.to_expire(1e9, 1.0), "by_expiry"),
    "first_to_go": (lambda store: store.first_to_go(1e9), "by_expiry"),
    "to_forget": (lambda store: store.to_forget(1e9), "by_end"),
}


@pytest.mark.parametrize(("look", "index"), LOOKS.values(), ids=LOOKS.keys())
def test_a_look_for_jobs_to_remove_visits_no_others(
    path: Path, look: Callable[[Store], Awaitable[Any]], index: str
) -> None:
    store, asked = Store(path), []

    def hear(connection: object, cursor: object, statement: str, parameters: Any, *rest: object) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        asyncio.run(_run(look(store)))
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    store.close()
    selects = [item for item in asked if item[0].startswith("SELECT")]
    assert selects
    with closing(sqlite3.connect(path)) as record:
        for statement, parameters in selects:
            plan = [str(row[3]) for row in record.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert len(plan) == 1 and f"SEARCH job USING INDEX {index} (" in plan[0], plan


async def _run(asked: Awaitable[Any]) -> Any:
    return await asked
