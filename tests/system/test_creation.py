"""There is one way to make a job, and a retry keeps all that was asked for."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from orchestrator.db.models import ASKED, DERIVED, PLANNED, RAN, Job, Step
from tests.support.system import ROOT, System

LIMITS = {"seconds": 61, "memory": "100m", "cpus": 0.5, "processes": 99, "zip": "9m", "calls": 3, "tokens": 999}
COMMON = {
    "outputs": ["a.txt"], "check": "test -e a.txt", "network": "internet", "labels": {"team": "blue"}, "keep_days": 2.5,
    "limits": {**LIMITS, "cost": 0.25}, "secrets": {"TOKEN": "a-token-of-mine"},
}  # fmt: skip

#: Jobs that together give a value to everything that can be asked for.
JOBS: list[dict[str, Any]] = [
    {**COMMON, "template": "csv-report", "inputs": {"title": "Sales"}, "prompt": "Report on it"},
    {**COMMON, "prompt": "Make a.txt", "model": "openai/other"},
]


@pytest.fixture(scope="module")
def with_model(no_engine: str) -> Iterator[System]:
    """A system without an engine, with a model that is never asked."""
    server = {"LLM_PROVIDER": "openai", "LLM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "first"}
    one = System(DOCKER_HOST=no_engine, LLM_MODELS="openai/other", **server)
    try:
        yield one.start()
    finally:
        one.close()


def test_every_column_says_what_was_asked_for_or_what_came_of_it() -> None:
    assert not ASKED & DERIVED and not PLANNED & RAN
    assert set(Job.model_fields) == ASKED | DERIVED, "a new column: does a retry keep it (ASKED) or not (DERIVED)?"
    assert set(Step.model_fields) == PLANNED | RAN, "a new column: is it of the plan (PLANNED) or not (RAN)?"


def test_jobs_are_made_in_one_place() -> None:
    makers = set()
    for file in (ROOT / "orchestrator").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Job":
                makers.add(file.name)
    assert makers == {"creation.py"}


def test_a_retry_keeps_all_that_was_asked_for(with_model: System) -> None:
    given: set[str] = set()
    for body in JOBS:
        first = submit(with_model, body)
        with_model.cancel(first)
        answer = with_model.http.post(f"/jobs/{first}/retry", json={"secrets": body["secrets"]})
        assert answer.status_code == 202, answer.text
        before, after = asked(with_model, first), asked(with_model, answer.json()["job_id"])
        assert before == after
        given |= {name for name, value in before.items() if value != default(name)}
    assert given == ASKED, "give each of them a value that is not its default"


def submit(system: System, body: dict[str, Any]) -> str:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    files: list[Any] = [(name, (None, text)) for name, text in texts.items()]
    answer = system.http.post("/schedule", files=[*files, ("files", ("sales.csv", b"day,sum\n1,2\n"))])
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def asked(system: System, job: str) -> dict[str, Any]:
    """What the record has of what a job was asked."""
    with closing(sqlite3.connect(system.record / "orchestrator.db")) as record:
        record.row_factory = sqlite3.Row
        row = dict(record.execute("SELECT * FROM job WHERE id = ?", (job,)).fetchone())
    texts = {name for name in ASKED if isinstance(row[name], str) and isinstance(default(name), list | dict)}
    return {name: json.loads(row[name]) if name in texts else row[name] for name in ASKED}


def default(name: str) -> Any:
    return Job.model_fields[name].get_default(call_default_factory=True)
