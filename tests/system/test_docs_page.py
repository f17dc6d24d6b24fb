"""The page /docs in a browser: its forms can be submitted as they are, and its examples run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from orchestrator.api.schemas import EXAMPLES, TEXT_FIELDS, ScheduleForm
from tests.support.system import System

#: The names of all calls in clients that are generated from the document.
OPERATIONS = {
    "submit_job", "list_jobs", "get_job", "get_status", "cancel_job", "retry_job", "delete_job", "follow_events",
    "get_log", "get_notebook", "list_files", "get_file", "download_zip", "check_zip", "list_templates", "get_template",
    "get_health", "get_home", "get_liveness",
}  # fmt: skip


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 2000})
    yield context.new_page()
    context.close()


def submit_job(page: Page, system: System) -> Locator:
    """Open the call that submits a job, ready to be tried, with an end that it waits for."""
    page.goto(f"{system.http.base_url}/docs")
    call = page.locator(".opblock", has=page.locator('[data-path="/schedule"]'))
    call.locator(".opblock-summary-control").click()
    call.locator(".try-out__btn").click()
    return call


def executed(call: Locator) -> tuple[int, dict[str, Any]]:
    """Execute a call and return its status and its JSON."""
    call.locator("button.execute").click()
    live = call.locator(".live-responses-table")
    live.wait_for()
    status = int(live.locator("tbody .response-col_status").first.inner_text().split()[0])
    return status, json.loads(live.locator(".highlight-code code").first.inner_text())


def test_every_call_has_a_plain_name_and_a_tag(system: System) -> None:
    paths = system.http.get("/openapi.json").json()["paths"]
    operations = [operation for item in paths.values() for operation in item.values()]
    assert {operation["operationId"] for operation in operations} == OPERATIONS
    assert len(operations) == len(OPERATIONS)
    assert {tuple(operation["tags"]) for operation in operations} == {("Jobs",), ("Results",), ("System",)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_of_the_page_runs_as_it_is(system: System, page: Page, name: str) -> None:
    call = submit_job(page, system)
    call.locator(".examples-select-element").first.select_option(label=name)
    status, found = executed(call)
    assert status == 202, found
    system.completed(found["job_id"])


def form(call: Locator) -> dict[str, Locator]:
    """Choose the form, and return its rows by the names of their fields."""
    call.locator(".opblock-section-request-body select").first.select_option("multipart/form-data")
    rows = call.locator(".opblock-section-request-body tr.parameters").all()
    return {re.split(r"\W", row.locator(".parameter__name").inner_text())[0]: row for row in rows}


def test_the_form_of_the_page_has_a_text_for_each_field_and_no_null(system: System, page: Page) -> None:
    rows = form(submit_job(page, system))
    assert rows.keys() == ScheduleForm.model_fields.keys()
    assert set(TEXT_FIELDS) < rows.keys()
    for name, row in rows.items():
        assert row.locator("input[type=file]").count() == 0, f"{name} is a file"
        values = [field.input_value() for field in row.locator("input[type=text], textarea, select").all()]
        assert values == ([] if name == "files" else [EXAMPLES["A prompt"]["prompt"] if name == "prompt" else ""]), name


def test_the_form_of_the_page_can_be_submitted_as_it_is(system: System, page: Page) -> None:
    call = submit_job(page, system)
    form(call)
    status, found = executed(call)
    assert status == 202, found
    system.completed(found["job_id"])


def test_the_form_of_the_page_sends_files_and_json(system: System, page: Page, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"name\n{name}\n")
    call = submit_job(page, system)
    rows = form(call)
    rows["prompt"].locator("input[type=text]").fill("")
    rows["steps"].locator("input[type=text]").fill('[{"kind": "shell", "script": "cat *.csv > all.txt"}]')
    rows["outputs"].locator("input[type=text]").fill('["all.txt"]')
    rows["keep_days"].locator("input[type=text]").fill("2")
    for number, name in enumerate(("a.csv", "b.csv")):
        rows["files"].get_by_role("button", name="Add").click()
        rows["files"].locator("input[type=file]").nth(number).set_input_files(tmp_path / name)
    status, found = executed(call)
    assert status == 202, found
    assert [upload["name"] for upload in found["uploads"]] == ["a.csv", "b.csv"]
    system.completed(found["job_id"])
    assert system.zip(found["job_id"]).text("all.txt") == "name\na.csv\nname\nb.csv\n"


def test_an_empty_field_of_a_form_counts_as_missing(parked: System) -> None:
    empty = {name: (None, "") for name in ScheduleForm.model_fields}
    answer = parked.http.post("/schedule", files={**empty, "prompt": (None, "Hello world")})
    assert answer.status_code == 202 and answer.json()["planned_by"] == "template:hello-world", answer.text
    answer = parked.http.post("/schedule", files=empty)
    assert answer.status_code == 422 and "prompt, steps and template are missing" in answer.json()["detail"]
    answer = parked.http.post("/schedule", files={"prompt": (None, "Hello world"), "promt": (None, "")})
    assert answer.status_code == 422 and "did you mean prompt?" in answer.json()["detail"]


def test_a_json_field_of_a_form_may_be_a_blob_of_a_page(parked: System) -> None:
    steps = ("blob", '[{"kind": "shell", "script": "true"}]', "application/json")
    answer = parked.http.post("/schedule", files={"steps": steps, "limits": ("blob", "", "application/json")})
    assert answer.status_code == 202 and answer.json()["planned_by"] == "request", answer.text
