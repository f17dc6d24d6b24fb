"""A job's events as they happen: server-sent events, see the WHATWG's HTML standard, section 9.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from orchestrator.api.context import Here, KnownJob
from orchestrator.api.jobs import PROBLEM

router = APIRouter(responses={422: PROBLEM})

#: The largest number that an event can have in the store.
MOST = 2**63 - 1


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    summary="Follow a job",
    responses={404: PROBLEM},
)
async def events(
    job: KnownJob,
    here: Here,
    last_event_id: Annotated[int | None, Header(ge=0, le=MOST, description="Go on after this event.")] = None,
    after: Annotated[int, Query(ge=0, le=MOST, description="The same, where a header cannot be given.")] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """All events of a job from the first on, then each as it happens; ends after the final one.

    `id` is the event's number, `event` its kind, `data` a JSON object. A comment line comes every 15 s as heartbeat.
    Pictures of a `result` are not in the stream: `file` says where they are in the workspace.
    """
    last = after if last_event_id is None else last_event_id
    async with aclosing(here.scheduler.following.follow(job.id, last)) as events:
        async for told in events:
            yield ServerSentEvent(id=str(told.number), event=told.kind, raw_data=told.data)
