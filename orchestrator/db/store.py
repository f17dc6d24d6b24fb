"""All SQL, and only SQL. Each race is settled here, in one statement.

Code that changes a job calls the scheduler. Code that reads calls the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import CursorResult, Update, and_, delete, exists, func, literal_column, or_, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from orchestrator.db.database import Checked, Database
from orchestrator.db.models import FINAL, MOVES, OUTPUT_TAIL, Event, Job, Step, Turn, at_the_end
from protocol.messages import OUTPUT_EVENT_CHARACTERS

#: In seconds.
DAY = 86_400

#: The events that contain the output and the results of steps.
PRINTED = ("output", "result", "viewer_cell")

#: Number of such events in one read. An event may contain a picture of a megabyte.
PRINTED_PAGE = 500

#: The events that record the model's actions, and the event with the text that the model is writing.
THOUGHTS = ("model_call", "planned", "reviewed")
THOUGHT = "thought"

#: Maximum characters of all text that a job's model writes into events.
THOUGHT_CHARACTERS = 400_000

#: The purposes of a question whose plan repairs the plan before.
REPAIRS = ("repair", "facts", "review")

#: Number of events, or of jobs, that are read if reading all would take too long.
NEWEST = 1000

#: The tables whose rows belong to a job and are deleted with it.
HANGING = (Event, Turn, Step)

#: Jobs, and rows of one of these tables, that one transaction removes.
FORGET_JOBS, FORGET_ROWS = 50, 100


class Page(NamedTuple):
    """Some events of a job, in order. If ``over`` is true, no event will follow them."""

    events: list[Event]
    over: bool


@dataclass(slots=True)
class Printed:
    """An event with the output or a result of a step, or with a cell that a viewer ran."""

    number: int
    kind: str
    data: dict[str, Any]


@dataclass
class Report:
    """A report of the agent: an event, and the fields of the job and of a step that change with it.

    ``words`` is the text that stands for a result in the end of its step's output.
    """

    number: int
    at: float
    kind: str
    data: dict[str, Any]
    job: dict[str, Any] = field(default_factory=dict)
    step_number: int = 0
    step: dict[str, Any] = field(default_factory=dict)
    words: str = ""


class Store:
    """The record of all jobs."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def close(self) -> None:
        self._database.close()

    @property
    def closed(self) -> str:
        """Return the reason why writing has stopped for good, as a sentence. Empty while writes work."""
        return self._database.closed

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def job(self, job_id: str) -> Job | None:
        return await self._database.read(lambda session: _job(session, job_id))

    async def job_of_sandbox(self, sandbox_id: str) -> Job | None:
        query = select(Job).where(Job.sandbox_id == sandbox_id)
        return await self._database.read(lambda session: session.exec(query).first())

    async def steps(self, job_id: str) -> list[Step]:
        query = select(Step).where(Step.job_id == job_id).order_by(col(Step.number))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def jobs(
        self,
        *,
        statuses: Sequence[str] = (),
        labels: Sequence[tuple[str, str]] = (),
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return jobs, newest first. ``before`` is the ``n`` of the last job that the caller has."""
        query = select(Job).order_by(col(Job.n).desc()).limit(limit)
        if statuses:
            query = query.where(col(Job.status).in_(statuses))
        if before is not None:
            query = query.where(col(Job.n) < before)
        for name, value in labels:
            label = func.json_each(Job.labels).table_valued("key", "value")
            query = query.where(exists().select_from(label).where(label.c.key == name, label.c.value == value))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def running(self) -> list[Job]:
        query = select(Job).where(Job.status == "running").order_by(col(Job.n))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def first_scheduled(self) -> Job | None:
        query = select(Job).where(Job.status == "scheduled", col(Job.cancel_requested_at).is_(None))
        query = query.order_by(col(Job.n)).limit(1)
        return await self._database.read(lambda session: session.exec(query).first())

    async def to_cancel(self) -> list[Job]:
        """Return the scheduled jobs that still have to be cancelled, because a cancellation was requested."""
        query = select(Job).where(Job.status == "scheduled", col(Job.cancel_requested_at).is_not(None))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        query = select(Job.status, func.count()).group_by(Job.status)
        found = await self._database.read(lambda session: dict(session.exec(query).all()))
        return {status: found.get(status, 0) for status in MOVES}

    async def ahead(self, job: Job) -> int:
        """Return the number of scheduled jobs that come before this job."""
        query = select(func.count()).select_from(Job).where(Job.status == "scheduled", col(Job.n) < job.n)
        return await self._database.read(lambda session: session.exec(query).one())

    async def events(self, job_id: str, after: int, limit: int) -> Page:
        """Return the events of a job after a number. The final event is the last of all."""
        query = select(Event).where(Event.job_id == job_id, col(Event.number) > after)
        query = query.order_by(col(Event.number)).limit(limit)

        def work(session: Session) -> Page:
            found = list(session.exec(query))
            if found:
                return Page(found, found[-1].kind in FINAL)
            status = session.exec(select(Job.status).where(Job.id == job_id)).first()
            return Page([], status is None or status in FINAL)

        return await self._database.read(work)

    def outputs(self, job_id: str) -> Iterator[Printed]:
        """Yield the output and the results of a job's steps, and the cells that viewers ran, in order. Blocks.

        Only one page is in memory at a time, because a long job has very many such events.
        """
        columns = select(Event.number, Event.kind, Event.data)
        query = columns.where(Event.job_id == job_id, col(Event.kind).in_(PRINTED)).order_by(col(Event.number))

        def page_after(last: int) -> list[Printed]:
            page = query.where(col(Event.number) > last).limit(PRINTED_PAGE)
            return self._database.read_here(
                lambda session: [Printed(n, kind, dict(data)) for n, kind, data in session.exec(page)]
            )

        last = 0
        while page := page_after(last):
            yield from page
            last = page[-1].number

    async def thoughts(self, job_id: str) -> list[Event]:
        """Return the events of a job's model, in order: its calls, its plans, its reviews."""
        query = select(Event).where(Event.job_id == job_id, col(Event.kind).in_(THOUGHTS)).order_by(col(Event.number))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def turns(self, job_id: str) -> list[Turn]:
        """Return the conversation of a job with its model, in order."""
        query = select(Turn).where(Turn.job_id == job_id).order_by(col(Turn.number))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def to_expire(self, now: float, default_days: float) -> list[Job]:
        """Return jobs whose files have been kept for their ``keep_days``, or else for the default."""
        default = _with_files().where(col(Job.keep_days).is_(None), col(Job.ended_at) < now - default_days * DAY)
        own = _with_files().where(col(Job.keep_days) > 0, col(Job.ended_at) < now - col(Job.keep_days) * DAY)
        # two queries, because SQLite would read the whole index for a query with an OR
        return await self._database.read(lambda session: [*session.exec(default), *session.exec(own)])

    async def first_to_go(self, before: float) -> list[Job]:
        """Return jobs with files that ended before a time, in the order of their ends.

        Their files are removed if disk space is needed. Jobs with their own ``keep_days`` are not among them.
        """
        query = _with_files().where(col(Job.keep_days).is_(None), col(Job.ended_at) <= before)
        query = query.order_by(col(Job.ended_at))
        return await self._database.read(lambda session: list(session.exec(query)))

    async def to_forget(self, before: float) -> list[str]:
        """Return the ids of some jobs that ended before a time and whose files are gone, in the order of their ends."""
        query = select(Job.id).where(col(Job.expired_at).is_not(None), col(Job.ended_at) < before)
        query = query.order_by(col(Job.ended_at)).limit(FORGET_JOBS)
        return await self._database.read(lambda session: list(session.exec(query)))

    async def latest(self) -> float:
        """Return the latest time among the newest events and jobs. Returns 0 if there are no events and no jobs."""
        newest = select(Event.at).order_by(literal_column("rowid").desc()).limit(NEWEST).subquery()
        times = func.max(Job.created_at, func.coalesce(Job.started_at, 0), func.coalesce(Job.ended_at, 0))
        jobs = select(times.label("at")).order_by(col(Job.n).desc()).limit(NEWEST).subquery()

        def work(session: Session) -> float:
            return max(session.exec(select(func.max(part.c.at))).one() or 0.0 for part in (newest, jobs))

        return await self._database.read(work)

    async def check(self, seconds: float) -> Checked:
        """Look for damage in the file, for at most ``seconds``."""
        return await self._database.check(seconds)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def add(self, job: Job, steps: Sequence[Step], queue_limit: int) -> bool:
        """Store a new job. Returns False, and stores nothing, if ``queue_limit`` jobs wait already."""

        def work(session: Session) -> bool:
            waiting = select(func.count()).select_from(Job).where(Job.status == "scheduled")
            if session.exec(waiting).one() >= queue_limit:
                return False
            session.add(job)
            session.flush()
            session.add_all(steps)
            _append(session, job.id, "scheduled", {"status": "scheduled"})
            return True

        return await self._database.write(work)

    async def claim(self, slots: int, fields: dict[str, Any]) -> Job | None:
        """Move the oldest waiting job to ``running``, if fewer than ``slots`` jobs run."""

        def work(session: Session) -> Job | None:
            running = select(func.count()).select_from(Job).where(Job.status == "running").scalar_subquery()
            oldest = (
                select(Job.id)
                .where(Job.status == "scheduled", col(Job.cancel_requested_at).is_(None), running < slots)
                .order_by(col(Job.n))
                .limit(1)
                .scalar_subquery()
            )
            change = update(Job).where(col(Job.id) == oldest, col(Job.status) == "scheduled")
            begun = {"status": "running", "phase": "starting", "started_at": time.time()}
            values = {**begun, "waiting_for": None, "detail": "", **fields}
            job_id = session.execute(change.values(**values).returning(col(Job.id))).scalar()
            if job_id is None:
                return None
            _append(session, job_id, "running", {"status": "running", "phase": "starting"})
            return _job(session, job_id)

        return await self._database.write(work)

    async def finish(self, job_id: str, status: str, fields: dict[str, Any]) -> Job | None:
        """Move a job to a final state. Returns None if its state is final already, or if the move is not allowed."""
        origins = [origin for origin, following in MOVES.items() if status in following]

        def work(session: Session) -> Job | None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status).in_(origins))
            values = {"status": status, "waiting_for": None, "token_sha256": None, "ended_at": time.time(), **fields}
            if not _changed(session, change.values(**values)):
                return None
            unfinished = update(Step).where(col(Step.job_id) == job_id)
            for before, ended_at in (("waiting", None), ("running", time.time())):
                change = unfinished.where(col(Step.status) == before)
                session.execute(change.values(status=at_the_end(before, status), ended_at=ended_at))
            job = _job(session, job_id)
            assert job is not None  # noqa: S101 - it was changed a moment ago
            data = {"status": status, "reason": job.reason, "detail": job.detail, "artifact": job.artifact}
            _append(session, job_id, status, data)
            session.refresh(job)
            return job

        return await self._database.write(work, vital=True)

    async def wait_for(self, what: str, detail: str) -> list[str]:
        """Store why all scheduled jobs wait. Returns the ids of the jobs for which that is new."""

        def work(session: Session) -> list[str]:
            new = and_(col(Job.status) == "scheduled", or_(col(Job.waiting_for) != what, col(Job.detail) != detail))
            change = update(Job).where(new).values(waiting_for=what, detail=detail, last_event=Job.last_event + 1)
            changed = session.execute(change.returning(col(Job.id), col(Job.last_event))).all()
            data = {"waiting_for": what, "detail": detail}
            now = time.time()
            session.add_all(
                Event(job_id=job_id, number=number, at=now, kind="waiting", data=data) for job_id, number in changed
            )
            return [job_id for job_id, _ in changed]

        return await self._database.write(work)

    async def request_cancel(self, job_id: str, why: str = "") -> Job | None:
        """Store that a job is to be cancelled, and return the job. The time of the first request stays.

        If the system asks, and not a person, ``why`` is the sentence for the job's ``detail``.
        """

        def work(session: Session) -> Job | None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status).not_in(FINAL))
            change = change.where(col(Job.cancel_requested_at).is_(None), col(Job.settled_at).is_(None))
            if _changed(session, change.values(cancel_requested_at=time.time())):
                _append(session, job_id, "cancel_requested", {"detail": why} if why else {})
            return _job(session, job_id)

        return await self._database.write(work, vital=True)

    async def take(self, job_id: str) -> Job | None:
        """Store when the agent first called. Returns None if the job does not run or its outcome is decided."""
        open_ended = [col(Job.settled_at).is_(None)]
        return await self._update_running(job_id, open_ended, taken_at=func.coalesce(Job.taken_at, time.time()))

    async def renew_token(self, job_id: str, token_sha256: str) -> Job | None:
        """Replace the token of a job's sandbox. Returns None if the job does not run or its agent has called."""
        return await self._update_running(job_id, [col(Job.taken_at).is_(None)], token_sha256=token_sha256)

    async def decide_outcome(
        self, job_id: str, outcome: dict[str, Any], judged: dict[str, Any] | None = None, *, replace: bool = False
    ) -> Job | None:
        """Decide the outcome of a job. The first decision stays, and an earlier request to cancel wins.

        ``judged`` has further fields, for a job that is not cancelled. ``replace`` overrides the first decision, if the
        ZIP that belongs to it could not be stored.
        """

        def work(session: Session) -> Job | None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status).not_in(FINAL))
            if not replace:
                change = change.where(col(Job.settled_at).is_(None))
            detail = outcome["detail"] if outcome["status"] == "cancelled" else "The job was cancelled."
            detail = _why_cancelled(session, job_id) or detail
            cancelled = {**outcome, "status": "cancelled", "reason": None, "detail": detail}
            asked = change.where(col(Job.cancel_requested_at).is_not(None))
            if not _changed(session, asked.values(outcome=cancelled, settled_at=time.time())):
                session.execute(change.values(outcome=outcome, settled_at=time.time(), **(judged or {})))
            return _job(session, job_id)

        # jobs with another outcome keep what they have, and wait for disk space
        return await self._database.write(work, vital=outcome["status"] == "cancelled")

    async def record(self, job_id: str, reports: Sequence[Report]) -> int:
        """Store the agent's reports in the order of their numbers. Reports that are stored already are skipped.

        Neighbouring outputs of a step become one event. Events have their own numbers, so this leaves no gap.
        Returns the number of the agent's last report that is on disk. It is less than the last given number if there
        is a gap, or if the job no longer runs.
        """

        def work(session: Session) -> int:
            job = _job(session, job_id)
            if job is None:
                return 0
            last = job.acknowledged
            fresh: list[Report] = []
            for report in reports if job.status == "running" else ():
                if report.number == last + 1:
                    last = report.number
                    fresh.append(report)
            for report in _coalesced(fresh):
                if report.job:
                    session.execute(update(Job).where(col(Job.id) == job_id).values(**report.job))
                if report.step:
                    step = update(Step).where(col(Step.job_id) == job_id, col(Step.number) == report.step_number)
                    session.execute(step.values(**report.step))
                if said := report.data["text"] if report.kind == "output" else report.words:
                    _add_to_tail(session, job_id, report.data["step"], said)
                _append(session, job_id, report.kind, report.data, report.at)
            session.execute(update(Job).where(col(Job.id) == job_id).values(acknowledged=last))
            return last

        return await self._database.write(work)

    async def asks(self, job_id: str, purpose: str, model: str) -> None:
        """Store that a running job is about to ask the model. ``called`` stores the result."""

        def work(session: Session) -> None:
            job = _job(session, job_id)
            if job is not None and job.status == "running":
                _append(session, job_id, "model_asked", {"purpose": purpose, "model": model})

        await self._database.write(work)

    async def never_answered(self) -> list[Event]:
        """Return the unanswered questions of running jobs. They were under way when the orchestrator ended."""
        kinds = col(Event.kind).in_(("model_asked", "model_call"))
        last = select(func.max(Event.number)).where(Event.job_id == Job.id, kinds).correlate(Job).scalar_subquery()
        query = (
            select(Event).join(Job, col(Job.id) == Event.job_id).where(Job.status == "running", Event.number == last)
        )
        query = query.where(Event.kind == "model_asked")
        return await self._database.read(lambda session: list(session.exec(query)))

    async def called(self, job_id: str, data: dict[str, Any], calls: int, tokens: int, cost: float) -> Job | None:
        """Store a call of the model and its use. The job no longer waits for the model."""

        def work(session: Session) -> Job | None:
            values = {"calls": Job.calls + calls, "tokens": Job.tokens + tokens, "cost": Job.cost + cost}
            change = update(Job).where(col(Job.id) == job_id, col(Job.status) == "running")
            change = change.values(**values, model=data["model"], waiting_for=None, detail="")
            if not _changed(session, change):
                return None
            _append(session, job_id, "model_call", data)
            return _job(session, job_id)

        return await self._database.write(work)

    async def say(self, job_id: str, turns: Sequence[Turn]) -> None:
        """Add turns to a job's conversation, with the next numbers."""

        def work(session: Session) -> None:
            last = session.exec(select(func.max(Turn.number)).where(Turn.job_id == job_id)).one() or 0
            for number, turn in enumerate(turns, last + 1):
                session.add(Turn(**{**turn.model_dump(), "job_id": job_id, "number": number}))

        await self._database.write(work)

    async def thinks(self, job_id: str, data: dict[str, Any]) -> None:
        """Store the text that the model of a running job has written since the last call."""

        def work(session: Session) -> None:
            job = _job(session, job_id)
            if job is not None and job.status == "running":
                _append(session, job_id, THOUGHT, data)

        await self._database.write(work)

    async def model_waits(self, job_id: str, detail: str) -> None:
        """Store that a running job waits for the model's provider."""

        def work(session: Session) -> None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status) == "running")
            if _changed(session, change.values(waiting_for="model", detail=detail)):
                _append(session, job_id, "waiting", {"waiting_for": "model", "detail": detail})

        await self._database.write(work)

    async def waits_for_turn(self, job_id: str, detail: str) -> None:
        """Store that the question of a running job waits until other questions have their answers."""

        def work(session: Session) -> None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status) == "running")
            waits = {"waiting_for": "model", "detail": detail, "turn_waits_since": time.time()}
            if _changed(session, change.values(**waits)):
                _append(session, job_id, "waiting", {"waiting_for": "model", "detail": detail})

        await self._database.write(work)

    async def has_turn(self, job_id: str) -> None:
        """Store that the question of a job has its turn, or that no caller waits for its answer any more."""

        def work(session: Session) -> None:
            waited = Job.turn_waited + (time.time() - col(Job.turn_waits_since))
            change = update(Job).where(col(Job.id) == job_id, col(Job.turn_waits_since).is_not(None))
            session.execute(change.values(turn_waited=waited, turn_waits_since=None, waiting_for=None, detail=""))

        await self._database.write(work)

    async def room_for_thoughts(self, job_id: str, most: int = THOUGHT_CHARACTERS) -> int:
        """Return the number of characters that a job's model may still write into events."""
        size = func.sum(func.length(Event.data))
        query = select(size).where(Event.job_id == job_id, Event.kind == THOUGHT)
        return await self._database.read(lambda session: max(0, most - (session.exec(query).one() or 0)))

    async def reviewed(self, job_id: str, accept: bool | None, summary: str) -> None:
        """Store the verdict of the review. It is None if there is no verdict, and ``summary`` then says why."""

        def work(session: Session) -> None:
            session.execute(update(Job).where(col(Job.id) == job_id).values(summary=summary, accepted=accept))
            _append(session, job_id, "reviewed", {"accept": accept, "summary": summary})

        await self._database.write(work)

    async def replan(
        self,
        job_id: str,
        purpose: str,
        steps: Sequence[Step],
        check: Step | None,
        outputs: list[str],
        notes: Sequence[str] = (),
    ) -> Job | None:
        """Replace the waiting steps of a job. Returns None if the job no longer runs.

        ``check`` is the acceptance command that runs after the new steps, even if it ran before. ``notes`` say which
        parts of the model's answer were not taken literally.
        """

        def work(session: Session) -> Job | None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status) == "running")
            values = {
                "steps_count": steps[-1].number,
                "outputs": outputs,
                "check_command": check.source if check else "",
                "repairs": Job.repairs + (purpose in REPAIRS),
            }
            if not _changed(session, change.values(**values)):
                return None
            mine = (col(Step.job_id) == job_id, col(Step.number) > 0, col(Step.status) == "waiting")
            if purpose == "syntax":  # no step has run: the corrected steps take their numbers
                session.execute(delete(Step).where(*mine))
            else:
                skipped = {"status": "skipped", "detail": "Another plan took its place."}
                session.execute(update(Step).where(*mine).values(**skipped))
            session.execute(delete(Step).where(col(Step.job_id) == job_id, col(Step.number) == 0))
            session.add_all([*steps, *([check] if check else [])])
            told = [{"number": step.number, "kind": step.kind, "title": step.title} for step in steps]
            said = {"purpose": purpose, "outputs": outputs, "check": values["check_command"]}
            _append(session, job_id, "planned", {**said, "steps": told, **({"notes": list(notes)} if notes else {})})
            return _job(session, job_id)

        return await self._database.write(work)

    async def expire(self, job_id: str) -> None:
        """Mark the files of an ended job as gone, once. Removes its output, its thoughts and its conversation too."""

        def work(session: Session) -> None:
            ended = update(Job).where(col(Job.id) == job_id, col(Job.status).in_(FINAL), col(Job.expired_at).is_(None))
            if _changed(session, ended.values(expired_at=time.time())):
                said = col(Event.kind).in_((*PRINTED, THOUGHT))
                session.execute(delete(Event).where(col(Event.job_id) == job_id, said))
                session.execute(update(Step).where(col(Step.job_id) == job_id).values(output_tail=""))
                session.execute(delete(Turn).where(col(Turn.job_id) == job_id))

        await self._database.write(work, vital=True)

    async def delete(self, job_id: str) -> None:
        """Remove an ended job, with its steps, events and turns."""

        def work(session: Session) -> None:
            job = _job(session, job_id)
            if job is None or job.status not in FINAL:
                return
            for table in HANGING:
                session.execute(delete(table).where(col(table.job_id) == job_id))
            session.execute(delete(Job).where(col(Job.id) == job_id))

        await self._database.write(work, vital=True)

    async def forget(self, job_ids: Sequence[str]) -> bool:
        """Remove some rows of ended jobs. Returns True when the jobs themselves are removed too."""

        def work(session: Session) -> bool:
            for table in HANGING:
                rowid: Any = literal_column("rowid")
                some = select(rowid).select_from(table).where(col(table.job_id).in_(job_ids)).limit(FORGET_ROWS)
                removed: CursorResult[Any] = session.execute(delete(table).where(rowid.in_(some)))  # type: ignore[assignment]
                if removed.rowcount == FORGET_ROWS:
                    return False
            session.execute(delete(Job).where(col(Job.id).in_(job_ids), col(Job.status).in_(FINAL)))
            return True

        return await self._database.write(work, vital=True)

    async def give_back(self) -> bool:
        """Return some free pages of the record to the file system. Returns whether there are more."""
        return await self._database.give_back()

    async def _update_running(self, job_id: str, conditions: Sequence[Any], **fields: Any) -> Job | None:
        def work(session: Session) -> Job | None:
            change = update(Job).where(col(Job.id) == job_id, col(Job.status) == "running", *conditions)
            return _job(session, job_id) if _changed(session, change.values(**fields)) else None

        return await self._database.write(work)


def _with_files() -> SelectOfScalar[Job]:
    # only ended jobs have ended_at; with a condition on their status, SQLite would not use the index on ended_at
    return select(Job).where(col(Job.expired_at).is_(None), col(Job.ended_at).is_not(None)).limit(500)


def _coalesced(reports: Sequence[Report]) -> Iterator[Report]:
    """Join neighbouring outputs of one step into one report, up to the maximum size of an agent's own report."""
    waiting: Report | None = None
    texts: list[str] = []
    size = 0

    def joined() -> Iterator[Report]:
        if waiting is not None:
            yield replace(waiting, data={**waiting.data, "text": "".join(texts)}) if len(texts) > 1 else waiting

    for report in reports:
        if report.kind != "output":
            yield from joined()
            yield report
            waiting = None
            continue
        text = report.data["text"]
        if waiting is None or waiting.data["step"] != report.data["step"] or size + len(text) > OUTPUT_EVENT_CHARACTERS:
            yield from joined()
            waiting, texts, size = report, [], 0
        texts.append(text)
        size += len(text)
    yield from joined()


def _job(session: Session, job_id: str) -> Job | None:
    return session.exec(select(Job).where(Job.id == job_id).execution_options(populate_existing=True)).first()


def _add_to_tail(session: Session, job_id: str, number: int, text: str) -> None:
    """Add printed text to the end of a step's output."""
    mine = (col(Step.job_id) == job_id, col(Step.number) == number)
    before = session.exec(select(Step.output_tail).where(*mine)).first() if len(text) < OUTPUT_TAIL else ""
    session.execute(update(Step).where(*mine).values(output_tail=((before or "") + text)[-OUTPUT_TAIL:]))


def _changed(session: Session, change: Update) -> bool:
    result: CursorResult[Any] = session.execute(change)  # type: ignore[assignment]
    return result.rowcount == 1


def _why_cancelled(session: Session, job_id: str) -> str:
    """Return the sentence of a job's cancel request. It is empty if a person asked, or if there was no request."""
    asked = select(Event.data).where(Event.job_id == job_id, Event.kind == "cancel_requested")
    return str((session.exec(asked).first() or {}).get("detail", ""))


def _append(session: Session, job_id: str, kind: str, data: dict[str, Any], at: float | None = None) -> None:
    """Add an event with the job's next number."""
    change = update(Job).where(col(Job.id) == job_id).values(last_event=Job.last_event + 1)
    number = session.execute(change.returning(col(Job.last_event))).scalar_one()
    session.add(Event(job_id=job_id, number=number, at=at if at is not None else time.time(), kind=kind, data=data))
    session.flush()
