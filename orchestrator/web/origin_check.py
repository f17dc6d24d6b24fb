"""Detects requests that a foreign web page made a browser send, from the Origin and Fetch Metadata headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def foreign(headers: Headers, public: str = "") -> bool:
    """Return whether a page of another origin caused this request.

    ``public`` is our own origin behind a proxy. The proxy may change the ``Host`` header. A page that came without TLS
    is foreign even if its host is ours.

    A link from anywhere may open an address as a page of its own. Programs send none of these headers.
    """
    site = headers.get("sec-fetch-site", "none")
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in ("none", "same-origin") and not opened:
        return True
    origin, host = headers.get("origin"), headers.get("host", "").lower()
    if origin is None or (public and origin.lower() == public):
        return False
    try:
        caller, ours = urlsplit(origin.lower()).netloc, urlsplit(public)
    except ValueError:
        caller = ""
    return not caller or caller != host or (public != "" and host in (ours.netloc, ours.hostname))
