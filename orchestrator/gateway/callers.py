"""Access checks of the live gateway. They run before anything is shown.

Each view has its own host name (``desktop-<job>.localhost``). So browsers separate the cookies and pages of different
views. Requests from one view to another view, to the lists of jobs, or to the API carry a foreign origin and are
rejected here.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from binascii import Error as NoBase64
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers

from orchestrator.errors import Forbidden
from orchestrator.gateway import urls
from orchestrator.live.grants import Grant, Signer
from orchestrator.settings import Settings
from orchestrator.web.origin_check import foreign
from protocol import messages

#: The cookie that stores a grant in a browser, and the query parameter that carries it in a link.
COOKIE, PARAMETER = "view", "link"

#: Headers that nginx sets: the gateway's port, the requested address, and whether it is a WebSocket. nginx overwrites
#: the client's own headers of these names.
SERVICE_HEADER, URI_HEADER, UPGRADE_HEADER = "x-gateway-service", "x-gateway-uri", "x-gateway-upgrade"

#: Maximum number of query parameters.
MOST_PARAMETERS = 50

_HOST = re.compile(r"(desktop|notebook)-([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True)
class Call:
    """A request to the gateway as nginx forwards it. ``job_id`` is None for the gateway's own pages."""

    headers: Headers
    service: messages.Service
    host: str
    path: str
    link: str | None
    job_id: str | None
    public: str  # the origin of this page behind the proxy, or empty


def understand(headers: Headers, settings: Settings) -> Call:
    """Return the call with its view, or with no job for the gateway's own pages. Raises Forbidden."""
    service = cast(messages.Service, headers.get(SERVICE_HEADER, ""))
    if service not in ("desktop", "notebook"):
        raise Forbidden(403, "not-for-you", "Not for you", "Only the live gateway may call this.")
    host = headers.get("host", "").lower()
    try:
        url = urlsplit(headers.get(URI_HEADER, "/"))
        link = parse_qs(url.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS).get(PARAMETER, [None])[0]
    except ValueError:
        raise Forbidden(403, "no-address", "No address", "The live gateway does not know this address.") from None
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
        return Call(headers, service, host, url.path, link, found[2], public)
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


def check_key(call: Call, settings: Settings) -> None:
    """Raise Forbidden without the API key. The lists of jobs belong to the users' API; browsers ask for the key as a
    password.
    """
    if settings.api_key is None:
        return
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given.strip(), validate=True).decode("latin-1").partition(":")[2]
        except (NoBase64, ValueError):
            given = ""
    key = settings.api_key.get_secret_value().encode()
    if scheme.lower() not in ("basic", "bearer") or not secrets.compare_digest(given.encode("latin-1"), key):
        raise Forbidden(
            401,
            "no-key",
            "Key needed",
            "Enter API_KEY as the password, with any user name.",
            {"WWW-Authenticate": 'Basic realm="containerized-agent"'},
        )


def granted(call: Call, signer: Signer) -> Grant:
    """Return the grant in the browser's cookie for this view. Raises Forbidden."""
    found = [signer.read("cookie", value) for value in _cookies(call.headers)[0]]
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


def _cookies(headers: Headers) -> tuple[list[str], list[str]]:
    """Return the values of the gateway's cookies, and all other cookies unchanged."""
    ours, others = [], []
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            ours.append(value)
        elif part.strip():
            others.append(part.strip())
    return ours, others
