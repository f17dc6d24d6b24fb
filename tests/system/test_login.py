"""A browser logs in once and sees all pages; without a key, there is no login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.support.system import System
from tests.support.viewing import GATE, views

KEY = "the key of the house"


@pytest.fixture(scope="module")
def house(engine: None) -> Iterator[System]:
    one = System(API_KEY=KEY)
    try:
        yield one.start().with_gateway()
    finally:
        one.close()


def log_in(page: Page) -> None:
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Log in").click()


def downloaded(page: Page, begin: Callable[[], None], system: System, job: str) -> None:
    """Check that an action downloads the ZIP of a job."""
    with page.expect_download() as download:
        begin()
    assert download.value.suggested_filename == f"{job}.zip"
    assert Path(download.value.path()).read_bytes() == system.http.get(f"/download/{job}").content


def test_one_login_opens_the_pages_of_all_three_ports(house: System, browser: Browser) -> None:
    job = house.shell(GATE)
    house.says(job, "ready")
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{house.port}/docs")
    assert page.url.startswith(f"http://localhost:{house.port}/login?next="), "the name of the lists"
    width = "getComputedStyle(document.querySelector('main')).maxWidth"
    assert page.evaluate(width) != "none", "its policy allows its style"
    log_in(page)
    page.wait_for_url(f"http://localhost:{house.port}/docs")
    call = page.locator("#operations-Jobs-list_jobs")
    call.locator(".opblock-summary-control").click()
    call.locator(".try-out__btn").click()
    call.locator("button.execute").click()
    assert job in call.locator(".live-responses-table").inner_text(), "the page calls the API with the login"
    for port in (house.desktop_port, house.notebook_port):
        page.goto(f"http://localhost:{port}/")
        page.get_by_role("heading", name="Running jobs").wait_for()
        assert job in page.inner_text(".jobs")
    page.goto(views(house, job)["desktop"]["watch"])
    page.wait_for_selector("body[data-state=connected]")
    house.cancel(job)
    link = page.get_by_role("link", name="Download the ZIP")
    link.wait_for()
    house.ended(job)
    downloaded(page, link.click, house, job)
    page.get_by_role("link", name="its status").click()
    assert '"status":"cancelled"' in page.inner_text("body")
    page.goto(f"http://localhost:{house.notebook_port}/")
    page.get_by_role("link", name="log out").click()
    page.get_by_role("button", name="Log out").click()
    for port in (house.port, house.desktop_port, house.notebook_port):
        page.goto(f"http://localhost:{port}/{'docs' if port == house.port else ''}")
        page.get_by_role("heading", name="Log in").wait_for()
    context.close()


def test_the_end_of_a_view_leads_over_the_login_to_the_zip(house: System, browser: Browser) -> None:
    job = house.shell(GATE)
    house.says(job, "ready")
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(views(house, job)["desktop"]["watch"])
    page.wait_for_selector("body[data-state=connected]")
    house.cancel(job)
    house.ended(job)
    page.get_by_role("link", name="Download the ZIP").click()
    page.get_by_role("heading", name="Log in").wait_for()
    page.get_by_label("API key").fill("a wrong key")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()
    assert "This is not the key" in page.inner_text("main")
    downloaded(page, lambda: log_in(page), house, job)
    context.close()


def test_programs_get_errors_and_no_page(house: System) -> None:
    for accept in ("*/*", "application/json", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"):
        answer = httpx.get(f"http://localhost:{house.port}/jobs", headers={"Accept": accept})
        assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json", accept
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert httpx.post(f"http://localhost:{house.port}/schedule", headers=page).status_code == 401
    wrong = {**page, "Authorization": "Bearer wrong"}
    assert httpx.get(f"http://localhost:{house.port}/jobs", headers=wrong).status_code == 401
    for port in (house.desktop_port, house.notebook_port):
        answer = httpx.get(f"http://localhost:{port}/newest?after=x", headers=page)
        assert answer.status_code == 303 and answer.headers["location"] == "/login?next=%2Fnewest%3Fafter%3Dx"
        polls = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        answer = httpx.get(f"http://localhost:{port}/newest/link", headers=polls)
        assert answer.status_code == 401 and "www-authenticate" not in answer.headers, "no dialog of the browser"


def test_without_a_key_there_is_no_login(parked: System) -> None:
    answer = parked.http.get("/login", params={"next": "/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    answer = parked.http.post("/login", data={"key": "x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs") and "set-cookie" not in answer.headers
    assert parked.http.get("/docs", headers={"Accept": "text/html,application/xhtml+xml"}).status_code == 200
