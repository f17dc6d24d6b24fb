"""An engine, an image or a container that is not as it should be: nothing is lost, and the status says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocol.messages import VERSION
from tests.support.answers import problem
from tests.support.images import ENTRYPOINTS, LABEL, MARK, derive
from tests.support.system import IMAGE, System, docker, until

HELLO = "Hello world"


@pytest.fixture(scope="module")
def tag(engine: None) -> Iterator[str]:
    """A name for images of this module; what was built is removed at the end."""
    name = f"containerized-agent-test-{os.getpid()}"
    try:
        yield name
    finally:
        for image in docker("images", "--quiet", "--filter", f"label={MARK}").split():
            docker("rmi", "--force", image)
        assert not docker("images", "--quiet", name)


@pytest.fixture(scope="module")
def picky(tag: str) -> Iterator[System]:
    """A system whose image changes from test to test."""
    one = System(AGENT_IMAGE=f"{tag}:changing")
    try:
        yield one.start()
    finally:
        one.close()


def waits_for(system: System, job_id: str, what: str) -> dict[str, Any]:
    until(lambda: system.status(job_id)["waiting_for"] == what, f"the job waits for {what}")
    found = system.status(job_id)
    assert found["status"] == "scheduled"
    return found


def unhealthy(system: System, check: str) -> str:
    """What /health says is wrong; all else must be well."""
    answer = system.http.get("/health")
    assert answer.status_code == 503
    health = answer.json()
    assert health["status"] == "degraded"
    assert [name for name, found in health["checks"].items() if not found["ok"]] == [check]
    assert system.http.get("/").status_code == 200
    return str(health["checks"][check]["detail"])


def failed_to_start(system: System, job_id: str) -> str:
    """The detail of a job whose container never sent a message; there is a ZIP all the same."""
    found = system.ended(job_id)
    assert (found["status"], found["reason"]) == ("failed", "engine_error"), found
    archive = system.zip(job_id)
    assert archive.manifest["partial"]
    assert archive.manifest["detail"] == found["detail"]
    assert not archive.paths
    until(lambda: not system.containers(), "the container is removed")
    return str(found["detail"])


# ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_an_engine_jobs_are_taken_and_wait_and_the_status_says_what_to_do(
    make_parked: Callable[..., System],
) -> None:
    system = make_parked().start()
    job_id = system.submit(prompt=HELLO)
    found = waits_for(system, job_id, "engine")
    for text in (found["detail"], unhealthy(system, "engine")):
        assert "unix:///nonexistent.sock does not answer" in text
        assert "No such file or directory" in text
        assert "Is it started, and may we use its socket?" in text
    problem(system.http.get(f"/download/{job_id}"), 409, "is scheduled")
    ended = system.cancel(job_id).json()
    assert ended["status"] == "cancelled"
    assert set(system.zip(job_id).namelist()) == {
        "report.md",
        "manifest.json",
        "SHA256SUMS",
        "output.log",
        "session.ipynb",
    }


# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_its_image_a_job_waits_and_starts_by_itself_when_the_image_is_there(picky: System, tag: str) -> None:
    job_id = picky.submit(prompt=HELLO)
    found = waits_for(picky, job_id, "image")
    for text in (found["detail"], unhealthy(picky, "image")):
        assert f"The image {tag}:changing is not there" in text
        assert "such image" not in text, "the engine's own words only repeat it"
        assert "Build it with `make up`, or set AGENT_IMAGE" in text
    docker("tag", IMAGE, f"{tag}:changing")
    assert picky.completed(job_id)["image"] == f"{tag}:changing"
    assert picky.http.get("/health").status_code == 200


@pytest.mark.parametrize("label", [f'{LABEL}="9.9.9"', f'{LABEL}=""'])
def test_an_image_of_another_version_is_refused_with_both_versions(picky: System, tag: str, label: str) -> None:
    derive(f"{tag}:changing", f"LABEL {label}")
    job_id = picky.submit(prompt=HELLO)
    found = waits_for(picky, job_id, "image")
    for text in (found["detail"], unhealthy(picky, "image")):
        assert f"has version {'9.9.9' if '9.9.9' in label else 'none'}, the orchestrator has {VERSION}" in text
        assert "Build both with `make up`" in text
    assert picky.cancel(job_id).json()["status"] == "cancelled"


# ── the container ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_a_container_that_dies_before_a_word_the_last_lines_are_told(picky: System, tag: str) -> None:
    derive(f"{tag}:changing", f"ENTRYPOINT {ENTRYPOINTS['dies']}")
    detail = failed_to_start(picky, picky.submit(prompt=HELLO))
    assert "ended with exit code 7 before the agent sent a message" in detail
    assert "first" in detail
    assert "boom" in detail


def test_of_a_container_that_cannot_be_started_the_engines_words_are_told(picky: System, tag: str) -> None:
    derive(f"{tag}:changing", f"ENTRYPOINT {ENTRYPOINTS['missing']}")
    detail = failed_to_start(picky, picky.submit(prompt=HELLO))
    assert "In its own words" in detail
    assert "/no/such/program" in detail


@pytest.mark.parametrize(("kind", "words"), [("silent", "It printed nothing."), ("chatty", "still here")])
def test_a_container_that_says_nothing_in_time_is_given_up(
    make_system: Callable[..., System], tag: str, kind: str, words: str
) -> None:
    image = derive(f"{tag}:{kind}", f"ENTRYPOINT {ENTRYPOINTS[kind]}")
    system = make_system(AGENT_IMAGE=image, START_SECONDS="2").start()
    detail = failed_to_start(system, system.submit(prompt=HELLO))
    assert "sent no message within 2 s (START_SECONDS)" in detail
    assert words in detail


def test_a_silent_container_can_be_cancelled(picky: System, tag: str) -> None:
    derive(f"{tag}:changing", f"ENTRYPOINT {ENTRYPOINTS['silent']}")
    job_id = picky.submit(prompt=HELLO)
    until(picky.containers, "it has a container")
    picky.cancel(job_id)
    ended = picky.ended(job_id)
    assert (ended["status"], ended["reason"]) == ("cancelled", None)
    assert picky.zip(job_id).manifest["status"] == "cancelled"
    until(lambda: not picky.containers(), "the container is removed")
