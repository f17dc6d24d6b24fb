"""The gateway's pages: whatever a job or a caller is called, it stays text; and nothing that is missing goes unseen."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from orchestrator.gateway import pages

EVIL = """"><script>alert('1')</script><b onclick='x' & {{ 7*7 }} {% raw %} $title"""
JOB = {"title": EVIL, "id": EVIL, "phase": EVIL, "since": EVIL, "links": {EVIL: EVIL}}
MORE = {"again": False, "ended": {"id": EVIL, "status": EVIL}, "api": EVIL}

#: Every page, and what it is given.
PAGES: dict[str, dict[str, Any]] = {
    "desktop": {"password": EVIL, "mode": EVIL, "newest": EVIL, "modules": [EVIL]},
    "ended": {"newest": EVIL},
    "follow": {"job": EVIL, "newest": EVIL},
    "list": {"jobs": [JOB, JOB], "elsewhere": EVIL, "other": EVIL, "api": EVIL, "login": True},
    "login": {"next": EVIL, "wrong": True},
    "logged_in": {"lists": {EVIL: EVIL}, "api": EVIL},
    "newest": {"after": EVIL, "service": EVIL, **MORE},
    "opened": {"path": EVIL, "service": EVIL, "job": EVIL},
    "problem": {"detail": EVIL, **MORE},
}


class Reader(HTMLParser):
    """The elements of a page, its attributes, and its text, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def body(name: str, title: str, **values: Any) -> str:
    return bytes(pages.page(name, title, **values).body).decode()


def test_every_page_is_tested() -> None:
    found = {path.stem for path in Path(pages.__file__).with_name("pages").glob("*.html")}
    assert found == {*PAGES, "frame", "login_frame", "more"}


@pytest.mark.parametrize("name", PAGES)
def test_what_comes_from_a_job_or_a_caller_is_text(name: str) -> None:
    def harmless(value: Any) -> Any:
        if isinstance(value, dict):
            return {harmless(key) if key == EVIL else key: harmless(part) for key, part in value.items()}
        return [harmless(part) for part in value] if isinstance(value, list) else value and "a-harmless-text"

    found = Reader(body(name, EVIL, **PAGES[name]))
    expected = Reader(body(name, "a-harmless-text", **harmless(PAGES[name])))
    assert found.tags == expected.tags
    assert [part for part, _ in found.attributes] == [part for part, _ in expected.attributes]
    assert found.attributes == [(part, value.replace("a-harmless-text", EVIL)) for part, value in expected.attributes]
    assert found.text == expected.text.replace("a-harmless-text", EVIL)
    assert EVIL in found.text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_a_value_that_it_shows_is_an_error(name: str) -> None:
    for left_out in PAGES[name].keys() - {"ended", "api"}:
        with pytest.raises(UndefinedError):
            pages.page(name, "title", **{key: value for key, value in PAGES[name].items() if key != left_out})


@pytest.mark.parametrize("name", ["newest", "problem"])
def test_a_page_refreshes_itself_or_leads_to_the_results(name: str) -> None:
    values = {**PAGES[name], "api": "http://localhost:8000", "ended": {"id": "0123", "status": "failed"}}
    assert "refresh" not in body(name, "title", **values)
    assert 'href="http://localhost:8000/download/0123"' in body(name, "title", **values)
    values |= {"again": True, "ended": None}
    assert '<meta http-equiv="refresh" content="1">' in body(name, "title", **values)
    assert "/download/" not in body(name, "title", **values)


def test_every_page_keeps_scripts_frames_and_caches_in_bounds() -> None:
    for name, values in PAGES.items():
        headers = pages.page(name, "title", 403, {"X-More": "1"}, **values).headers
        assert headers["x-more"] == "1"
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
