"""A job ends even if its documents or its ZIP cannot be made: it says so, and it gives its slot back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from orchestrator.db.store import Printed
from orchestrator.jobs.finalizer import ATTEMPTS
from orchestrator.reports.documents import Api, all_of
from tests.support.answers import problem
from tests.support.record import Known, rows
from tests.support.system import System, docker, touch


def change(system: System, job: str, statement: str) -> None:
    """Change what the record has of a job, as a fault of the orchestrator would."""
    with closing(sqlite3.connect(system.record / "orchestrator.db", timeout=30)) as record, record:
        assert record.execute(statement, (job,)).rowcount


def begun(system: System) -> tuple[str, str]:
    """A job that waits for a file, and the name of its container."""
    job = system.shell("echo kept > kept.txt; echo ready; until [ -e /tmp/go ]; do sleep 0.05; done")
    system.says(job, "ready")
    return job, f"containerized-agent-{system.status(job)['sandbox']}"


@pytest.mark.parametrize("end", ["completed", "cancelled", "failed"])
def test_a_job_whose_log_cannot_be_made_ends_with_the_other_documents(
    make_system: Callable[..., System], end: str
) -> None:
    system = make_system(PACKAGE_SECONDS="5").start()
    job, container = begun(system)
    change(system, job, """UPDATE event SET data = '{"step": 1}' WHERE kind = 'output' AND job_id = ?""")
    if end == "completed":
        touch(container, "/tmp/go")
    elif end == "cancelled":
        system.cancel(job)
    else:
        docker("kill", container)
    found = system.ended(job)
    assert (found["status"], found["reason"]) == (end, "agent_lost" if end == "failed" else None)
    assert "output.log and session.ipynb could not be made in full (KeyError: 'text')." in found["detail"]
    assert system.events(job)[-1]["data"]["detail"] == found["detail"]
    artifact = system.zip(job)
    assert artifact.text("kept.txt") == "kept\n"
    assert found["detail"] in artifact.report and "step 1 of 1" in artifact.output_log


@pytest.mark.parametrize(
    ("wrong", "column", "value"),
    [("report.md", "inputs", [1]), ("report.md", "uploads", [1]), ("manifest.json", "created_at", float("inf"))],
)
def test_a_plain_report_or_manifest_takes_the_place_of_one_that_cannot_be_made(
    wrong: str, column: str, value: Any
) -> None:
    job, steps = rows(Known("job0", 0, {1: "completed"}, None))
    job.outcome = {"status": "completed", "reason": None, "detail": ""}
    setattr(job, column, value)
    sentence = f"{wrong} could not be made in full ("
    for _ in range(2):  # an agent may ask twice
        made = all_of(job, steps, iter([Printed(1, "output", {"step": 1, "text": "hello"})]), [], [], Api(1, False))
        assert sentence in made.outcome["detail"] and made.outcome["detail"].count(sentence) == 1
        assert made.outcome["status"] == made.manifest["status"] == "completed"
        assert made.outcome["detail"] == made.manifest["detail"] and sentence in made.texts["report.md"]
        assert "hello" in made.texts["output.log"] and "# Job job0" in made.texts["session.ipynb"]
        assert list(made.texts) == ["report.md", "output.log", "session.ipynb"]  # as SHA256SUMS has them


def test_a_job_whose_zip_cannot_be_made_ends_after_some_attempts(make_system: Callable[..., System]) -> None:
    system = make_system(PACKAGE_SECONDS="1", MAX_CONCURRENT_JOBS="1").start()
    job, container = begun(system)
    change(system, job, "UPDATE job SET zip_bytes = 'none' WHERE id = ?")
    waiting = system.shell("true")
    docker("kill", container)
    found = system.ended(job)
    assert (found["status"], found["reason"], found["artifact"]) == ("failed", "agent_lost", None)
    assert "exit code 137" in found["detail"]
    assert f"There is no ZIP: {ATTEMPTS} attempts to make it failed (TypeError: " in found["detail"]
    assert system.events(job)[-1]["data"]["detail"] == found["detail"]
    problem(system.http.get(f"/download/{job}"), 404, "There is no ZIP")
    assert system.log.read_text().count("closing it failed") == ATTEMPTS
    system.completed(waiting)  # the slot is free
