"""A job's events as they happen: server-sent events, see the WHATWG's HTML standard, section 9.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from agent import wire
from orchestrator.api.context import Here, KnownJob
from orchestrator.api.jobs import PROBLEM
from orchestrator.documents import iso
from orchestrator.models import FINAL, Event

router = APIRouter(responses={422: PROBLEM})

#: Events read from the store at once.
PAGE = 200

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
    with here.scheduler.bell.listening(job.id) as heard:
        while True:
            heard.clear()
            page = await here.store.events(job.id, last, PAGE)
            for event in page:
                data = {"at": iso(event.at), **seen(event)}
                yield ServerSentEvent(id=str(event.number), event=event.kind, data=data)
                last = event.number
                if event.kind in FINAL:
                    return
            if len(page) == PAGE:
                continue
            now = await here.store.job(job.id)
            if now is None or (now.status in FINAL and now.last_event <= last):
                return  # asked to go on after the last event of a job that has ended
            if here.scheduler.bell.closed:
                return  # the system stops; the follower comes back with Last-Event-ID
            await heard.wait()


def seen(event: Event) -> dict[str, Any]:
    """What a follower gets of an event."""
    if event.kind == "result":
        return {**event.data, "data": _texts(event.data.get("data", {}))}
    if event.kind == "viewer_cell":
        return {**event.data, "results": [_texts(data) for data in event.data["results"]]}
    return event.data


def _texts(data: dict[str, str]) -> dict[str, str]:
    return {kind: part for kind, part in data.items() if kind not in wire.PICTURES}
