"""Live job events as server-sent events. See the WHATWG HTML standard, section 9.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from orchestrator.api.context import Here, KnownJob
from orchestrator.api.jobs import PROBLEM
from orchestrator.db.models import FINAL

router = APIRouter(responses={422: PROBLEM})

#: Largest event number that the store can hold.
MOST = 2**63 - 1


class NothingMore(Exception):
    """The client has every event of an ended job."""


async def on_nothing_more(request: Request, error: Exception) -> Response:
    """Return 204, which tells an EventSource to stop. After any other end, it reconnects every few seconds."""
    return Response(status_code=204, headers={"Cache-Control": "no-cache"})


async def last_known(
    job: KnownJob,
    last_event_id: Annotated[int | None, Header(ge=0, le=MOST, description="Resume after this event.")] = None,
    after: Annotated[int, Query(ge=0, le=MOST, description="The same, for clients that cannot send the header.")] = 0,
) -> int:
    """Return the number of the client's last event.

    Raises NothingMore here, because a stream that has begun cannot change its status.
    """
    last = after if last_event_id is None else last_event_id
    if job.status in FINAL and last >= job.last_event:
        raise NothingMore
    return last


@router.get(
    "/jobs/{job_id}/events",
    operation_id="follow_events",
    tags=["Jobs"],
    response_class=EventSourceResponse,
    summary="Stream the events of a job",
    responses={
        204: {"description": "The job has ended, and the client has its final event. An `EventSource` stops."},
        404: PROBLEM,
    },
)
async def events(
    job: KnownJob, here: Here, last: Annotated[int, Depends(last_known)]
) -> AsyncIterator[ServerSentEvent]:
    """Stream all past events of a job, then each new event. The stream ends after the final event.

    `id` is the event's number, `event` its kind, and `data` a JSON object. A comment line every 15 s is the heartbeat.
    The stream has no pictures: `file` of a `result` is the picture's path in the workspace.
    """
    async with aclosing(here.job_service.event_feed.follow(job.id, last)) as events:
        async for told in events:
            yield ServerSentEvent(id=str(told.number), event=told.kind, raw_data=told.data)
