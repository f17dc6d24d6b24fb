"""The pages of the live gateway. Jinja2 escapes all text from jobs and clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

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

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
)


def page(
    name: str, title: str, status: int = 200, headers: dict[str, str] | None = None, /, **values: Any
) -> HTMLResponse:
    """Render a file in ``pages/`` inside the common frame."""
    content = _TEMPLATES.get_template(f"{name}.html").render(title=title, **values)
    return HTMLResponse(content, status, {**HEADERS, **(headers or {})})
