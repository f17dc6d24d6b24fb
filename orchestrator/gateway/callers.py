"""Access checks of the live gateway. They run before anything is shown.

Each view has its own host name (``desktop-<job>.localhost``). So browsers separate the cookies and pages of different
views. Requests from one view to another view, to the lists of jobs, or to the API carry a foreign origin and are
rejected here.
"""

from __future__ import annotations

import base64
import re
import time
from binascii import Error as NoBase64
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers

from orchestrator.errors import Forbidden
from orchestrator.gateway import urls
from orchestrator.gateway.login import COOKIE as LOGIN_COOKIE
from orchestrator.gateway.login import Login
from orchestrator.live.grants import Grant, Signer
from orchestrator.settings import Settings
from orchestrator.web.origin_check import foreign
from protocol import messages

#: The cookies that store grants in a browser: one for each way to see a view, so that two tabs do not share a grant.
#: The first parameter carries a grant in a link, the second says which of the cookies a page uses.
COOKIES = ("view-watch", "view-control", "view-watch-follow", "view-control-follow")
PARAMETER, CHOICE = "link", "as"

#: The gateway's own pages of a view. Only they have a choice, because a job's service has parameters of its own.
PAGES = ("/", "/follow", "/newer")

#: Headers that nginx sets: the gateway's port, the requested address, and whether it is a WebSocket. nginx overwrites
#: the client's own headers of these names.
SERVICE_HEADER, URI_HEADER, UPGRADE_HEADER = "x-gateway-service", "x-gateway-uri", "x-gateway-upgrade"

#: Maximum number of query parameters.
MOST_PARAMETERS = 50

_HOST = re.compile(r"(desktop|notebook)-([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True)
class Call:
    """A request to the gateway as nginx forwards it. ``job_id`` is None for the gateway's own pages.

    ``choice`` is the cookie that a page of a view uses, or None for any of them.
    """

    headers: Headers
    service: messages.Service
    host: str
    path: str
    link: str | None
    job_id: str | None
    public: str  # the origin of this page behind the proxy, or empty
    choice: str | None = None


def understand(headers: Headers, settings: Settings) -> Call:
    """Return the call with its view, or with no job for the gateway's own pages. Raises Forbidden."""
    service = cast(messages.Service, headers.get(SERVICE_HEADER, ""))
    if service not in ("desktop", "notebook"):
        raise Forbidden(403, "not-for-you", "Not for you", "Only the live gateway may call this.")
    host = headers.get("host", "").lower()
    try:
        url = urlsplit(headers.get(URI_HEADER, "/"))
        parameters = parse_qs(url.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise Forbidden(403, "no-address", "No address", "The live gateway does not know this address.") from None
    link = parameters.get(PARAMETER, [None])[0]
    choice = f"view-{parameters[CHOICE][0]}" if CHOICE in parameters and url.path in PAGES else None
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        name = ""
    label, _, domain = name.partition(".")
    own = f".{name}".endswith(f".{settings.domain_of_views}")
    public = urls.origin(settings, service, name) if own and settings.proxied_views else ""
    if domain == settings.domain_of_views and (found := _HOST.fullmatch(label)):
        if found[1] != service:
            port = settings.desktop_port if found[1] == "desktop" else settings.notebook_port
            raise Forbidden(403, "wrong-port", "Wrong port", f"The {found[1]} of a job is at port {port}.")
        return Call(headers, service, host, url.path, link, found[2], public, choice)
    if name in settings.names | {settings.domain_of_views, urls.list_name(settings, service)}:
        return Call(headers, service, host, url.path, link, None, public)
    raise Forbidden(
        403,
        "foreign-host",
        "Foreign host",
        f"The Host header {host[:100]!r} is not allowed. Use localhost or 127.0.0.1, or add the name to ALLOWED_HOSTS.",
    )


def check_site(call: Call) -> None:
    """Raise Forbidden for requests from pages of another origin, and for service workers."""
    headers = call.headers
    # browsers always send the origin of a WebSocket
    if foreign(headers, call.public) or (headers.get(UPGRADE_HEADER) and "origin" not in headers):
        detail = f"Pages from {headers.get('origin', 'another site')[:100]!r} may not call the live gateway."
        raise Forbidden(403, "foreign-origin", "Foreign origin", detail)
    if headers.get("service-worker"):
        raise Forbidden(
            403,
            "service-worker",
            "No service workers",
            "A view ends with its job, so it cannot install a service worker.",
        )


def check_key(call: Call, login: Login) -> None:
    """Raise Forbidden without the API key. The lists of jobs belong to the users' API.

    Browsers are sent to the login. Other clients can send the key as a password, too.
    """
    if not login.needed or login.has_session(call.headers):
        return
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given.strip(), validate=True).decode("latin-1").partition(":")[2]
        except (NoBase64, ValueError):
            given = ""
    if scheme.lower() not in ("basic", "bearer") or not login.is_key(given.encode("latin-1")):
        if not scheme and login.is_browser("GET", call.headers):
            raise login.to_login(call.headers, call.headers.get(URI_HEADER, "/"))
        raise Forbidden(
            401,
            "no-key",
            "Key needed",
            "Enter API_KEY as the password, with any user name.",
            # a page that polls would open the browser's own dialog
            {} if "sec-fetch-mode" in call.headers else {"WWW-Authenticate": 'Basic realm="containerized-agent"'},
        )


def granted(call: Call, signer: Signer) -> Grant:
    """Return the grant in the browser's cookie for this view. Raises Forbidden."""
    given = _cookies(call.headers)[0]
    found = [signer.read("cookie", value) for name, value in given if call.choice in (None, name)]
    fitting = [grant for grant in found if grant and grant.job_id == call.job_id and grant.service == call.service]
    now = time.time()
    for grant in fitting:
        if grant.until > now:
            return grant
    if fitting:
        raise _expired(f"The link that opened this view has expired. {_WHERE}")
    raise Forbidden(403, "no-link", "A link is needed", f"A view needs a link. {_WHERE}")


def opened(call: Call, signer: Signer) -> Grant:
    """Return the grant in the request's link for this view. Raises Forbidden."""
    grant = signer.read("link", call.link or "")
    if grant is None:
        detail = f"This link was changed, or another system made it. {_WHERE}"
        raise Forbidden(403, "bad-link", "Invalid link", detail)
    if grant.job_id != call.job_id or grant.service != call.service:
        raise Forbidden(403, "foreign-link", "Link to another view", f"This link is for another view. {_WHERE}")
    return grant


def check_time(grant: Grant) -> None:
    """Raise Forbidden if the link has expired."""
    if grant.until <= time.time():
        raise _expired(f"This link has expired (VIEW_LINK_SECONDS). {_WHERE}")


def other_cookies(call: Call) -> str:
    """Return the request's cookies without the gateway's own, which the sandbox must not see."""
    return "; ".join(_cookies(call.headers)[1])


_WHERE = "While the job runs, GET /status/{job_id} has new links."


def _expired(detail: str) -> Forbidden:
    return Forbidden(403, "expired-link", "The link has expired", detail)


def cookie_of(grant: Grant) -> str:
    """Return the name of the cookie that stores a grant."""
    return f"view-{grant.mode}{'-follow' if grant.follow else ''}"


def _cookies(headers: Headers) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the gateway's cookies of views with their values, and all cookies of others unchanged."""
    ours, others = [], []
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name in COOKIES:
            ours.append((name, value))
        elif part.strip() and not name.startswith(LOGIN_COOKIE):
            others.append(part.strip())
    return ours, others
