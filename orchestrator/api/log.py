"""A job's output as plain text, while it runs and after its end. The events have the same text, already redacted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from orchestrator.api.context import Context, Flag, Here, KnownJob
from orchestrator.api.file_response import ASKS, SAFE_HEADERS, no_such_part, unchanged
from orchestrator.api.jobs import PROBLEM, check_not_expired
from orchestrator.api.live_file import wanted_part
from orchestrator.db.models import FINAL, MODEL, Job, Step
from orchestrator.db.store import Printed
from orchestrator.errors import NotFound
from orchestrator.jobs.event_feed import without_pictures
from orchestrator.reports.documents import printed
from protocol import messages

router = APIRouter(responses={422: PROBLEM})

MEDIA_TYPE = "text/plain"

#: Maximum lines that ``tail`` can ask for.
MOST_LINES = 1_000_000

#: Logs that are read at the same time. One has 8 MiB of output at most, and its results.
_readers = CapacityLimiter(4)

StepName = Annotated[
    str | None,
    Query(pattern=r"^(\d{1,9}|check)$", description="Only the output of this step: its number, or `check`."),
]
Tail = Annotated[int | None, Query(ge=0, le=MOST_LINES, description="Only the last lines, this many.")]
Follow = Annotated[
    Flag, Query(description="Keep the answer open, and send new output as it comes until the job has ended.")
]


@router.get(
    "/jobs/{job_id}/log",
    operation_id="get_log",
    tags=["Results"],
    response_class=Response,
    summary="Output of a job as text",
    responses={
        200: {"description": "The output.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        206: {"description": "The requested part.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        304: {"description": "The text is unchanged: `If-None-Match` has its `ETag`."},
        **{code: PROBLEM for code in (400, 404, 410, 416)},
    },
    openapi_extra=ASKS,
)
@router.head("/jobs/{job_id}/log", include_in_schema=False)
async def log(
    job: KnownJob, here: Here, request: Request, step: StepName = None, tail: Tail = None, follow: Follow = False
) -> Response:
    """Return the output of all steps, or of one step, as the steps printed it.

    Each step's output has a heading. With `step`, and in a job of one step without a check, there is none. The text
    only grows, so a `Range` from the last known byte continues it.
    """
    text = Text(job, await here.store.steps(job.id), step)
    whole = await to_thread.run_sync(lambda: text.read(here.store.outputs(job.id)), limiter=_readers)
    await check_not_expired(here, job.id)
    begin = _begin_of_tail(whole, tail)
    if follow and request.method == "GET":
        return _Following(here, text, begin)
    whole = whole[begin:]
    etag = f'W/"{job.last_event:x}-{len(whole):x}"'
    if answer := unchanged(request, etag):
        return answer
    headers = {"ETag": etag, "Accept-Ranges": "bytes", **SAFE_HEADERS}
    first, last = wanted_part(request)
    if (first, last) == (None, None):
        return Response(whole, media_type=MEDIA_TYPE, headers=headers)
    begin, end = _part(len(whole), first, last)
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(whole)}"
    return Response(whole[begin:end], 206, media_type=MEDIA_TYPE, headers=headers)


class Text:
    """The text of a log, made event by event. Raises NotFound if the job does not have the step."""

    def __init__(self, job: Job, steps: list[Step], only: str | None) -> None:
        self.job = job
        self._only = None if only is None else messages.CHECK if only == "check" else int(only)
        self._titles = {step.number: step.title for step in steps}
        numbers = sorted(number for number in self._titles if number != messages.CHECK)
        if only is not None and (self._only not in self._titles or only == str(messages.CHECK)):
            known = f"steps 1 to {numbers[-1]}" if numbers else "no step yet"
            detail = f"Job {job.id} has no step {only}; it has {known}"
            detail += ", and a check." if messages.CHECK in self._titles else "."
            raise NotFound(404, "no-such-step", "No such step", detail)
        self._headed = only is None and (job.planned_by == MODEL or len(self._titles) > 1)
        self._current: int | None = None
        self._open = False  # the last piece did not end its line

    def knows(self, number: int) -> bool:
        """Tell whether the step's title is known. A model adds steps while its job runs."""
        return number in self._titles

    def name(self, steps: list[Step]) -> None:
        """Take the titles of further steps."""
        self._titles |= {step.number: step.title for step in steps}

    def read(self, events: Iterable[Printed]) -> bytes:
        """Return the text of all these events. Blocks. A later ``add`` begins a new text."""
        text = "".join(self.add(event.kind, event.data) for event in events).encode()
        self._current, self._open = None, False
        return text

    def add(self, kind: str, data: dict[str, Any]) -> str:
        """Return the text that an event adds."""
        if kind not in ("output", "result") or (self._only is not None and data["step"] != self._only):
            return ""
        text = printed(Printed(0, kind, without_pictures(data) if kind == "result" else data))
        if not text:
            return ""
        heading = ""
        if self._headed and data["step"] != self._current:
            name = "check" if data["step"] == messages.CHECK else f"step {data['step']}"
            heading = "\n" * self._open + f"=== {name}: {self._titles.get(data['step'], '')} ===\n"
        self._current, self._open = data["step"], not text.endswith("\n")
        return heading + text


class _Following(StreamingResponse):
    """Sends the text so far, from a byte on, and then new text until the job has ended."""

    def __init__(self, here: Context, text: Text, begin: int) -> None:
        headers = {**SAFE_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._pieces(here, text, begin), headers=headers, media_type=MEDIA_TYPE)
        self._here, self._job_id = here, text.job.id

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self.body_iterator:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        job = await self._here.store.job(self._job_id)
        # without a last message the server closes the connection, so the client sees that the text is not complete
        if job is None or job.status in FINAL:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _pieces(here: Context, text: Text, begin: int) -> AsyncIterator[bytes]:
        async with aclosing(here.job_service.event_feed.follow(text.job.id, 0)) as events:
            async for told in events:
                if told.kind not in ("output", "result"):
                    continue
                data = json.loads(told.data)
                if not text.knows(data["step"]):
                    text.name(await here.store.steps(text.job.id))
                piece = text.add(told.kind, data).encode()
                skipped = min(begin, len(piece))
                begin -= skipped
                if piece[skipped:]:
                    yield piece[skipped:]


def _begin_of_tail(text: bytes, lines: int | None) -> int:
    """Return the position of the last lines of a text. A line end at the end of the text begins no line."""
    if lines is None:
        return 0
    at = len(text) - text.endswith(b"\n")
    for _ in range(lines):
        at = text.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1 if lines else len(text)


def _part(size: int, first: int | None, last: int | None) -> tuple[int, int]:
    """Return the begin and the end of a Range in a text of this size. Raises BadRequest for an empty part."""
    if first is None:
        begin, end = max(0, size - (last or 0)), size
    else:
        begin, end = first, min(size, size if last is None else last + 1)
    if begin >= end:
        raise no_such_part(size)
    return begin, end
