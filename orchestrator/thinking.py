"""The model's part of a job: each question is put once, within the job's budget, and its answer becomes the plan.

The agent asks over the link. What is asked is made here from the record, and what is answered is checked here before
any of it runs; the keys stay on this side.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from pydantic import ValidationError

from agent import wire
from orchestrator import logs, questions
from orchestrator.bell import Bell, heard_within
from orchestrator.errors import ModelAway, ModelBusy, ModelDenied, ModelError
from orchestrator.llm.base import Answer, Message, Model, Question
from orchestrator.llm.prices import cost
from orchestrator.models import Job, Step
from orchestrator.questions import AnsweredPlan, AnsweredReview, Unusable, cut
from orchestrator.rows import check_row, planned_step, rows_of
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.tasks import Tasks
from orchestrator.vault import Hiding

log = logging.getLogger(__name__)

#: Seconds that an agent's question is held; it asks again.
HOLD_SECONDS = 25.0

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


class Thinking:
    """Asks the model for running jobs."""

    def __init__(
        self, settings: Settings, store: Store, bell: Bell, tasks: Tasks, hiding: Hiding, model: Model | None
    ) -> None:
        self._settings, self._store, self._bell, self._tasks = settings, store, bell, tasks
        self._hiding, self._model = hiding, model
        self._asked: dict[str, tuple[int, asyncio.Task[wire.Answered]]] = {}

    async def answer(self, job: Job, ask: wire.Ask) -> wire.Answered | None:
        """The answer to a question; ``waiting`` after a while without one. None where the job has ended meanwhile.

        The same number is the same question: it is put to the model once, whatever the link does.
        """
        number, task = self._asked.get(job.id, (0, None))
        if task is None or number != ask.number:
            task = asyncio.create_task(self._think(job, ask))
            task.add_done_callback(lambda _: self._bell.ring(job.id))
            self._asked[job.id] = (ask.number, task)
        end = time.monotonic() + min(HOLD_SECONDS, max(0.5, ask.left))
        with self._bell.listening(job.id) as heard:
            while True:
                heard.clear()
                if task.done():
                    return task.result()
                now = await self._store.job(job.id)
                if now is None or now.status != "running" or now.cancel_requested_at or self._bell.closed:
                    self.forget(job.id)
                    return wire.Answered("waiting") if now and now.status == "running" else None
                left = end - time.monotonic()
                if left <= 0 or not await heard_within(heard, left):
                    return task.result() if task.done() else wire.Answered("waiting")

    def forget(self, job_id: str) -> None:
        """Break off what is asked for a job."""
        _, task = self._asked.pop(job_id, (0, None))
        if task is not None:
            task.cancel()

    async def _think(self, job: Job, ask: wire.Ask) -> wire.Answered:
        logs.concerns(job.id, job.sandbox_id)
        try:
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
        assert job is not None  # noqa: S101 - it runs
        if self._model is None:
            raise Ended("model_unavailable", "No model is set any more (LLM_PROVIDER, GEMINI_API_KEY, LLM_MODEL).")
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
                shape = questions.SHAPES[ask.purpose].model_validate(answer.value)
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

    async def _call(self, job_id: str, ask: wire.Ask, messages: list[Message]) -> Answer:
        """Ask once, within the budget; every call is an event, whatever comes of it.

        Raises ModelError where there is no answer, and Ended where there can be none.
        """
        job = await self._store.job(job_id)
        assert job is not None and self._model is not None  # noqa: S101 - see _settled
        _check_budget(job, before=True)
        question = Question(tuple(messages), questions.SHAPES[ask.purpose].model_json_schema())
        begun, model, error = time.time(), self._model.name, None
        try:
            answer = await self._model.ask(question, partial(self._waits, job_id))
            usage, model = answer.usage, answer.model
        except ModelError as failed:
            usage, error = failed.usage, failed
        price = cost(model, usage.tokens_in, usage.tokens_out)
        called = {
            "purpose": ask.purpose,
            "model": model,
            "seconds": round(time.time() - begun, 3),
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "cost": price,
            "error": str(error) if error else None,
        }
        used = await self._store.called(
            job_id, called, max(1, usage.calls), usage.tokens_in + usage.tokens_out, price or 0.0
        )
        self._bell.ring(job_id)
        if isinstance(error, ModelAway | ModelBusy | ModelDenied):
            raise Ended("model_unavailable", str(error)) from None
        if error:
            if used is not None:
                _check_budget(used, before=False)
            raise error
        return answer

    def _waits(self, job_id: str, seconds: float, why: str) -> None:
        self._tasks.spawn(self._note_wait(job_id, f"{why} It is asked again in {seconds:.0f} s."))

    async def _note_wait(self, job_id: str, detail: str) -> None:
        await self._store.model_waits(job_id, detail)
        self._bell.ring(job_id)

    async def _accepted(self, job: Job, shape: AnsweredReview) -> bool:
        """Note what a review says; raises Ended where it finds the work wanting and nothing can be done about it."""
        shape.summary = cut(shape.summary, SUMMARY)
        await self._store.reviewed(job.id, shape.accept, shape.summary)
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
            raise Ended("check_failed", f"What came out was not reviewed. {why}")
        await self._store.reviewed(job.id, None, cut(f"What came out was not reviewed. {why}", SUMMARY))
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
        rows = rows_of(job.model_copy(update={"check_command": ""}), planned, last + 1)
        again = check_row(job, check) if check else None
        told = [planned_step(row) for row in rows]  # before the rows belong to the store
        if await self._store.replan(job.id, ask.purpose, rows, again, outputs) is None:
            raise Ended(None, "The job has ended meanwhile.")
        self._bell.ring(job.id)
        return wire.Answered("planned", told, outputs, check)


def dollars(amount: float) -> str:
    """An amount with as many digits as it has, down to a millionth."""
    return f"{amount:,.6f}".rstrip("0").rstrip(".")


def _check_budget(job: Job, *, before: bool) -> None:
    """Raise Ended where the job has used up what it may: a call more is refused, a sum that is passed ends it."""
    for used, most, what in (
        (job.calls, job.max_calls, "calls"),
        (job.tokens, job.max_tokens, "tokens"),
        (job.cost, job.max_cost, "cost"),
    ):
        if used > most or (before and used == most):
            shown = f"{dollars(used)} of {dollars(most)} US$" if what == "cost" else f"{used:,} of {most:,} {what}"
            raise Ended("budget_exceeded", f"The model's budget is used up: {shown}. Ask for more with limits.{what}.")
