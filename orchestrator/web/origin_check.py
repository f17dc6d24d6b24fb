"""Detects requests that a foreign web page made a browser send, from the Origin and Fetch Metadata headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def foreign(headers: Headers) -> bool:
    """Return whether a page of another origin caused this request.

    A link from anywhere may open an address as a page of its own. Programs send none of these headers.
    """
    site = headers.get("sec-fetch-site", "none")
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in ("none", "same-origin") and not opened:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        caller = urlsplit(origin.lower()).netloc
    except ValueError:
        caller = ""
    return not caller or caller != headers.get("host", "").lower()
