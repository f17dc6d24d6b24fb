"""Following jobs: those who wait for the same events of a job share what is read of the store, and made of it.

Each event wakes all who follow its job. If each of them read it for himself, a hundred would keep the machine busy with
reading the same rows, and everybody else would wait behind them.
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

#: Events read from the store at once; and such pages of one job that are kept for those who come for the same.
PAGE, PAGES = 200, 4


class Told(NamedTuple):
    """An event as it is told; ``data`` is JSON."""

    number: int
    kind: str
    data: str


class EventFeed:
    """Tells the events of jobs to those who follow them."""

    def __init__(self, store: Store, notifier: Notifier) -> None:
        self._store, self._notifier = store, notifier
        self._feeds: WeakValueDictionary[str, _Feed] = WeakValueDictionary()  # who follows has his job's

    async def follow(self, job_id: str, last: int) -> AsyncGenerator[Told]:
        """A job's events after a number, each as it happens; ends after the final one, or where the system stops."""
        with self._notifier.listening(job_id):  # without a break: the rings are counted for the feed
            feed = self._feeds.setdefault(job_id, _Feed(job_id, self._store, self._notifier))
            all_told = -1  # rings after which nothing more was there

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
            # the system stops: the follower comes back with Last-Event-ID


class _Feed:
    """What was read of a job's events since its notifier rang last."""

    def __init__(self, job_id: str, store: Store, notifier: Notifier) -> None:
        self._job_id, self._store, self._notifier = job_id, store, notifier
        self._rings = 0
        self._pages: dict[int, asyncio.Task[tuple[list[Told], bool]]] = {}

    async def after(self, last: int) -> tuple[list[Told], bool]:
        """The events after a number, and whether none will ever come after them."""
        rings = self._notifier.rings(self._job_id)
        if rings != self._rings:  # where it has not rung, they are as they were
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
    """What a follower gets of an event: all but pictures."""
    if event.kind == "result":
        return {**event.data, "data": _texts(event.data.get("data", {}))}
    if event.kind == "viewer_cell":
        return {**event.data, "results": [_texts(data) for data in event.data["results"]]}
    return event.data


def _texts(data: dict[str, str]) -> dict[str, str]:
    return {kind: part for kind, part in data.items() if kind not in messages.PICTURES}
