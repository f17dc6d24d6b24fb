"""Who may knock at the users' door: checked before anything of a request is looked at."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import BadRequest, Forbidden, Problem
from orchestrator.problems import answer
from orchestrator.settings import Settings

#: Bytes of a request's body.
BODY_BYTES = 4 * 2**20

TOO_LARGE = f"The body of a request has {BODY_BYTES:,} bytes at most."

#: Seconds for which the sandboxes' addresses are remembered.
NETWORKS_SECONDS = 10.0


class Guard:
    """Refuses foreign hosts and origins, callers without the key, sandboxes, and bodies that are too large.

    A browser cannot be made to submit jobs by a web page of somebody else: such a request carries a foreign ``Origin``,
    or, where a name was pointed at this machine (DNS rebinding), a foreign ``Host``.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        networks: Callable[[], Awaitable[Iterable[IPv4Network | IPv6Network]]],
    ) -> None:
        self._app, self._settings, self._networks = app, settings, networks
        self._known: tuple[float, list[IPv4Network | IPv6Network]] = (0.0, [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)  # the framework lets its own exceptions through
            return message

        try:
            self._check_host(headers, scope)
            self._check_origin(headers)
            self._check_key(headers)
            await self._check_address(scope)
            if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > BODY_BYTES:
                raise BadRequest(413, "too-large", "Too large", TOO_LARGE)
        except Problem as problem:
            await answer(problem)(scope, receive, send)
            return
        await self._app(scope, bounded, send)

    def _check_host(self, headers: Headers, scope: Scope) -> None:
        host = headers.get("host", "")
        name = _name(f"//{host}")
        own_address = scope.get("server") or ("", None)
        if name is None or (name not in self._settings.names and name != own_address[0]):
            raise Forbidden(
                403,
                "foreign-host",
                "Foreign host",
                f"This system does not answer to the name {host[:100]!r}. Call it by localhost or 127.0.0.1, or add the "
                "name to ALLOWED_HOSTS.",
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        own = headers.get("host", "").lower()
        if urlsplit(origin.lower()).netloc != own:
            raise Forbidden(
                403, "foreign-origin", "Foreign origin", f"Pages of {origin[:100]!r} may not call this system."
            )

    def _check_key(self, headers: Headers) -> None:
        if self._settings.api_key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = self._settings.api_key.get_secret_value().encode()
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), key):
            raise Forbidden(
                401,
                "no-key",
                "Key needed",
                "Every call needs the key: -H 'Authorization: Bearer <API_KEY>'.",
                {"WWW-Authenticate": "Bearer"},
            )

    async def _check_address(self, scope: Scope) -> None:
        client = scope.get("client")
        if client is None or client[0] in ("127.0.0.1", "::1"):
            return
        until, networks = self._known
        if time.monotonic() > until:
            networks = list(await self._networks())
            self._known = (time.monotonic() + NETWORKS_SECONDS, networks)
        if any(ipaddress.ip_address(client[0]) in network for network in networks):
            raise Forbidden(403, "sandbox", "Not for sandboxes", "A job may not call the system that runs it.")


def _name(netloc: str) -> str | None:
    try:
        return urlsplit(netloc).hostname
    except ValueError:
        return None
