"""The pages of the live gateway. Text from jobs and clients is escaped when it is inserted."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent / "pages"

#: Scripts and styles come only from the gateway's own files. Inserted text can neither run nor load anything.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Markup(str):
    """Text that is HTML already."""


def page(
    name: str, title: str, status: int = 200, headers: dict[str, str] | None = None, /, **values: Any
) -> HTMLResponse:
    """Render a file in ``pages/`` inside the common frame."""
    content = fill(name, title=title, **values)
    return HTMLResponse(fill("frame", title=title, content=content), status, {**HEADERS, **(headers or {})})


def fill(name: str, /, **values: Any) -> Markup:
    """Insert values into a file in ``pages/``."""
    texts = {key: value if isinstance(value, Markup) else escape(str(value)) for key, value in values.items()}
    return Markup(_template(name).substitute(texts))


@cache
def _template(name: str) -> Template:
    return Template((FOLDER / f"{name}.html").read_text())
