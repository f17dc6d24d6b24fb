"""The model's part of a job: the session asks each question once, within the job's budget; the answer becomes the plan.

The agent asks over the link. The orchestrator makes the question from the record, and checks the answer before any of
it runs. The API keys never leave the orchestrator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from orchestrator import logs
from orchestrator.concurrency.background import Tasks
from orchestrator.concurrency.notifier import Notifier, wait_until
from orchestrator.db.models import MODEL, Job, Step, Turn
from orchestrator.db.store import Store
from orchestrator.errors import (
    Conflict,
    ModelAway,
    ModelBusy,
    ModelDenied,
    ModelError,
    RecordFull,
    SettingsError,
    Usage,
)  # fmt: skip
from orchestrator.job_secrets.vault import Hiding
from orchestrator.llm import Models
from orchestrator.llm.base import Answer, Model, Part, Question
from orchestrator.planning.kinds import FileStep
from orchestrator.planning.step_rows import check_row, planned_step, rows_of
from orchestrator.planning.steps import STEPS
from orchestrator.reasoning import model_prompts
from orchestrator.reasoning.answer import Given, Reading, Unusable
from orchestrator.reasoning.answer_parser import read
from orchestrator.reasoning.answer_stream import Writing
from orchestrator.reasoning.missing_imports import with_import, with_imports
from orchestrator.reasoning.model_calls import Call, Ended, check_budget, used_up
from orchestrator.reasoning.model_prompts import cut
from orchestrator.reasoning.named_files import asks_for_words, missing_inputs
from orchestrator.reasoning.next_plan import as_step, merged, repeats
from orchestrator.reasoning.old_names import renew
from orchestrator.reasoning.talk import Talk
from orchestrator.settings import Settings
from protocol import messages

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds for which a poll of the agent is held, and after which it gets the text that the model has written.
HOLD_SECONDS, TELL_SECONDS = 25.0, 0.5

#: Seconds between two tries to store an answer while the disk is full.
ROOM_SECONDS = 1.0

#: The event's text while a question waits for its turn.
TURN = "Other jobs are asking the model: the question waits for its turn (LLM_CONCURRENCY)."

#: Bytes at the beginning of an upload that identify a copy of it.
HEAD = 4_096

#: Maximum characters of a summary.
SUMMARY = 4_000

#: Maximum number of unusable answers to a question; the temperatures of the calls after an answer that repeats itself.
TRIES, HOTTER = 2, (0.7, 0.9)

#: Tokens of the context by default: of a server of one's own, and of a hosted model.
CONTEXT_OWN, CONTEXT_HOSTED = 16_000, 128_000

#: Tokens of the context that are reserved for an answer, at most half of the context.
ANSWER_TOKENS = 4_000

#: The reason of a job that fails because no answer is usable. None keeps the reason of the failure before.
WITHOUT: dict[messages.Purpose, messages.Reason | None] = {
    "plan": "plan_failed",
    "syntax": None,
    "repair": None,
    "results": "plan_failed",
    "facts": "check_failed",
    "review": "check_failed",
}


class Repeated(Exception):
    """The answer would do the same again. The message names the repetition."""


@dataclass
class Asked:
    """A question in progress: the text so far, and the time that the question has waited for its turn."""

    number: int
    purpose: messages.Purpose
    task: asyncio.Task[messages.Answered] | None = None
    writing: Writing | None = None
    call: Call | None = None  # only during the call
    queued: float = 0.0
    queued_since: float | None = None

    @property
    def waited(self) -> float:
        """The seconds in the queue so far."""
        now = 0.0 if self.queued_since is None else time.monotonic() - self.queued_since
        return self.queued + now


class ModelSession:
    """Asks the model for running jobs."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        notifier: Notifier,
        tasks: Tasks,
        hiding: Hiding,
        models: Models,
        upload: Callable[[str, int], Path],
    ) -> None:
        self._settings, self._store, self._notifier, self._tasks = settings, store, notifier, tasks
        self._hiding, self._models, self._upload = hiding, models, upload
        self._asked: dict[str, Asked] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # a job asks one question at a time
        self._shown: dict[str, int] = {}  # characters of the model's text that a job may still record
        self._over: set[str] = set()  # jobs that take no more questions

    async def take_up(self) -> None:
        """Record the calls that were in progress when the orchestrator last ended. The agents ask again."""
        for event in await self._store.never_answered():
            call = Call(**event.data, begun=event.at, error="The orchestrator ended before the answer was there.")
            await self._store.called(event.job_id, call.event(), call.calls, call.tokens, 0.0)

    async def answer(self, job: Job, ask: messages.Ask) -> messages.Answered | None:
        """Begin to answer a question. Returns None if the job has ended meanwhile.

        The number identifies the question, so the model gets it once, however often the link repeats it. A larger
        number replaces the question before. A smaller number raises Conflict.
        """
        now = await self._store.job(job.id)
        if now is None or now.status != "running" or now.settled_at or job.id in self._over:
            return None
        if not now.cancel_requested_at and not self._notifier.closed:
            self._begin(now, ask)
        return await self.hear(job, messages.Hear(ask.number, 0, ask.left))

    async def hear(self, job: Job, question: messages.Hear) -> messages.Answered | None:
        """Return the answer, or after a while the text that the model has written since ``heard``.

        Returns None if the job has ended.
        """
        begun = time.monotonic()
        tell, end = begun + TELL_SECONDS, begun + min(HOLD_SECONDS, max(TELL_SECONDS, question.left))
        last = messages.Answered("waiting")

        async def told() -> tuple[messages.Answered | None] | None:
            """Return what to send now, in a tuple, or None to keep waiting. ``(None,)`` says that the job has ended."""
            nonlocal last
            now = await self._store.job(job.id)
            if now is None or now.status != "running" or now.settled_at:
                return (None,)
            if now.cancel_requested_at or self._notifier.closed:
                await self.end(job.id)
                return (messages.Answered("waiting"),)
            if job.id in self._over:
                return (None,)
            asked = self._asked.get(job.id)
            if asked is None or asked.number != question.number or asked.task is None:
                return (messages.Answered("unknown"),)
            text = asked.writing.text[question.heard :] if asked.writing else ""
            if asked.task.done():
                answered = asked.task.result()
                answered.text, answered.queued = text, asked.waited
                return (answered,)
            last = messages.Answered("waiting", text=text, queued=asked.waited)
            return (last,) if text and time.monotonic() >= tell else None

        found = await wait_until(self._notifier, job.id, told, tell)
        found = found or await wait_until(self._notifier, job.id, told, end)
        return found[0] if found else last

    async def end(self, job_id: str) -> None:
        """Abort a job's question and refuse further ones. When this returns, the record has the call."""
        self._over.add(job_id)
        self._break_off(job_id)
        if job_id in self._turns:
            async with self._turns[job_id]:
                pass

    def forget(self, job_id: str) -> None:
        """Forget a job that has ended."""
        self._break_off(job_id)
        self._turns.pop(job_id, None)
        self._shown.pop(job_id, None)
        self._over.discard(job_id)

    def writing(self, job_id: str) -> Call | None:
        """Return the call whose answer the model is writing, with an estimate of its tokens so far."""
        asked = self._asked.get(job_id)
        if asked is None or asked.call is None or asked.writing is None:
            return None
        return replace(asked.call, usage=Usage(1, 0, asked.writing.tokens, estimated=True))

    def _break_off(self, job_id: str) -> None:
        asked = self._asked.pop(job_id, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    def _begin(self, job: Job, ask: messages.Ask) -> None:
        """Start the question, unless it is already in progress."""
        before = self._asked.get(job.id)
        if before is not None and before.number == ask.number:
            return
        if before is not None and before.number > ask.number:
            raise Conflict(409, "old-question", "Old question", "A later question has replaced this one.")
        self._break_off(job.id)
        asked = self._asked[job.id] = Asked(ask.number, ask.purpose)
        asked.task = asyncio.create_task(self._think(job, ask, asked))
        asked.task.add_done_callback(lambda _: self._notifier.ring(job.id))

    async def _think(self, job: Job, ask: messages.Ask, asked: Asked) -> messages.Answered:
        logs.concerns(job.id, job.sandbox_id)
        try:
            async with self._turns[job.id]:
                return await self._settled(job.id, ask, asked)
        except Ended as ended:
            log.info("the model's part ends: %s", ended.detail)
            return messages.Answered("failed", reason=ended.reason, detail=ended.detail)
        except Exception:
            log.exception("a question to the model failed")
            detail = "The orchestrator made a mistake while it asked the model; its log says more."
            return messages.Answered("failed", reason="model_unavailable", detail=detail)

    # ── one question ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _settled(self, job_id: str, ask: messages.Ask, asked: Asked) -> messages.Answered:
        job = await self._store.job(job_id)
        if job is None or job.status != "running":
            raise Ended(None, "The job has ended meanwhile.")
        model = self._model(job)
        steps = await self._store.steps(job_id)
        failed = next((f"{fact.detail}\n" for fact in ask.facts if not fact.ok), "") if ask.purpose == "facts" else ""
        if ask.purpose in ("repair", "facts") and job.repairs >= self._settings.max_repairs:
            often = f"The plan was repaired {job.repairs} times, the most allowed (MAX_REPAIRS)."
            raise Ended(WITHOUT[ask.purpose], f"{failed}{often}")
        talk = Talk(self, job, ask, asked, model, await self._hiding.of(job), await self._store.turns(job_id))
        printed = await asyncio.to_thread(
            lambda: model_prompts.printed_of(steps, ask.purpose, self._store.outputs(job_id))
        )
        if ask.purpose == "repair" and (failing := model_prompts.last_failed(steps)):
            importing, notes = with_import(failing, printed.get(failing.number, ""))
            if notes:
                rest = [step for step in steps if step.status == "waiting" and step.number != messages.CHECK]
                reading = Reading(steps=[as_step(row) for row in (importing, *rest)], notes=notes)
                return await self._planned(job, steps, ask, reading)
        loops, hot = self.loops(model), None
        mends = not loops and ask.purpose in ("repair", "facts") and bool(talk.first)
        anew = model_prompts.again(talk.first, steps, printed, ask) if mends else ""
        if mends and (job.repairs or ask.purpose == "facts"):
            talk.again(anew)
            hot = HOTTER[min(job.repairs, len(HOTTER) - 1)]
        else:
            talk.add_question(model_prompts.question(job, steps, printed, ask, loops))
        if ask.purpose == "syntax":
            mended, notes = with_imports(steps, ask.problems)
            if mended:
                reading = Reading(steps=[as_step(row) for row in mended], notes=notes)
                return await self._planned(job, steps, ask, reading)
        given = Given(
            named=model_prompts.names_of(job) or model_prompts.mended_by(job),
            uploads=[one["name"] for one in job.uploads],
            network=job.network != "none",
            planning=ask.purpose in ("plan", "syntax"),
            upload=partial(self._head, job),
        )
        why = ""
        unusable, hotter, cuts = 0, 0, 0
        temperature: float | None = hot
        while True:
            try:
                answer = await talk.ask(temperature)
            except ModelError as error:
                why = str(error)
                break
            except Ended as ended:
                raise Ended(ended.reason, f"{ended.detail} {why}".strip()) from None
            if answer.finish != "done" and _is_half(answer.text):
                loops = answer.finish == "loop"
                said = "because it repeated itself" if loops else "at its length limit (LLM_MAX_TOKENS)"
                why = f"The model's answer was cut off {said}, twice."
                if cuts:
                    break
                cuts, temperature = 1, HOTTER[0] if loops else temperature
                talk.add_question(model_prompts.cut_off(said))
                continue
            try:
                reading = await asyncio.to_thread(read, talk.last, given)
                if ask.purpose == "review" and (reading.steps or reading.done is False):
                    failed = f"The review found it wanting. {cut(reading.thought, SUMMARY)}\n"
                taken = await self._taken(job, steps, ask, reading, last=unusable > 0)
                await talk.keep()
                return taken
            except Repeated as repeated:
                why = f"The model answered with {repeated} again and again."
                if hotter == len(HOTTER):
                    break
                temperature = HOTTER[hotter]
                hotter += 1
                if anew:
                    talk.again(anew)
                else:
                    talk.instead(model_prompts.repeated(str(repeated)))
            except Unusable as error:
                log.info("the model's answer cannot be used: %s", error)
                why = f"The model's answer cannot be used: {error}."
                unusable += 1
                if ask.purpose == "review" and not failed and _rejects(talk.last):
                    failed = "The review found it wanting.\n"
                if unusable == TRIES:
                    break
                talk.add_question(model_prompts.unusable(str(error)))
        await talk.keep()
        if ask.purpose == "syntax":
            return messages.Answered("accepted")  # the plan runs as it is, and the step fails with the same message
        if ask.purpose == "review" and not failed:
            return await self._not_reviewed(job, steps, ask, why)
        raise Ended(WITHOUT[ask.purpose], f"{failed}{why}")

    def _head(self, job: Job, name: str) -> str:
        """Return the beginning of an upload, or an empty text if it does not exist. Blocks."""
        number = next((n for n, upload in enumerate(job.uploads, 1) if upload["name"] == name), None)
        try:
            return "" if number is None else _beginning(self._upload(job.id, number))
        except OSError:
            return ""

    def _model(self, job: Job) -> Model:
        try:
            return self._models.get(job.wanted_model)
        except SettingsError as error:
            raise Ended("model_unavailable", str(error)) from None

    async def _taken(
        self, job: Job, steps: list[Step], ask: messages.Ask, reading: Reading, last: bool
    ) -> messages.Answered:
        """Carry out an answer. Raises Unusable, Repeated, and Ended if the job cannot go on."""
        if ask.purpose == "review":
            await self._reviewed(job, reading)
        if reading.needs and not reading.steps and ask.purpose in ("plan", "results"):
            _check_needs(job, reading.needs)
            needs = f"The model needs something from you: {reading.needs.rstrip('.')}."
            raise Ended("plan_failed", f"{needs} Submit the job again with it; files go with -F files=@….")
        gone = missing_inputs(job.prompt, [one["name"] for one in job.uploads]) if ask.purpose == "plan" else []
        if reading.steps and gone and not last:
            raise Unusable(
                f"{', '.join(gone)} is not there and must not be invented. If the work needs it, answer with the line "
                f"`Needs: {', '.join(gone)}` alone; otherwise give the same answer"
            )
        if not reading.steps and reading.done is True and ask.purpose != "plan":
            if ask.purpose != "review" and reading.thought:
                summary = cut(reading.thought, SUMMARY)
                await _kept(lambda: self._store.reviewed(job.id, None, summary))
            return messages.Answered("accepted")
        if not reading.steps and ask.purpose == "plan" and last and reading.thought:
            if not asks_for_words(job.prompt) or model_prompts.names_of(job):
                said = cut(reading.thought, SUMMARY)
                raise Ended("plan_failed", f"The model gave no file and no command. It says: {said}")
            reading.steps = [FileStep(kind="file", path="answer.md", content=f"{reading.thought}\n")]
        if not reading.steps:
            raise Unusable("there is no file and no command in it")
        return await self._planned(job, steps, ask, reading)

    async def _reviewed(self, job: Job, reading: Reading) -> None:
        """Record a review. Raises Ended if it rejects the work and the work cannot be repaired."""
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

    async def _not_reviewed(self, job: Job, steps: list[Step], ask: messages.Ask, why: str) -> messages.Answered:
        """Accept without a review if the user's own check or outputs passed. Raises Ended if they did not."""
        failed = any(step.status != "completed" for step in steps if step.number == messages.CHECK)
        required = [one for one in job.outputs if one in ask.missing] if "outputs" in job.given else []
        if not job.given or failed or required:
            missing = [f"Nothing matches the declared output {one!r}. " for one in required]
            raise Ended("check_failed", f"{''.join(missing[:1])}What came out was not reviewed. {why}")
        summary = cut(f"What came out was not reviewed. {why}", SUMMARY)
        await _kept(lambda: self._store.reviewed(job.id, None, summary))
        return messages.Answered("accepted")

    async def _planned(self, job: Job, steps: list[Step], ask: messages.Ask, reading: Reading) -> messages.Answered:
        """Make an answer the job's plan. Raises Unusable, Repeated and Ended."""
        used = await self._store.job(job.id)
        if used is not None:  # an answer that ends the job skips this check, because it is already paid for
            check_budget(used, before=False)
        renewed, replaced = renew(reading.steps)
        planned = merged(ask.purpose, steps, renewed)
        done = sum(step.status == "completed" and step.number != messages.CHECK for step in steps)
        if done + len(planned) > STEPS:  # a request that runs the job again has all of them
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

        def replan() -> Awaitable[Job | None]:  # each try needs new rows: the store owns the rows of a failed try
            again = check_row(job, check) if check else None
            return self._store.replan(job.id, ask.purpose, rows(), again, outputs, [*reading.notes, *replaced])

        if await _kept(replan) is None:
            raise Ended(None, "The job has ended meanwhile.")
        self._notifier.ring(job.id)
        told = [planned_step(row) for row in rows()]
        done = reading.done is not False or ask.purpose == "review"
        return messages.Answered("planned", told, outputs, check, done=done)

    # ── for a talk ───────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, talk: Talk, question: Question) -> Answer:
        """Ask once, within the budget. Every call is recorded as an event, whether it succeeds or not.

        Raises ModelError if this call has no answer, and Ended if no call can have one.
        """
        job_id, asked = talk.job.id, talk.asked
        job = await self._store.job(job_id)
        assert job is not None  # noqa: S101 - see _settled
        check_budget(job, before=True)
        call = Call(talk.ask_.purpose, talk.model.name)
        error: ModelError | None = None
        await _kept(lambda: self._store.asks(job_id, call.purpose, call.model))
        self._notifier.ring(job_id)
        asked.call = call
        writing = asked.writing = Writing(talk.hidden, await self._may_show(job_id))
        told, noted = list[asyncio.Task[None]](), list[asyncio.Task[None]]()

        def hear(part: Part) -> None:
            writing.hear(part)
            if due := writing.due():
                told[:] = [asyncio.create_task(self._record_thoughts(job_id, call.purpose, due, told[:]))]

        def queue(waits: bool) -> None:
            if waits:
                asked.queued_since = time.monotonic()
            elif asked.queued_since is not None:
                asked.queued, asked.queued_since = asked.waited, None
            noted[:] = [asyncio.create_task(self._note_turn(job_id, waits, noted[:]))]

        try:
            answer = await talk.model.ask(question, partial(self._waits_for, job_id), hear, queue)
            call.usage, call.model = answer.usage, answer.model
        except ModelError as failed:
            call.usage, call.error, error = failed.usage, str(failed), failed
        except asyncio.CancelledError:
            call.usage += Usage(1)
            call.error = "The call was broken off before its answer was there."
            with contextlib.suppress(RecordFull):  # a cancelled task cannot wait for room on the disk
                await self._store.called(job_id, call.event(), call.calls, call.tokens, call.cost or 0.0)
            raise
        finally:
            writing.end()
            asked.call, self._shown[job_id] = None, writing.left
            if asked.queued_since is not None:  # aborted while it waited
                queue(False)
        await asyncio.gather(*told, return_exceptions=True)
        await self._record_thoughts(job_id, call.purpose, writing.rest(), [])
        event = call.event()
        used = await _kept(lambda: self._store.called(job_id, event, call.calls, call.tokens, call.cost or 0.0))
        self._notifier.ring(job_id)
        if isinstance(error, ModelAway | ModelBusy | ModelDenied):
            raise Ended("model_unavailable", str(error)) from None
        if error:
            if used is not None and (refused := used_up(used, before=False)):
                raise Ended("budget_exceeded", f"{refused} {error}") from None
            raise error
        return answer

    async def say(self, job_id: str, turns: list[Turn]) -> None:
        """Add to the conversation of a job."""
        await _kept(lambda: self._store.say(job_id, turns))

    def room(self, model: Model) -> int:
        """Return the tokens for a conversation."""
        whole = self._settings.llm_context or (CONTEXT_OWN if model.own else CONTEXT_HOSTED)
        return whole - min(ANSWER_TOKENS, whole // 2)

    def review(self, job: Job) -> messages.ReviewMode:
        """Return when the model reviews a job, see REVIEW.

        ``auto`` skips the review for a model that only plans, because small models accept everything.
        """
        mode = self._settings.review
        if mode == "auto" and job.planned_by == MODEL:
            with contextlib.suppress(SettingsError):
                return mode if self.loops(self._models.get(job.wanted_model)) else "never"
        return mode

    def loops(self, model: Model) -> bool:
        """Tell whether a model may work in parts, see AGENT_LOOP."""
        mode = self._settings.agent_loop
        return mode == "loop" or (mode == "auto" and not model.own)

    def system(self, job: Job, model: Model) -> str:
        return model_prompts.system(job, self._settings, self.loops(model))

    async def _may_show(self, job_id: str) -> int:
        if job_id not in self._shown:
            self._shown[job_id] = await self._store.room_for_thoughts(job_id)
        return self._shown[job_id]

    async def _record_thoughts(
        self, job_id: str, purpose: str, parts: Sequence[tuple[bool, str]], before: Sequence[asyncio.Task[None]]
    ) -> None:
        """Record the model's text as events of the job, in order."""
        await asyncio.gather(*before, return_exceptions=True)
        for reasoning, text in parts:
            with contextlib.suppress(RecordFull):  # viewers read it, but the job does not need it
                await self._store.thinks(job_id, {"purpose": purpose, "reasoning": reasoning, "text": text})
        if parts:
            self._notifier.ring(job_id)

    def _waits_for(self, job_id: str, seconds: float, why: str) -> None:
        self._waits(job_id, f"{why} It is asked again in {seconds:.0f} s.")

    def _waits(self, job_id: str, detail: str) -> None:
        self._tasks.spawn(self._note_wait(job_id, detail))

    async def _note_wait(self, job_id: str, detail: str) -> None:
        with contextlib.suppress(RecordFull):
            await self._store.model_waits(job_id, detail)
        self._notifier.ring(job_id)

    async def _note_turn(self, job_id: str, waits: bool, before: Sequence[asyncio.Task[None]]) -> None:
        """Record, in order, that a question waits for its turn or has it."""
        await asyncio.gather(*before, return_exceptions=True)
        with contextlib.suppress(RecordFull):
            await (self._store.waits_for_turn(job_id, TURN) if waits else self._store.has_turn(job_id))
        self._notifier.ring(job_id)


def _is_half(text: str) -> bool:
    """Tell whether a cut answer ends within a block or has none. Then its last file is incomplete."""
    return text.count("\n```") % 2 == 1 or "```" not in text


def _beginning(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(HEAD).decode("utf-8-sig", "replace")


def _rejects(text: str) -> bool:
    """Tell whether an unusable review still rejects the work."""
    if re.search(r'"accept"\s*:\s*false', text):
        return True
    return "```" in text and not re.search(r"^\W*done\W*:\W*yes", text, re.IGNORECASE | re.MULTILINE)


def _check_needs(job: Job, needs: str) -> None:
    """Raise Unusable if the model asks for an upload or a secret that the job has."""
    for upload in job.uploads:
        if str(upload["name"]).lower() in needs.lower():
            raise Unusable(f"{upload['name']} is there, in /workspace: use it")
    for name in job.secrets:
        if name in needs:
            raise Unusable(f"{name} is there, as an environment variable: use it")


async def _kept(store: Callable[[], Awaitable[T]]) -> T:
    """Store a result of an answer. If the disk is full, wait for room, because the answer is already paid for."""
    full = False
    while True:
        try:
            return await store()
        except RecordFull as error:
            if not full:
                log.warning("an answer of the model waits until it can be stored: %s", error)
            full = True
        await asyncio.sleep(ROOM_SECONDS)
