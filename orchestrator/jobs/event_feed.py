"""Event streams of jobs. All followers of a job share the rows read from the store and the JSON made from them.

Each event wakes all followers of its job. If each follower read it by itself, a hundred followers would read the same
rows a hundred times. The machine would be busy, and all other requests would wait.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from orchestrator.concurrency.notifier import Notifier, wait_until
from orchestrator.db.models import Event
from orchestrator.db.store import Store
from orchestrator.reports.documents import iso
from protocol import messages

#: Maximum events in a page, which is one read from the store. Maximum pages of a job that are kept for other followers.
PAGE, PAGES = 200, 4


class Told(NamedTuple):
    """An event as followers get it; ``data`` is JSON."""

    number: int
    kind: str
    data: str


class EventFeed:
    """Sends the events of jobs to their followers."""

    def __init__(self, store: Store, notifier: Notifier) -> None:
        self._store, self._notifier = store, notifier
        self._feeds: WeakValueDictionary[str, _Feed] = WeakValueDictionary()  # each follower holds its job's feed

    async def follow(self, job_id: str, last: int) -> AsyncGenerator[Told]:
        """Yield a job's events after a number as they happen. Ends after the final event, or when the system stops."""
        with self._notifier.listening(job_id):  # without a break, because the feed relies on the count of rings
            feed = self._feeds.setdefault(job_id, _Feed(job_id, self._store, self._notifier))
            all_told = -1  # the count of rings at which the store had no more events

            async def more() -> tuple[list[Told], bool] | None:
                nonlocal all_told
                rings = self._notifier.rings(job_id)
                if rings == all_told:
                    return None
                told, over = await feed.after(last)
                if len(told) < PAGE:
                    all_told = rings
                return (told, over) if told or over else None

            while page := await wait_until(self._notifier, job_id, more):
                told, over = page
                for event in told:
                    yield event
                    last = event.number
                if over:
                    return
            # the system stops: the follower reconnects with Last-Event-ID


class _Feed:
    """The events of a job that were read since its notifier last rang."""

    def __init__(self, job_id: str, store: Store, notifier: Notifier) -> None:
        self._job_id, self._store, self._notifier = job_id, store, notifier
        self._rings = 0
        self._pages: dict[int, asyncio.Task[tuple[list[Told], bool]]] = {}

    async def after(self, last: int) -> tuple[list[Told], bool]:
        """Return the events after a number, and whether the job's events end with them."""
        rings = self._notifier.rings(self._job_id)
        if rings != self._rings:  # without a new ring, the pages are still current
            self._rings = rings
            self._pages.clear()
        page = self._pages.get(last)
        if page is None or (page.done() and page.exception()):
            page = self._pages[last] = asyncio.create_task(self._read(last))
            if len(self._pages) > PAGES:
                del self._pages[next(iter(self._pages))]
        return await asyncio.shield(page)

    async def _read(self, last: int) -> tuple[list[Told], bool]:
        events, over = await self._store.events(self._job_id, last, PAGE)
        return await asyncio.to_thread(_all_told, events), over


def _all_told(events: list[Event]) -> list[Told]:
    return [Told(e.number, e.kind, json.dumps({"at": iso(e.at), **_told(e)})) for e in events]


def _told(event: Event) -> dict[str, Any]:
    """Return the data of an event that a follower gets: everything except pictures."""
    if event.kind == "result":
        return without_pictures(event.data)
    if event.kind == "viewer_cell":
        return {**event.data, "results": [_texts(data) for data in event.data["results"]]}
    return event.data


def without_pictures(result: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a result without its pictures."""
    return {**result, "data": _texts(result.get("data", {}))}


def _texts(data: dict[str, str]) -> dict[str, str]:
    return {kind: part for kind, part in data.items() if kind not in messages.PICTURES}
