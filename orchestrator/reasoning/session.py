"""The model's part of a job: each question is put once, within the job's budget, and its answer becomes the plan.

The agent asks over the link. What is asked is made here from the record, and what is answered is checked here before
any of it runs; the keys stay on this side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from agent import wire
from orchestrator import logs
from orchestrator.bell import Bell, heard_within
from orchestrator.errors import (
    Conflict,
    ModelAway,
    ModelBusy,
    ModelDenied,
    ModelError,
    RecordFull,
    SettingsError,
    Usage,
)
from orchestrator.llm import Models
from orchestrator.llm.base import Answer, Message, Question
from orchestrator.llm.prices import cost
from orchestrator.models import Job, Step
from orchestrator.plan import STEPS
from orchestrator.reasoning import questions
from orchestrator.reasoning.questions import AnsweredPlan, AnsweredReview, Unusable, cut
from orchestrator.rows import check_row, planned_step, rows_of
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.tasks import Tasks
from orchestrator.vault import Hiding

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds that an agent's question is held; it asks again.
HOLD_SECONDS = 25.0

#: Seconds between two tries to store what finds no room on the disk.
ROOM_SECONDS = 1.0

#: Characters of what a review says.
SUMMARY = 4_000

#: Times that a model is asked for an answer that can be used.
TRIES = 2

#: Why a job fails that has no answer that can be used; None: as it failed before.
WITHOUT: dict[wire.Purpose, wire.Reason | None] = {
    "plan": "plan_failed",
    "repair": None,
    "review": "check_failed",
}


class Ended(Exception):
    """The job is to end: the reason (None: as it failed before), and a sentence."""

    def __init__(self, reason: wire.Reason | None, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass
class Call:
    """A question to the model, and what it has used."""

    purpose: wire.Purpose
    model: str
    begun: float = field(default_factory=time.time)
    usage: Usage = field(default_factory=Usage)
    error: str | None = None

    @property
    def calls(self) -> int:
        """One that got no answer is one too."""
        return max(1, self.usage.calls)

    @property
    def tokens(self) -> int:
        return self.usage.tokens_in + self.usage.tokens_out

    @property
    def cost(self) -> float | None:
        return cost(self.model, self.usage.tokens_in, self.usage.tokens_out)

    def added_to(self, job: Job) -> Job:
        """The job with what this has used."""
        calls, tokens, price = job.calls + self.calls, job.tokens + self.tokens, job.cost + (self.cost or 0.0)
        return job.model_copy(update={"calls": calls, "tokens": tokens, "cost": price})

    def event(self) -> dict[str, Any]:
        return {
            "purpose": self.purpose,
            "model": self.model,
            "calls": self.calls,
            "seconds": round(time.time() - self.begun, 3),
            "tokens_in": self.usage.tokens_in or None,
            "tokens_out": self.usage.tokens_out or None,
            "cost": self.cost if self.tokens else None,
            "error": self.error,
        }


class Thinking:
    """Asks the model for running jobs."""

    def __init__(
        self, settings: Settings, store: Store, bell: Bell, tasks: Tasks, hiding: Hiding, models: Models
    ) -> None:
        self._settings, self._store, self._bell, self._tasks = settings, store, bell, tasks
        self._hiding, self._models = hiding, models
        self._asked: dict[str, tuple[int, asyncio.Task[wire.Answered]]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # a job asks one question at a time
        self._over: set[str] = set()  # jobs that ask no more

    async def take_up(self) -> None:
        """Note the calls that were under way when the orchestrator ended; the agents ask again."""
        for event in await self._store.never_answered():
            call = Call(**event.data, begun=event.at, error="The orchestrator ended before the answer was there.")
            await self._store.called(event.job_id, call.event(), call.calls, call.tokens, 0.0)

    async def answer(self, job: Job, ask: wire.Ask) -> wire.Answered | None:
        """The answer to a question; ``waiting`` after a while without one. None where the job has ended meanwhile.

        The same number is the same question: it is put to the model once, whatever the link does. A larger one takes
        its place; raises Conflict for a smaller one.
        """
        end = time.monotonic() + min(HOLD_SECONDS, max(0.5, ask.left))
        with self._bell.listening(job.id) as heard:
            while True:
                heard.clear()
                now = await self._store.job(job.id)
                if now is None or now.status != "running" or now.settled_at:
                    return None
                if now.cancel_requested_at or self._bell.closed:
                    await self.end(job.id)
                    return wire.Answered("waiting")
                if job.id in self._over:
                    return None
                task = self._task(now, ask)
                left = end - time.monotonic()
                if task.done():
                    return task.result()
                if left <= 0 or not await heard_within(heard, left):
                    return wire.Answered("waiting")

    async def end(self, job_id: str) -> None:
        """Break off what a job asks, and take no further question; the call is in the record when this returns."""
        self._over.add(job_id)
        self._break_off(job_id)
        if job_id in self._turns:
            async with self._turns[job_id]:
                pass

    def forget(self, job_id: str) -> None:
        """Let go of a job that has ended."""
        self._break_off(job_id)
        self._turns.pop(job_id, None)
        self._over.discard(job_id)

    def _break_off(self, job_id: str) -> None:
        _, task = self._asked.pop(job_id, (0, None))
        if task is not None:
            task.cancel()

    def _task(self, job: Job, ask: wire.Ask) -> asyncio.Task[wire.Answered]:
        """What answers this question; it is begun where the job has not asked it yet."""
        number, task = self._asked.get(job.id, (0, None))
        if task is not None and number == ask.number:
            return task
        if number > ask.number:
            raise Conflict(409, "old-question", "Old question", "Another question has taken the place of this one.")
        self._break_off(job.id)
        task = asyncio.create_task(self._think(job, ask))
        task.add_done_callback(lambda _: self._bell.ring(job.id))
        self._asked[job.id] = (ask.number, task)
        return task

    async def _think(self, job: Job, ask: wire.Ask) -> wire.Answered:
        logs.concerns(job.id, job.sandbox_id)
        try:
            async with self._turns[job.id]:
                return await self._settled(job.id, ask)
        except Ended as ended:
            log.info("the model's part ends: %s", ended.detail)
            return wire.Answered("failed", reason=ended.reason, detail=ended.detail)
        except Exception:
            log.exception("a question to the model failed")
            detail = "The orchestrator made a mistake while it asked the model; its log says more."
            return wire.Answered("failed", reason="model_unavailable", detail=detail)

    async def _settled(self, job_id: str, ask: wire.Ask) -> wire.Answered:
        job = await self._store.job(job_id)
        if job is None or job.status != "running":
            raise Ended(None, "The job has ended meanwhile.")
        try:
            self._models.get(job.wanted_model)
        except SettingsError as error:
            raise Ended("model_unavailable", f"The model of this job cannot be asked: {error}") from None
        steps = await self._store.steps(job_id)
        if ask.purpose == "repair" and job.repairs >= self._settings.max_repairs:
            raise Ended(None, f"It was mended {job.repairs} times, as often as may be (MAX_REPAIRS).")
        hidden = await self._hiding.of(job)
        system, text = hidden.structure(questions.question(job, steps, await self._store.outputs(job_id), ask))
        messages = [Message("system", system), Message("user", text)]
        rejected = why = ""
        for _ in range(TRIES):
            try:
                answer = hidden.structure(await self._call(job_id, ask, messages))  # a server could send a key back
            except ModelError as error:
                why = str(error)
                break
            try:
                shape = questions.SHAPES[ask.purpose].model_validate_json(answer.text)
                if isinstance(shape, AnsweredReview):
                    if await self._accepted(job, shape):
                        return wire.Answered("accepted")
                    rejected = f"The review found it wanting. {shape.summary}\n"
                return await self._planned(job, steps, ask, shape)
            except (Unusable, ValidationError) as error:
                log.info("the model's answer cannot be used: %s", error)
                why = f"The model's answer cannot be used: {error}."
                again = f"This answer cannot be used: {error}. Answer again, whole."
                messages += [Message("assistant", answer.text), Message("user", again)]
        if ask.purpose == "review" and not rejected:
            return await self._not_reviewed(job, steps, ask, why)
        raise Ended(WITHOUT[ask.purpose], f"{rejected}{why}")

    def _model(self, job: Job) -> Model:
        try:
            return self._models.get(job.wanted_model)
        except SettingsError as error:
            raise Ended("model_unavailable", str(error)) from None

    async def _taken(self, job: Job, steps: list[Step], ask: wire.Ask, reading: Reading, last: bool) -> wire.Answered:
        """Make of an answer what it says; raises Unusable, Repeated, and Ended where there is no way on."""
        if ask.purpose == "review":
            await self._reviewed(job, reading)
        if reading.needs and not reading.steps and ask.purpose in ("plan", "results"):
            _check_needs(job, reading.needs)
            needs = f"The model needs something from you: {reading.needs.rstrip('.')}."
            raise Ended("plan_failed", f"{needs} Submit the job again with it; files go with -F files=@….")
        if not reading.steps and reading.done is True and ask.purpose != "plan":
            if ask.purpose != "review" and reading.thought:
                summary = cut(reading.thought, SUMMARY)
                await _kept(lambda: self._store.reviewed(job.id, None, summary))
            return wire.Answered("accepted")
        if not reading.steps and ask.purpose == "plan" and last and reading.thought:
            if not asks_for_words(job.prompt) or questions.names_of(job):
                said = cut(reading.thought, SUMMARY)
                raise Ended("plan_failed", f"The model gave no file and no command. It says: {said}")
            reading.steps = [FileStep(kind="file", path="answer.md", content=f"{reading.thought}\n")]
        if not reading.steps:
            raise Unusable("there is no file and no command in it")
        return await self._planned(job, steps, ask, reading)

    async def _reviewed(self, job: Job, reading: Reading) -> None:
        """Note what a review says; raises Ended where it rejects the work and nothing can be done about it."""
        accepts = reading.done is True and not reading.steps
        summary = cut(reading.thought, SUMMARY)
        if reading.done is None and not reading.steps:
            raise Unusable("it has neither the line `Done: yes` nor a block that puts something right")
        await _kept(lambda: self._store.reviewed(job.id, accepts, summary))
        if not accepts and job.repairs >= self._settings.max_repairs:
            often = f"the plan was repaired {job.repairs} times, the most allowed (MAX_REPAIRS)"
            raise Ended("check_failed", f"The review found it wanting, and {often}. {summary}")
        if not accepts and not reading.steps:
            raise Ended("check_failed", f"The review found it wanting. {summary}")

    async def _not_reviewed(self, job: Job, steps: list[Step], ask: wire.Ask, why: str) -> wire.Answered:
        """Do without a review where the user's own check or outputs passed; raises Ended where they did not."""
        failed = any(step.status != "completed" for step in steps if step.number == wire.CHECK)
        required = [one for one in job.outputs if one in ask.missing] if "outputs" in job.given else []
        if not job.given or failed or required:
            missing = [f"Nothing matches the declared output {one!r}. " for one in required]
            raise Ended("check_failed", f"{''.join(missing[:1])}What came out was not reviewed. {why}")
        summary = cut(f"What came out was not reviewed. {why}", SUMMARY)
        await _kept(lambda: self._store.reviewed(job.id, None, summary))
        return wire.Answered("accepted")

    async def _planned(self, job: Job, steps: list[Step], ask: wire.Ask, reading: Reading) -> wire.Answered:
        """Make an answer the job's plan; raises Unusable, Repeated and Ended."""
        used = await self._store.job(job.id)
        if used is not None:  # an answer that ends the job is taken in any case: it is paid for
            _check_budget(used, before=False)
        planned = merged(ask.purpose, steps, reading.steps)
        done = sum(step.status == "completed" and step.number != wire.CHECK for step in steps)
        if done + len(planned) > STEPS:  # all of them together are the plan that can be run again
            raise Unusable(f"with the {done} steps that were completed, it has more than {STEPS}")
        if said := repeats(ask.purpose, steps, planned):
            raise Repeated(said)
        outputs, check = job.outputs, job.check_command
        if "outputs" not in job.given:
            outputs = reading.outputs or (outputs if ask.purpose != "plan" else [])
        if "check" not in job.given:
            check = reading.check or (check if ask.purpose != "plan" else "")
        kept = [step for step in steps if not (ask.purpose == "syntax" and step.status == "waiting")]
        first = max((step.number for step in kept), default=0) + 1
        plain = job.model_copy(update={"check_command": ""})
        seconds = min(job.seconds, self._settings.model_step_seconds)

        def rows() -> list[Step]:
            made = rows_of(plain, planned, first)
            for row in made:
                row.seconds = job.seconds if row.background else seconds
            return made

        def replan() -> Awaitable[Job | None]:  # with rows of its own: those that found no room belong to the store
            again = check_row(job, check) if check else None
            return self._store.replan(job.id, ask.purpose, rows(), again, outputs)

        if await _kept(replan) is None:
            raise Ended(None, "The job has ended meanwhile.")
        self._bell.ring(job.id)
        told = [planned_step(row) for row in rows()]
        done = reading.done is not False or ask.purpose == "review"
        return wire.Answered("planned", told, outputs, check, done=done)

    # ── for a talk ───────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, talk: _Talk, question: Question) -> Answer:
        """Ask once, within the budget; every call is an event, whatever comes of it.

        Raises ModelError where there is no answer, and Ended where there can be none.
        """
        job = await self._store.job(job_id)
        assert job is not None  # noqa: S101 - see _settled
        _check_budget(job, before=True)
        question, model = Question(tuple(messages)), self._models.get(job.wanted_model)
        call = Call(ask.purpose, model.name)
        error: ModelError | None = None
        await _kept(lambda: self._store.asks(job_id, call.purpose, call.model))
        self._bell.ring(job_id)
        try:
            answer = await model.ask(question, partial(self._waits, job_id))
            call.usage, call.model = answer.usage, answer.model
        except ModelError as failed:
            call.usage, call.error, error = failed.usage, str(failed), failed
        except asyncio.CancelledError:
            call.usage += Usage(1)
            call.error = "The call was broken off before its answer was there."
            with contextlib.suppress(RecordFull):  # who waits for this is in no position to wait for room
                await self._store.called(job_id, call.event(), call.calls, call.tokens, call.cost or 0.0)
            raise
        event = call.event()
        used = await _kept(lambda: self._store.called(job_id, event, call.calls, call.tokens, call.cost or 0.0))
        self._bell.ring(job_id)
        if isinstance(error, ModelAway | ModelBusy | ModelDenied):
            raise Ended("model_unavailable", str(error)) from None
        if error:
            if used is not None and (refused := _used_up(used, before=False)):
                raise Ended("budget_exceeded", f"{refused} {error}") from None
            raise error
        return answer

    def _waits(self, job_id: str, seconds: float, why: str) -> None:
        self._tasks.spawn(self._note_wait(job_id, f"{why} It is asked again in {seconds:.0f} s."))

    async def _note_wait(self, job_id: str, detail: str) -> None:
        with contextlib.suppress(RecordFull):
            await self._store.model_waits(job_id, detail)
        self._bell.ring(job_id)

    async def _accepted(self, job: Job, shape: AnsweredReview) -> bool:
        """Note what a review says; raises Ended where it finds the work wanting and nothing can be done about it."""
        shape.summary = cut(shape.summary, SUMMARY)
        await _kept(lambda: self._store.reviewed(job.id, shape.accept, shape.summary))
        if not shape.accept and job.repairs >= self._settings.max_repairs:
            often = f"it was mended {job.repairs} times, as often as may be (MAX_REPAIRS)"
            raise Ended("check_failed", f"The review found it wanting, and {often}. {shape.summary}")
        if not shape.accept and not shape.steps:
            raise Ended("check_failed", f"The review found it wanting. {shape.summary}")
        return shape.accept

    async def _not_reviewed(self, job: Job, steps: list[Step], ask: wire.Ask, why: str) -> wire.Answered:
        """Do without a review where the person's own check or outputs have passed; raises Ended where they have not."""
        failed = any(step.status != "completed" for step in steps if step.number == wire.CHECK)
        if not job.given or failed or ask.missing:
            missing = [f"Nothing matches the declared output {one!r}. " for one in job.outputs if one in ask.missing]
            raise Ended("check_failed", f"{''.join(missing[:1])}What came out was not reviewed. {why}")
        summary = cut(f"What came out was not reviewed. {why}", SUMMARY)
        await _kept(lambda: self._store.reviewed(job.id, None, summary))
        return wire.Answered("accepted")

    async def _planned(
        self, job: Job, steps: list[Step], ask: wire.Ask, shape: AnsweredPlan | AnsweredReview
    ) -> wire.Answered:
        """Make an answer the job's plan; raises Unusable, and Ended where there is no way on."""
        if isinstance(shape, AnsweredPlan) and shape.missing.strip() and not shape.steps:
            needs = f"The model needs something from you: {cut(shape.missing.strip(), SUMMARY)}"
            raise Ended(WITHOUT[ask.purpose], f"{needs} Submit it again with that; files go with -F files=@….")
        used = await self._store.job(job.id)
        if used is not None:  # an answer that ends the job is taken in any case: it is paid for
            _check_budget(used, before=False)
        planned = questions.steps_of(shape.steps)
        done = sum(step.status == "completed" and step.number != wire.CHECK for step in steps)
        if done + len(planned) > STEPS:  # all of them together are the plan that can be run again
            raise Unusable(f"with the {done} steps that were completed, it has more than {STEPS}")
        outputs, check = job.outputs, job.check_command
        if isinstance(shape, AnsweredPlan):  # what a mended plan does not say stays as the plan before said it
            mends = ask.purpose == "repair"
            if "outputs" not in job.given:
                outputs = questions.outputs_of(shape.outputs) or (outputs if mends else [])
            if "check" not in job.given:
                check = questions.check_of(shape.check) or (check if mends else "")
        if repeated := questions.repeated(steps, planned):
            raise Ended(WITHOUT[ask.purpose], f"The model answered with {repeated}, so it was asked no more.")
        last = max((step.number for step in steps), default=0)
        plain = job.model_copy(update={"check_command": ""})
        told = [planned_step(row) for row in rows_of(plain, planned, last + 1)]

        def replan() -> Awaitable[Job | None]:  # with rows of its own: those that found no room belong to the store
            again = check_row(job, check) if check else None
            return self._store.replan(job.id, ask.purpose, rows_of(plain, planned, last + 1), again, outputs)

        if await _kept(replan) is None:
            raise Ended(None, "The job has ended meanwhile.")
        self._bell.ring(job.id)
        return wire.Answered("planned", told, outputs, check)


async def _kept(store: Callable[[], Awaitable[T]]) -> T:
    """Store what an answer gave; where the disk is full, the answer is kept until there is room: it is paid for."""
    full = False
    while True:
        try:
            return await store()
        except RecordFull as error:
            if not full:
                log.warning("an answer of the model waits until it can be stored: %s", error)
            full = True
        await asyncio.sleep(ROOM_SECONDS)


def dollars(amount: float) -> str:
    """An amount with as many digits as it has, down to a millionth."""
    return f"{amount:,.6f}".rstrip("0").rstrip(".")


def _check_budget(job: Job, *, before: bool) -> None:
    """Raise Ended where the job has used up what it may."""
    if said := _used_up(job, before=before):
        raise Ended("budget_exceeded", said)


def _used_up(job: Job, *, before: bool) -> str:
    """What the job has used up, in a sentence; empty where it may go on.

    ``before`` a call, a limit that is just reached is enough; otherwise one that is passed.
    """
    for used, most, what in (
        (job.calls, job.max_calls, "calls"),
        (job.tokens, job.max_tokens, "tokens"),
        (job.cost, job.max_cost, "cost"),
    ):
        if used > most or (before and used == most):
            shown = f"{dollars(used)} of {dollars(most)} US$" if what == "cost" else f"{used:,} of {most:,} {what}"
            return f"The model's budget is used up: {shown}. Ask for more with limits.{what}."
    return ""
