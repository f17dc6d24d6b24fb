"""Whether a page of somebody else makes a browser call us: what the Origin and Fetch Metadata headers tell."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def foreign(headers: Headers) -> bool:
    """Whether a browser calls for a page of another origin than the one that it calls.

    A person may come from anywhere: an address that is opened as a page of its own is no such call. Programs send none
    of these headers.
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
