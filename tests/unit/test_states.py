"""The record, in any order of calls and restarts, beside a small model of what docs/architecture.md says of it.

Hypothesis makes the orders, several calls at the same time among them. They are derived from this file alone:
what is red stays red. The model takes the table of moves from `models`, and nothing else of the code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.exc import IntegrityError

from orchestrator.db.models import MOVES, Job
from orchestrator.db.store import DAY, Store
from tests.support.record import Known, report, rows

QUEUE = 4
ENDS = ("completed", "failed", "cancelled")


LIVING = 4
WHICH = st.integers(0, LIVING + 2)
OUTCOME = st.sampled_from(ENDS)
REPORT = st.tuples(
    st.integers(-1, 2),  # what is added to the number that would be next: replays, gaps
    st.sampled_from(["phase", "output", "step_started", "step_ended"]),
    st.integers(0, 3),
)

#: A call, with what it is called with.
CALL = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 3), st.booleans(), st.sampled_from([None, 0.5, 5.0])),
    st.tuples(st.just("submit_again"), WHICH),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.just("take"), WHICH),
    st.tuples(st.just("record"), WHICH, st.lists(REPORT, max_size=5)),
    st.tuples(st.just("record"), WHICH, st.lists(REPORT, max_size=5)),
    st.tuples(st.just("request_cancel"), WHICH),
    st.tuples(st.just("settle"), WHICH, OUTCOME, st.booleans()),
    st.tuples(st.just("settle"), WHICH, OUTCOME, st.just(False)),
    st.tuples(st.just("finish"), WHICH, OUTCOME),
    st.tuples(st.just("finish"), WHICH, OUTCOME),
    st.tuples(st.just("wait_for"), st.sampled_from(["slot", "disk"]), st.sampled_from(["", "why"])),
    st.tuples(st.just("expire"), WHICH),
    st.tuples(st.just("delete"), WHICH),
)


class Machine(RuleBasedStateMachine):
    """Each call first changes the model, which says what the store must answer; then all of both is compared."""

    fresh: Path  # a record without a job: to make one takes longer than all the rest

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ca-states-"))
        self.path = self.folder / "orchestrator.db"
        shutil.copy(self.fresh, self.path)
        self.runner = asyncio.Runner()
        self.store = Store(self.path)
        self.jobs: list[Known] = []
        self.ended: list[Known] = []  # in the order of their ends
        self.noted: dict[tuple[str, str], float] = {}  # times, which never change

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()
        shutil.rmtree(self.folder)

    @initialize(waiting=st.integers(0, QUEUE), run=st.integers(0, 2))
    def begin(self, waiting: int, run: int) -> None:
        """Some jobs, of which some run, the first in its first step."""
        started = ("record", 0, [(0, "step_started", 1)])
        self.call([("submit", 2, True, None)] * waiting + [("claim", 3)] * run + [("take", 0), started], "")

    @rule(calls=st.lists(CALL, min_size=1, max_size=4), then=st.sampled_from(["", "", "look", "restart"]))
    def call(self, calls: list[tuple[Any, ...]], then: str) -> None:
        """Calls at the same time: they come to the writer in their order, and share a transaction."""

        async def all_at_once() -> None:
            await asyncio.gather(*[getattr(self, name)(*given) for name, *given in calls])
            if then == "look":
                await self.look()

        self.runner.run(all_at_once())
        if then == "restart":
            self.store.close()
            self.store = Store(self.path)

    # ── the calls: what is done to the model at once, and what the store must answer ─────────────────────────────

    def one(self, which: int) -> Known:
        """A job: mostly of those that have not ended; else one that is there, was there, or never was."""
        living = [job for job in self.jobs if not job.final]
        found = living if which < LIVING and living else self.jobs
        return found[which % len(found)] if found else Known("nobody", -1, {}, None, deleted=True)

    def with_status(self, status: str) -> list[Known]:
        return [job for job in self.jobs if job.status == status and not job.deleted]

    def submit(self, steps: int, check: bool, keep_days: float | None) -> Coroutine[Any, Any, None]:
        n, numbers = len(self.jobs), range(0 if check else 1, steps + 1)
        known = Known(f"job{n}", n, dict.fromkeys(numbers, "waiting"), keep_days)
        taken = len(self.with_status("scheduled")) < QUEUE
        if taken:
            known.tell("scheduled")
            self.jobs.append(known)

        async def do() -> None:
            assert await self.store.add(*rows(known), QUEUE) is taken

        return do()

    def submit_again(self, which: int) -> Coroutine[Any, Any, None]:
        """A write that fails, among others that must not."""
        known = self.one(which)

        async def do() -> None:
            with pytest.raises(IntegrityError):
                await self.store.add(*rows(known), 10**6)

        return nothing() if known.deleted else do()

    def claim(self, slots: int) -> Coroutine[Any, Any, None]:
        waiting = [job for job in self.with_status("scheduled") if not job.cancel_asked]
        first = waiting[0] if waiting and len(self.with_status("running")) < slots else None
        if first:
            first.move("running")
            first.waiting = (None, "")
        fields = {"sandbox_id": f"sandbox of {first.id}" if first else "x", "token_sha256": "secret"}

        async def do() -> None:
            claimed = await self.store.claim(slots, fields)
            assert (claimed and claimed.id) == (first and first.id)
            assert claimed is None or (claimed.status, claimed.token_sha256) == ("running", "secret")

        return do()

    def take(self, which: int) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        runs = known.status == "running" and not known.deleted and known.outcome is None
        known.taken = known.taken or runs

        async def do() -> None:
            assert (await self.store.take(known.id) is not None) is runs

        return do()

    def record(self, which: int, given: list[tuple[int, str, int]]) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        reports, number, joined = [], known.acknowledged, None
        for shift, kind, step in given:
            number += 1
            reports.append(report(number + shift, kind, step))
            if known.status == "running" and not known.deleted and number + shift == known.acknowledged + 1:
                known.acknowledged += 1
                joins = kind == "output" and joined == step  # to the event of the output before it
                joined = step if kind == "output" else None
                if not joins:
                    known.tell(kind)
                if kind.startswith("step_") and step in known.steps:
                    known.steps[step] = "running" if kind == "step_started" else "completed"
        last = 0 if known.deleted else known.acknowledged

        async def do() -> None:
            assert await self.store.record(known.id, reports) == last

        return do()

    def request_cancel(self, which: int) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        if not (known.deleted or known.final or known.cancel_asked or known.outcome):
            known.cancel_asked = True
            known.tell("cancel_requested")
        there, asked = not known.deleted, known.cancel_asked

        async def do() -> None:
            job = await self.store.request_cancel(known.id)
            assert (job is not None) is there
            assert job is None or (job.cancel_requested_at is not None) is asked

        return do()

    def settle(self, which: int, status: str, replace: bool) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        if not (known.deleted or known.final) and (known.outcome is None or replace):
            # who asked for a cancellation before the end was decided gets it
            known.outcome = "cancelled" if known.cancel_asked else status
        there, outcome = not known.deleted, known.outcome

        async def do() -> None:
            job = await self.store.decide_outcome(known.id, {"status": status, "detail": "said"}, replace=replace)
            assert (job is not None) is there
            assert job is None or (job.outcome and job.outcome["status"]) == outcome

        return do()

    def finish(self, which: int, status: str) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        artifact = {"bytes": len(known.events)}
        moved = known.move(status)
        if moved:
            self.ended.append(known)
            known.artifact, known.waiting = artifact, (None, known.waiting[1])
            meant = {"waiting": "skipped", "running": "cancelled" if status == "cancelled" else "failed"}
            known.steps = {number: meant.get(step, step) for number, step in known.steps.items()}

        async def do() -> None:
            assert (
                await self.store.finish(known.id, status, {"phase": None, "artifact": artifact}) is not None
            ) is moved

        return do()

    def wait_for(self, what: str, detail: str) -> Coroutine[Any, Any, None]:
        new = [job for job in self.with_status("scheduled") if job.waiting != (what, detail)]
        for job in new:
            job.waiting = (what, detail)
            job.tell("waiting")
        ids = {job.id for job in new}

        async def do() -> None:
            assert set(await self.store.wait_for(what, detail)) == ids

        return do()

    def expire(self, which: int) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        if known.final:
            known.expired = True
            known.events = [(number, kind) for number, kind in known.events if kind != "output"]
        return self.store.expire(known.id)

    def delete(self, which: int) -> Coroutine[Any, Any, None]:
        known = self.one(which)
        known.deleted = known.deleted or known.final
        return self.store.delete(known.id)

    # ── what holds at all times ──────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_record_is_as_the_model_has_it(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as record:
            record.row_factory = sqlite3.Row
            jobs = {row["id"]: row for row in record.execute("SELECT * FROM job ORDER BY n")}
            steps, events = defaultdict(dict), defaultdict(list)
            for row in record.execute("SELECT job_id, number, status FROM step"):
                steps[row["job_id"]][row["number"]] = row["status"]
            for row in record.execute("SELECT job_id, number, kind FROM event ORDER BY job_id, number"):
                events[row["job_id"]].append((row["number"], row["kind"]))
        assert list(jobs) == [known.id for known in self.jobs if not known.deleted]
        for known in self.jobs:
            if known.deleted:
                assert not steps[known.id] and not events[known.id]
            else:
                self.compare(known, jobs[known.id], steps[known.id], events[known.id])

    def compare(self, known: Known, row: sqlite3.Row, steps: dict[int, str], events: list[tuple[int, str]]) -> None:
        job = dict(row)
        outcome = json.loads(job["outcome"] or "null")
        assert job["status"] == known.status
        assert (job["waiting_for"], job["detail"]) == known.waiting
        assert (job["cancel_requested_at"] is not None) is known.cancel_asked
        assert (job["taken_at"] is not None) is known.taken
        assert (outcome and outcome["status"]) == known.outcome
        assert (job["settled_at"] is not None) is (known.outcome is not None)
        assert job["acknowledged"] == known.acknowledged
        assert (job["ended_at"] is not None) is known.final
        assert json.loads(job["artifact"] or "null") == known.artifact
        assert (job["started_at"] is not None) is (job["sandbox_id"] is not None)
        assert job["token_sha256"] == ("secret" if known.status == "running" else None)
        assert (job["expired_at"] is not None) is known.expired
        assert steps == known.steps
        assert not known.final or not {"waiting", "running"} & set(steps.values())
        assert events == known.events and job["last_event"] == known.last_event
        for name in ("created_at", "started_at", "taken_at", "cancel_requested_at", "ended_at", "expired_at"):
            if job[name] is not None:
                assert self.noted.setdefault((known.id, name), job[name]) == job[name]
        states = [kind for _, kind in events if kind in MOVES]
        assert states[0] == "scheduled" and states[-1] == job["status"]
        assert all(after in MOVES[before] for before, after in pairwise(states))

    async def look(self) -> None:
        """What the store finds among all jobs."""
        there = [job for job in self.jobs if not job.deleted]
        scheduled = [job for job in there if job.status == "scheduled"]
        wanted = [job.id for job in scheduled if not job.cancel_asked]
        first = await self.store.first_scheduled()
        assert (first and first.id) == (wanted[0] if wanted else None)
        assert [job.id for job in await self.store.jobs()] == [job.id for job in there][::-1]
        assert [job.id for job in await self.store.running()] == [job.id for job in there if job.status == "running"]
        assert {job.id for job in await self.store.to_cancel()} == {job.id for job in scheduled} - set(wanted)
        assert await self.store.counts() == {state: sum(job.status == state for job in there) for state in MOVES}
        with_files = [job for job in there if job.final and not job.expired]
        for days in (0.2, 1.0, 6.0):
            late = {job.id for job in with_files if (job.keep_days or 0.9) < days}
            assert {job.id for job in await self.store.to_expire(time.time() + days * DAY, 0.9)} == late
        to_go = [job.id for job in self.ended if job in with_files and job.keep_days is None]
        assert [job.id for job in await self.store.first_to_go(time.time())] == to_go
        for known in there:
            job = await self.store.job(known.id)
            assert job and await self.store.ahead(job) == sum(other.n < known.n for other in scheduled)
            after = [kind for number, kind in known.events if number > known.last_event // 2]
            page = await self.store.events(known.id, known.last_event // 2, 3)
            assert [event.kind for event in page.events] == after[:3]
            assert page.over is (known.final and len(after) <= 3)
            assert [step.number for step in await self.store.steps(known.id)] == sorted(known.steps)


async def nothing() -> None:
    """What is called where there is nothing to call."""


@pytest.fixture(scope="module", autouse=True)
def fresh(tmp_path_factory: pytest.TempPathFactory) -> None:
    Machine.fresh = tmp_path_factory.mktemp("states") / "fresh.db"
    Store(Machine.fresh).close()


SUBMIT, CLAIM, TAKE = ("submit", 2, True, None), ("claim", 1), ("take", 0)
STARTED, CANCEL = ("record", 0, [(0, "step_started", 1), (0, "output", 1)]), ("request_cancel", 0)


@pytest.mark.parametrize(
    "calls",
    [
        [SUBMIT, CLAIM, TAKE, STARTED, TAKE, ("settle", 0, "failed", False), CANCEL, ("settle", 0, "completed", False),
         ("finish", 0, "failed"), ("finish", 0, "completed"), CANCEL, STARTED, ("expire", 0), ("expire", 0),
         ("delete", 0)],
        [SUBMIT, CLAIM, STARTED, CANCEL, CANCEL, ("settle", 0, "completed", False), ("finish", 0, "cancelled")],
        [SUBMIT, SUBMIT, CANCEL, CLAIM, CLAIM, ("finish", 0, "cancelled"), ("finish", 0, "cancelled"), CLAIM],
        [*[SUBMIT] * (QUEUE + 1), CLAIM, SUBMIT, ("expire", 0), ("delete", 0)],
    ],
    ids=["completed", "cancelled while it runs", "cancelled while it waits", "a full queue"],
)  # fmt: skip
def test_the_usual_lives_of_a_job(calls: list[tuple[Any, ...]]) -> None:
    machine = Machine()
    try:
        for call in calls:
            machine.call([call], "look")
            machine.the_record_is_as_the_model_has_it()
            machine.call([], "restart")
    finally:
        machine.teardown()


@pytest.mark.parametrize(
    ("asked", "told"),
    [(["", "stopped"], "The job was cancelled."), (["stopped", ""], "stopped"), (["stopped"], "stopped")],
    ids=["a person first", "a person last", "no person"],
)
@pytest.mark.parametrize("status", ENDS)
def test_a_cancelled_job_says_who_asked_first(asked: list[str], told: str, status: str) -> None:
    machine = Machine()
    try:
        store = machine.store

        async def work() -> Job | None:
            await store.add(*rows(Known("job0", 0, {1: "waiting"}, None)), QUEUE)
            for why in asked:
                await store.request_cancel("job0", why)
            return await store.decide_outcome("job0", {"status": status, "detail": "The job was cancelled."})

        job = machine.runner.run(work())
        assert job and job.outcome and (job.outcome["status"], job.outcome["detail"]) == ("cancelled", told)
    finally:
        machine.teardown()


@pytest.mark.slow
def test_the_record_is_what_the_design_says_in_any_order_of_calls_and_restarts() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            derandomize=True,
            phases=[Phase.generate],  # to make it smaller would take minutes, and the steps are shown
            database=None,
            deadline=None,
            max_examples=40,
            stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
        ),
    )
