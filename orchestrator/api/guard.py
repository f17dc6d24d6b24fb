"""Access checks of the users' API. They run before the request is read."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import key_errors
from orchestrator.engines.base import Engine
from orchestrator.errors import BadRequest, EngineError, Forbidden, Problem, Unavailable
from orchestrator.files.uploads import too_much
from orchestrator.gateway.login import Login
from orchestrator.logs import READING
from orchestrator.settings import Settings
from orchestrator.sizes import show_size
from orchestrator.web.content_encoding import Decoded, is_encoded
from orchestrator.web.origin_check import foreign
from orchestrator.web.problems import answer

#: Maximum bytes of a request body. A form with files may have MAX_UPLOAD more.
BODY_BYTES = 4 * 2**20

#: Time limit of a request body in seconds, and the bytes that extend it by one second each. A slow connection with a
#: large file gets enough time; a client that stalls is disconnected.
BODY_SECONDS, BODY_RATE = 30.0, 4096.0
TOO_SLOW = f"The body came too slowly. The limit is {BODY_SECONDS:g} s, plus 1 s for each {BODY_RATE / 1024:g} KiB."

#: The liveness check. It says nothing about the system, so anyone may ask, by any name.
LIVE = "/livez"


#: The addresses that a browser needs to log in. Host and origin are checked there, too.
WITHOUT_KEY = ("/login", "/logout")


class Guard:
    """Middleware that rejects foreign hosts and origins, calls without the key, sandboxes, and oversized bodies.

    A web page of another site cannot make a browser submit jobs. Such a request carries a foreign ``Origin``. With DNS
    rebinding, it carries a foreign ``Host``.
    """

    def __init__(self, app: ASGIApp, settings: Settings, engine: Engine, login: Login) -> None:
        self._app, self._settings, self._engine, self._login = app, settings, engine, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == LIVE:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit, too_large = BODY_BYTES, f"The request body is larger than {show_size(BODY_BYTES)}."
        if scope["path"] == "/schedule" and headers.get("content-type", "").lower().startswith("multipart/form-data"):
            limit, too_large = BODY_BYTES + self._settings.max_upload, too_much(self._settings.max_upload).detail
        has_body = scope["method"] not in READING  # the other methods have no body that a route reads
        bounded = _at_most(limit, too_large, _in_time(receive) if has_body else receive)
        try:
            self._check_host(headers, scope)
            self._check_origin(headers)
            await self._check_address(scope)
            self._check_key(headers, scope)
            length = headers.get("content-length", "0")
            if length.isdigit() and int(length) > limit:
                raise BadRequest(413, "too-large", "Too large", too_large)
            if has_body and is_encoded(headers):
                bounded = _at_most(limit, too_large, Decoded(bounded))
        except Problem as problem:
            # the body was not read, and a rejected client must not keep its connection
            problem.headers["Connection"] = "close"
            await answer(problem)(scope, receive, send)
            return
        public = self._settings.public
        if public and public.hostname == _name(f"//{headers.get('host', '')}"):
            scope["scheme"] = public.scheme  # for redirects: the proxy has ended TLS
        await self._app(scope, bounded, send)

    def _check_host(self, headers: Headers, scope: Scope) -> None:
        host = headers.get("host", "")
        name = _name(f"//{host}")
        own_address = str(_address((scope.get("server") or ("", None))[0]))
        if name is None or name not in self._settings.names | {own_address}:
            raise Forbidden(
                403,
                "foreign-host",
                "Foreign host",
                f"The Host header {host[:100]!r} is not allowed. Use localhost or 127.0.0.1, or add "
                "the name to ALLOWED_HOSTS.",
            )

    def _check_origin(self, headers: Headers) -> None:
        if foreign(headers, self._settings.public_url):
            origin = headers.get("origin", "another site")
            raise Forbidden(
                403, "foreign-origin", "Foreign origin", f"Pages from {origin[:100]!r} may not call this system."
            )

    def _check_key(self, headers: Headers, scope: Scope) -> None:
        if not self._login.needed or scope["path"] in WITHOUT_KEY:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._login.is_key(given.strip().encode("latin-1")):
            return
        if "authorization" not in headers and self._login.has_session(headers):
            self._login.check_same_origin(scope["method"], headers)
        elif "authorization" not in headers and self._login.is_browser(scope["method"], headers):
            raise self._login.to_login(headers, _target(scope))
        else:
            raise key_errors.refused(headers, scope["query_string"])

    async def _check_address(self, scope: Scope) -> None:
        client = _address((scope.get("client") or ("", None))[0])
        if client is None or client.is_loopback:
            return
        try:
            networks = await self._engine.networks()
        except EngineError as error:
            raise Unavailable(
                503,
                "engine-down",
                "Engine down",
                f"The engine does not answer, so the system cannot tell whether the client is a job: {error}",
            ) from error
        if any(client in network for network in networks):
            raise Forbidden(403, "sandbox", "Not for sandboxes", "A job may not call the system that runs it.")


def _in_time(receive: Receive) -> Receive:
    """Limit the time of a body, see ``BODY_SECONDS``."""
    begun, size, whole = time.monotonic(), 0, False

    async def timed() -> Message:
        nonlocal size, whole
        try:
            async with asyncio.timeout(None if whole else begun + BODY_SECONDS + size / BODY_RATE - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, TOO_SLOW, {"Connection": "close"}) from None
        size += len(message.get("body", b""))
        whole = whole or not message.get("more_body", False)
        return message

    return timed


def _at_most(limit: int, too_large: str, receive: Receive) -> Receive:
    """Limit the bytes of a body."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, too_large)  # the framework passes its own exceptions through
        return message

    return counted


def _target(scope: Scope) -> str:
    """Return the address of a request as the client wrote it."""
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address. A dual-stack socket reports IPv4 as ``::ffff:…``."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _name(netloc: str) -> str | None:
    try:
        return urlsplit(netloc).hostname
    except ValueError:
        return None
