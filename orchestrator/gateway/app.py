"""Routes of the live gateway. nginx asks here about each request and shows the pages that these routes return."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestrator import logs
from orchestrator.db.models import FINAL, Job
from orchestrator.db.store import Store
from orchestrator.engines.base import Engine
from orchestrator.errors import Gone, NotFound, Problem, Unavailable
from orchestrator.gateway import callers, urls
from orchestrator.gateway.callers import Call
from orchestrator.gateway.login import Login
from orchestrator.gateway.pages import page
from orchestrator.jobs.service import JobService
from orchestrator.live.grants import Grant, Mode, Signer
from orchestrator.live.viewers import showable
from orchestrator.reports.documents import iso
from orchestrator.settings import Settings
from orchestrator.web.problems import on_crash
from protocol import messages

#: Seconds that a browser may use a view after opening it.
COOKIE_SECONDS = 12 * 3600

#: Maximum characters of a prompt in a list or a title.
PROMPT_CHARACTERS = 120

#: Temporary problems. Their pages reload.
PASSING = ("packing", "not-running", "broken")

#: noVNC's modules. The page preloads them, so that the browser does not discover them one after the other.
MODULES = (
    "base64", "crypto/aes", "crypto/bigint", "crypto/crypto", "crypto/des", "crypto/dh", "crypto/md5", "crypto/rsa",
    "decoders/copyrect", "decoders/h264", "decoders/hextile", "decoders/jpeg", "decoders/raw", "decoders/rre",
    "decoders/tight", "decoders/tightpng", "decoders/zlib", "decoders/zrle", "deflator", "display", "encodings",
    "inflator", "input/domkeytable", "input/fixedkeys", "input/gesturehandler", "input/keyboard", "input/keysym",
    "input/keysymdef", "input/util", "input/vkeys", "input/xtscancodes", "ra2", "rfb", "util/browser", "util/cursor",
    "util/element", "util/events", "util/eventtarget", "util/int", "util/logging", "util/strings", "websock",
)  # fmt: skip


def create_gateway(
    settings: Settings, store: Store, job_service: JobService, engine: Engine, signer: Signer, login: Login
) -> ASGIApp:
    """Build the application for the gateway's socket."""
    return Gateway(settings, store, job_service, engine, signer, login).app


class Gateway:
    """Checks access to views, starts them, and returns their addresses."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        job_service: JobService,
        engine: Engine,
        signer: Signer,
        login: Login,
    ) -> None:
        self._settings, self._store, self._job_service, self._signer = settings, store, job_service, signer
        self._engine, self._login = engine, login
        routes = [
            Route("/health", self.health),
            Route("/authorise", self.authorise),
            Route("/page", self.page),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.login, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={Problem: self._refused, Exception: on_crash})

    async def health(self, request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def authorise(self, request: Request) -> Response:
        """Return 204 with the service's address if the request may pass to the sandbox, else 403.

        nginx reads nothing else from this answer. It requests the reason from ``page``.
        """
        try:
            call = callers.understand(request.headers, self._settings)
            callers.check_site(call)
            if call.job_id is None or call.link is not None:
                return Response(status_code=403)
            logs.concerns(call.job_id)
            callers.granted(call, self._signer)
            job = await self._job_service.viewers.reach(call.job_id, call.service)
        except Problem:
            return Response(status_code=403)
        assert job.sandbox_id  # noqa: S101 - it runs
        path = self._engine.viewer_socket(job.sandbox_id, call.service)
        if path is None:
            return Response(status_code=403)
        headers = {"X-View-Socket": str(path), "X-View-Cookies": callers.other_cookies(call)}
        return Response(status_code=204, headers=headers)

    async def login(self, request: Request) -> Response:
        """Log a browser in or out at the port of the lists. A view has no login."""
        call = callers.understand(request.headers, self._settings)
        callers.check_site(call)
        if call.job_id is not None:
            raise NotFound(404, "nothing-here", "Nothing here", "The page of a job has no login.")
        return self._login.leave() if request.url.path == "/logout" else await self._login.answer(request, "/")

    async def page(self, request: Request) -> Response:
        """Return a page of the gateway, or the page that says why a view cannot be shown."""
        call = callers.understand(request.headers, self._settings)
        callers.check_site(call)
        if call.job_id is None:
            callers.check_key(call, self._login)
            return await self._of_gateway(call)
        logs.concerns(call.job_id[: logs.GIVEN])
        if call.link is not None:
            return await self._open(call)
        grant = callers.granted(call, self._signer)
        try:
            job = showable(await self._store.job(grant.job_id), grant.job_id)
        except Gone:
            if grant.follow and call.path in ("/", "/follow"):
                return page("ended", "Opening the newest job", newest=self._newest_after(grant.job_id, call))
            raise
        after = self._newest_after(job.id, call) if grant.follow else ""
        if call.path == "/newer":
            newest = await self._newest() if grant.follow else None
            return Response(status_code=200 if newest and newest.id != job.id else 204)
        if call.path == "/follow" and call.service == "notebook":
            return page("follow", _title(job), job=job.id, newest=after)
        if call.path == "/" and call.service == "desktop":
            return self._desktop(job, grant, after)
        if call.service == "desktop" and call.path != "/websockify":
            raise NotFound(404, "nothing-here", "Nothing here", "This view has no page at this address.")
        # raises the reason for which nginx did not pass the request on
        await self._job_service.viewers.reach(job.id, call.service)
        raise Unavailable(
            503, "broken", "The view does not answer", f"The {call.service} of job {job.id} ended just now."
        )

    # ── views ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _open(self, call: Call) -> Response:
        """Exchange the grant in the link for a cookie of this view, and redirect to an address without it."""
        grant = callers.opened(call, self._signer)
        job = showable(await self._store.job(grant.job_id), grant.job_id)
        callers.check_time(grant)
        self._job_service.viewers.want(job.id, grant.service)
        until = int(time.time()) + COOKIE_SECONDS
        cookie = self._signer.sign("cookie", Grant(job.id, grant.service, grant.mode, until, grant.follow))
        name = callers.cookie_of(grant)
        path = f"{'/follow' if grant.service == 'notebook' else '/'}?{callers.CHOICE}={name.removeprefix('view-')}"
        answer = page("opened", _title(job), path=path, service=grant.service, job=job.id)
        answer.set_cookie(
            name, cookie, COOKIE_SECONDS, httponly=True, secure=self._settings.over_tls, samesite="strict"
        )
        return answer

    def _newest_after(self, job_id: str, call: Call) -> str:
        """Return the address at which a browser waits for the next job."""
        return f"{urls.gateway(self._settings, call.service)}newest?after={job_id}"

    def _desktop(self, job: Job, grant: Grant, newest: str) -> HTMLResponse:
        assert job.sandbox_id  # noqa: S101 - it runs
        self._job_service.viewers.want(job.id, "desktop")
        return page(
            "desktop",
            _title(job),
            password=self._signer.password(job.sandbox_id, grant.mode),
            mode=grant.mode,
            newest=newest,
            modules=MODULES,
        )

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _of_gateway(self, call: Call) -> Response:
        if call.path == "/":
            return await self._list(call)
        after = parse_qs(urlsplit(call.headers.get(callers.URI_HEADER, "")).query).get("after", [""])[0]
        if call.path == "/newest/link":
            job = await self._newest()
            if job is None or job.id == after:
                return Response(status_code=204)
            mode: Mode = "watch" if call.service == "desktop" else "control"
            url = urls.link(self._settings, self._signer, job, call.service, mode, follow=True)
            return JSONResponse({"url": url}, headers={"Cache-Control": "no-store"})
        if call.path == "/newest":
            before = await self._store.job(after)
            more = self._more(before, again=before is not None and before.status not in FINAL)
            return page("newest", "Waiting for the next job", after=after, service=call.service, **more)
        raise NotFound(404, "nothing-here", "Nothing here", "The list of running jobs is at /.")

    async def _list(self, call: Call) -> Response:
        running = [job for job in reversed(await self._store.running()) if not (job.packaging_at or job.settled_at)]
        other: messages.Service = "notebook" if call.service == "desktop" else "desktop"
        return page(
            "list",
            "Running jobs",
            jobs=[self._item(job, call) for job in running],
            elsewhere=urls.gateway(self._settings, other),
            other=other,
            api=urls.api(self._settings),
            login=self._login.needed,
        )

    def _item(self, job: Job, call: Call) -> dict[str, Any]:
        """Return the entry of a job in the list."""
        modes: dict[Mode, str] = {"control": "open"}
        if call.service == "desktop":
            modes = {"watch": "watch", "control": "take control"}
        links = {
            words: urls.link(self._settings, self._signer, job, call.service, mode) for mode, words in modes.items()
        }
        return {
            "title": _title(job),
            "id": job.id,
            "phase": job.phase or "",
            "since": iso(job.started_at) or "",
            "links": links,
        }

    async def _newest(self) -> Job | None:
        """Return the running job with a view that was started last."""
        running = [job for job in await self._store.running() if not (job.packaging_at or job.settled_at)]
        return running[-1] if running else None

    # ── why not ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 - registered for it alone
        ended = await self._store.job(self._job_id(request)) if error.type == "ended" else None
        more = self._more(ended, again=error.type in PASSING)
        return page("problem", error.title, error.status, error.headers, detail=error.detail, **more)

    def _job_id(self, request: Request) -> str:
        return callers.understand(request.headers, self._settings).job_id or ""

    def _more(self, job: Job | None, again: bool) -> dict[str, Any]:
        """Return the values for ``more.html``, which reloads the page or links to the results of a job."""
        return {"again": again, "ended": None if again else job, "api": urls.api(self._settings)}


def _title(job: Job) -> str:
    """Return a job's title for lists and pages."""
    words = " ".join(job.prompt.split()) or f"Job {job.id}"
    return words if len(words) <= PROMPT_CHARACTERS else f"{words[: PROMPT_CHARACTERS - 1]}…"
