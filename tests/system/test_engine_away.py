"""An engine that hangs, or is away for a while, in every phase of a job: a gate stands before the real one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gate import Gate
from tests.support.system import System, docker, touch, until


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    one = Gate(tmp_path / "engine.sock")
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def gated(gate: Gate, make_system: Callable[..., System]) -> Iterator[System]:
    """A system behind the gate, which is open again when it stops."""
    yield make_system(DOCKER_HOST=gate.host).start()
    gate.release()


def cancelled_at_once(system: System, job: str) -> None:
    """Cancel a job: it has ended, with its ZIP, two seconds later."""
    asked = time.monotonic()
    system.cancel(job)
    found = system.ended(job)
    assert time.monotonic() - asked < 2
    assert (found["status"], found["reason"]) == ("cancelled", None)
    assert system.zip(job).manifest["status"] == "cancelled"


def test_a_job_waits_for_an_engine_that_hangs_and_can_be_cancelled(gated: System, gate: Gate) -> None:
    gate.hold("GET .*/images/")
    job, other = gated.shell("echo never"), gated.shell("echo later")
    found = until(lambda: (now := gated.status(job))["waiting_for"] == "engine" and now, "the job waits for the engine")
    assert f"{gate.host} does not answer within" in found["detail"]
    cancelled_at_once(gated, job)
    until(lambda: gated.log.read_text().count("jobs wait for engine") > 1, "it is looked for again")
    assert len(gate.arrived) == 1, "an engine that hangs is not asked again and again"
    gate.release()
    gated.completed(other)


@pytest.mark.parametrize("call", ["POST .*/containers/create", "POST .*/containers/[^/]*/start"])
def test_a_job_is_cancelled_while_its_container_cannot_be_started(gated: System, gate: Gate, call: str) -> None:
    gate.hold(call)
    job = gated.shell("echo never")
    until(lambda: gate.arrived, "the engine is asked for a container")
    assert gated.status(job)["phase"] == "starting"
    cancelled_at_once(gated, job)
    gate.release()
    gated.completed(gated.shell("echo later"))
    until(lambda: not gated.containers(), "the container that came too late is removed")
    assert "step_started" not in [event["event"] for event in gated.events(job)]


def test_a_running_job_is_cancelled_while_the_engine_hangs(gated: System, gate: Gate) -> None:
    job = gated.shell("echo kept > kept.txt; echo ready; sleep 600")
    gated.says(job, "ready")
    gate.hold("containers")
    cancelled_at_once(gated, job)
    assert gated.zip(job).text("kept.txt") == "kept\n"
    gate.release()
    until(lambda: not gated.containers(), "its sandbox is removed")


def test_what_the_engine_said_before_a_job_had_started_harms_it_not(gated: System, gate: Gate) -> None:
    lists = r"GET \S*/containers/json"
    gate.hold(r"POST \S*/containers/create")
    gate.stall(lists)
    job = gated.shell("echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; echo done")
    until(lambda: len(gate.arrived) == 1, "the job is about to have a container")
    gate.cut(r"GET \S*/events")
    until(lambda: len(gate.arrived) == 2, "the engine has said which containers there are")
    gate.let_in()
    gated.says(job, "ready")
    gate.release()  # and now it is heard
    asked = len(gate.seen)
    gate.cut(r"GET \S*/events")
    until(
        lambda: re.search(lists, " ".join(gate.seen[asked:])), "the next comparison has begun, so the last is through"
    )
    touch(f"containerized-agent-{gated.status(job)['sandbox']}", "/tmp/go")
    gated.completed(job)
    assert gated.output(job) == "ready\ndone\n"
    assert gated.log.read_text().count("its sandbox runs") == 1, "it was started once"


def test_jobs_go_on_while_the_engine_is_away_and_what_ended_meanwhile_is_noticed(gated: System, gate: Gate) -> None:
    job = gated.shell("echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; echo done > done.txt")
    lost = gated.shell("echo kept > kept.txt; echo ready; sleep 600")
    for one in (job, lost):
        gated.says(one, "ready")
    names = [f"containerized-agent-{gated.status(one)['sandbox']}" for one in (job, lost)]
    gate.go_away()
    later = gated.shell("echo later")
    touch(names[0], "/tmp/go")
    gated.completed(job)
    assert gated.zip(job).text("done.txt") == "done\n"
    docker("kill", names[1])
    until(lambda: gated.status(later)["waiting_for"] == "engine", "the next job waits for the engine")
    assert gated.status(lost)["status"] == "running"
    gate.release()
    assert gated.ended(lost)["reason"] == "agent_lost"
    assert gated.zip(lost).text("kept.txt") == "kept\n"
    gated.completed(later)
    until(lambda: not gated.containers(), "all sandboxes are removed")


def test_a_network_that_the_engine_makes_slowly_holds_up_no_other_job(gated: System, gate: Gate) -> None:
    job = gated.shell("echo kept > kept.txt; echo ready; sleep 600")
    gated.says(job, "ready")
    name = f"containerized-agent-{gated.status(job)['sandbox']}"
    gate.hold(r"(GET|POST) \S*/networks")
    other = gated.shell("echo later", network="internet")
    until(lambda: gate.arrived, "the engine is asked for the network of the other job")
    docker("pause", name)  # its agent does not hear of the cancellation, so the engine has to end it
    gated.cancel(job)
    assert gated.ended(job)["status"] == "cancelled"
    assert gated.status(other)["phase"] == "starting", "the network is still being made"
    gated.completed(gated.shell("echo beside it"))
    gate.release()
    gated.completed(other)
