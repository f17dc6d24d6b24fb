"""Access checks and request limits of the link. They run before the request is read."""

from __future__ import annotations

from collections import Counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator import logs
from orchestrator.errors import Forbidden, Unavailable
from orchestrator.jobs.service import JobService
from orchestrator.web.problems import answer

#: Maximum requests of one sandbox at the same time. An honest agent has six: the commands it waits for, a batch, an
#: outcome or a question, a ZIP, two looks. It has twelve if its connections broke and we have not noticed yet.
REQUESTS = 16

#: Maximum ZIPs of one sandbox at the same time. Each may take as much disk space as the job may.
ZIPS = 2


class Guard:
    """Middleware that accepts only requests with the token of a running sandbox. Its job is in ``scope["job"]``.

    After an error, the connection is closed. Other data that was sent on it is never read.
    """

    def __init__(self, app: ASGIApp, job_service: JobService) -> None:
        self._app, self._job_service = app, job_service
        self._passing: Counter[tuple[str, bool]] = Counter()  # by sandbox; ZIPs are counted apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        job = await self._job_service.job_of_token(token) if scheme.lower() == "bearer" else None

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if job is None:
            refused = Forbidden(401, "no-such-sandbox", "No such sandbox", "This token belongs to no running job.")
            await answer(refused)(scope, receive, closing)
            return
        logs.concerns(job.id, job.sandbox_id)
        key = (job.id, scope["path"] == "/artifact")
        if self._passing[key] >= (ZIPS if key[1] else REQUESTS):
            many = Unavailable(429, "too-many", "Too many", "A sandbox may not ask for so much at the same time.")
            await answer(many)(scope, receive, closing)
            return
        self._passing[key] += 1
        try:
            await self._app({**scope, "job": job}, receive, closing)
        finally:
            self._passing[key] -= 1
            if not self._passing[key]:
                del self._passing[key]
