"""Who calls through the live gateway, and whether his browser may: checked before anything is shown.

Each view has a name of its own (``desktop-<job>.localhost``), so that a browser keeps the views apart: neither cookies
nor pages of one are another's. What a page of one view sends to another, to the lists of jobs or to the API carries its
origin, and is refused here.
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
from orchestrator.live.grants import Grant, Signer
from orchestrator.settings import Settings
from orchestrator.web.origin_check import foreign
from protocol import messages

#: The cookie that keeps a grant in a browser, and the parameter of a link that brings it there.
COOKIE, PARAMETER = "view", "link"

#: Which of its ports the gateway was called at, what it was asked for, and whether that is a WebSocket. nginx says all
#: three, whatever a caller sends under these names.
SERVICE_HEADER, URI_HEADER, UPGRADE_HEADER = "x-gateway-service", "x-gateway-uri", "x-gateway-upgrade"

#: Parameters of an address, at most.
MOST_PARAMETERS = 50

_HOST = re.compile(r"(desktop|notebook)-([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True)
class Call:
    """A call at the gateway, as nginx passes it on. ``job_id`` is None where no view was called, but the gateway."""

    headers: Headers
    service: messages.Service
    host: str
    path: str
    link: str | None
    job_id: str | None


def understand(headers: Headers, settings: Settings) -> Call:
    """Which view, or list, is called. Raises Forbidden."""
    service = cast(messages.Service, headers.get(SERVICE_HEADER, ""))
    if service not in ("desktop", "notebook"):
        raise Forbidden(403, "not-for-you", "Not for you", "Only the live gateway may ask here.")
    host = headers.get("host", "").lower()
    try:
        url = urlsplit(headers.get(URI_HEADER, "/"))
        link = parse_qs(url.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS).get(PARAMETER, [None])[0]
    except ValueError:
        raise Forbidden(403, "no-address", "No address", "This is no address of the live gateway.") from None
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        name = ""
    label, _, domain = name.partition(".")
    if domain == settings.view_domain and (found := _HOST.fullmatch(label)):
        if found[1] != service:
            port = settings.desktop_port if found[1] == "desktop" else settings.notebook_port
            raise Forbidden(403, "wrong-port", "Wrong port", f"The {found[1]} of a job is shown at port {port}.")
        return Call(headers, service, host, url.path, link, found[2])
    if name in settings.names | {settings.view_domain}:
        return Call(headers, service, host, url.path, link, None)
    raise Forbidden(
        403,
        "foreign-host",
        "Foreign host",
        f"The live gateway does not answer to the name {host[:100]!r}. Call it by localhost or 127.0.0.1, or add the "
        "name to ALLOWED_HOSTS.",
    )


def check_site(call: Call) -> None:
    """Raise Forbidden where a page of another origin makes a browser call, or where something would stay behind."""
    headers = call.headers
    # a browser says where each WebSocket comes from
    if foreign(headers) or (headers.get(UPGRADE_HEADER) and "origin" not in headers):
        detail = f"Pages of {headers.get('origin', 'another site')[:100]!r} may not call this."
        raise Forbidden(403, "foreign-origin", "Foreign origin", detail)
    if headers.get("service-worker"):
        raise Forbidden(403, "service-worker", "No service workers", "A view ends with its job; nothing stays behind.")


def check_key(call: Call, settings: Settings) -> None:
    """The lists of jobs are the users' API: raise Forbidden without its key, which a browser asks for as a password."""
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
            "Give API_KEY as the password, with any name.",
            {"WWW-Authenticate": 'Basic realm="containerized-agent"'},
        )


def granted(call: Call, signer: Signer) -> Grant:
    """What the browser's cookie grants at this view. Raises Forbidden."""
    found = [signer.read("cookie", value) for value in _cookies(call.headers)[0]]
    fitting = [grant for grant in found if grant and grant.job_id == call.job_id and grant.service == call.service]
    now = time.time()
    for grant in fitting:
        if grant.until > now:
            return grant
    if fitting:
        raise _expired(f"It was opened with a link whose time is over. {_WHERE}")
    raise Forbidden(403, "no-link", "A link is needed", f"Nothing of a job is shown without a link to it. {_WHERE}")


def opened(call: Call, signer: Signer) -> Grant:
    """What the link that a browser comes with grants at this view. Raises Forbidden."""
    grant = signer.read("link", call.link or "")
    if grant is None:
        detail = f"This link was changed on its way, or is of another system. {_WHERE}"
        raise Forbidden(403, "bad-link", "Not a link of ours", detail)
    if grant.job_id != call.job_id or grant.service != call.service:
        raise Forbidden(403, "foreign-link", "A link to something else", f"This link is for another view. {_WHERE}")
    return grant


def check_time(grant: Grant) -> None:
    """Raise Forbidden where the time of a link is over."""
    if grant.until <= time.time():
        raise _expired(f"The time in which this link could be opened is over (VIEW_LINK_SECONDS). {_WHERE}")


def other_cookies(call: Call) -> str:
    """The cookies of a view but our own: what is behind it never sees that."""
    return "; ".join(_cookies(call.headers)[1])


_WHERE = "GET /status/{job_id} has new links for as long as the job runs."


def _expired(detail: str) -> Forbidden:
    return Forbidden(403, "expired-link", "The link has expired", detail)


def _cookies(headers: Headers) -> tuple[list[str], list[str]]:
    """The values of our cookies, and all others as they came."""
    ours, others = [], []
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            ours.append(value)
        elif part.strip():
            others.append(part.strip())
    return ours, others
