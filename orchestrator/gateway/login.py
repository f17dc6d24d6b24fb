"""The login of browsers. A browser exchanges the API key for a signed cookie, at each of the three ports.

Cookies belong to a host name and not to a port. So one login opens the pages of all ports under that name. The views of
jobs have other host names, and never receive this cookie.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import Forbidden
from orchestrator.gateway import urls
from orchestrator.gateway.pages import page
from orchestrator.live.grants import Signer
from orchestrator.logs import READING
from orchestrator.settings import Settings
from protocol import messages

#: The name of each system's cookie begins with this. Its port follows, because systems on one machine share cookies.
COOKIE = "containerized-agent-"

#: Seconds that a login lasts.
SECONDS = 12 * 3600

#: Maximum fields of the form.
FIELDS = 10

#: The services that have a list of running jobs, in the order of the links to them.
SERVICES: tuple[messages.Service, ...] = ("desktop", "notebook")

#: An address on the same server. Browsers take // and \ for another server, and skip control characters.
LOCAL = re.compile(r"/(?!/)[!-\[\]-~]*")

_FRAME = (Path(__file__).parent / "pages/login_frame.html").read_text()
_STYLE = _FRAME.partition("<style>")[2].partition("</style>")[0]
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: The pages have a form and a style, no script, and no frame may show them. With the policy no-referrer, browsers would
#: send the form with the Origin null.
PAGE_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
}


class Login:
    """Checks the key and the cookie of a login, and answers /login and /logout."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._settings, self._signer = settings, signer
        self._name = f"{COOKIE}{settings.port}"

    @property
    def needed(self) -> bool:
        """Whether the system has a key."""
        return self._settings.api_key is not None

    def is_key(self, given: bytes) -> bool:
        """Return whether this is the API key, in constant time."""
        return secrets.compare_digest(given, self._key())

    def has_session(self, headers: Headers) -> bool:
        """Return whether the request has the cookie of a login."""
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._name and (self._signer.read_session(value, self._key()) or 0) > time.time():
                return True
        return False

    def check_same_origin(self, method: str, headers: Headers) -> None:
        """Raise Forbidden if a call that changes something does not come from a page of this server.

        The guards reject a foreign ``Origin``. Here, a call without one is rejected, too: browsers send it.
        """
        if method not in READING and "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
            detail = "A call with the cookie of a login must have an Origin header. Programs send the key instead."
            raise Forbidden(403, "foreign-origin", "Foreign origin", detail)

    @staticmethod
    def is_browser(method: str, headers: Headers) -> bool:
        """Return whether a browser opens an address as a page."""
        return method in ("GET", "HEAD") and "application/xhtml+xml" in headers.get("accept", "")

    def to_login(self, headers: Headers, target: str) -> Forbidden:
        """Build the redirect to the page for the login. ``target`` is the requested address."""
        port = re.fullmatch(r"127\.0\.0\.1(:\d{1,5})?", headers.get("host", ""))
        place = ""
        if port and self._settings.view_domain == "localhost":
            place = f"http://localhost{port[1] or ''}"  # the name of all three ports, so that one login is enough
        location = f"{place}/login?next={quote(target, safe='')}"
        return Forbidden(303, "log-in", "Log in", "This page needs a login.", {"Location": location})

    async def answer(self, request: Request, default: str) -> Response:
        """Show the form, or check its key and open the page that the browser wanted."""
        if request.method != "POST":
            target = _local(request.query_params.get("next", ""), "")
            inside = self.has_session(request.headers)
            if not self.needed or (inside and target):
                return _to(target or default)
            return self._inside() if inside else self._form(target or default)
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=FIELDS)
        target = _local(form.get("next", [""])[0], default)
        if self.needed and not self.is_key(form.get("key", [""])[0].encode()):
            return self._form(target, 403, wrong=True)
        response = _to(target)
        if not self.needed:
            return response
        until = int(time.time()) + SECONDS
        response.set_cookie(
            self._name,
            self._signer.sign_session(until, self._key()),
            SECONDS,
            httponly=True,
            samesite="lax",  # strict would hide it if a view's page links to a ZIP
            secure=self._settings.over_tls or request.headers.get("origin", "").startswith("https:"),
        )
        return response

    def leave(self) -> Response:
        """Remove the cookie."""
        response = _to("/login")
        response.delete_cookie(self._name, httponly=True, samesite="lax")
        return response

    def _form(self, target: str, status: int = 200, wrong: bool = False) -> Response:
        return page("login", "Log in", status, PAGE_HEADERS, next=target, wrong=wrong)

    def _inside(self) -> Response:
        lists = {service: urls.gateway(self._settings, service) for service in SERVICES}
        return page("logged_in", "You are logged in", 200, PAGE_HEADERS, api=urls.api(self._settings), lists=lists)

    def _key(self) -> bytes:
        key = self._settings.api_key
        return key.get_secret_value().encode() if key else b""


def _local(target: str, default: str) -> str:
    """Return an address of this server, or the default for any other text."""
    return target if LOCAL.fullmatch(target) else default


def _to(target: str) -> RedirectResponse:
    return RedirectResponse(target, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
