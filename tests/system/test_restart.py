"""The orchestrator is killed and started again, in every phase of its jobs: nothing is lost, nothing is left over."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.link import Caller
from tests.support.system import FINAL, PATIENCE, ROOT, System, docker, touch, until

PING = "for i in $(seq 100); do echo $i >> beats; sleep 0.05; done; echo done"


def test_running_jobs_go_on_and_queued_ones_start_after_kill_9(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="2").start()
    running = [system.shell(f"echo ready; {PING}", outputs=["beats"]) for _ in range(2)]
    queued = [system.shell("echo later > later.txt", outputs=["later.txt"]) for _ in range(3)]
    for job in running:
        system.says(job, "ready")
    sandboxes = [system.status(job)["sandbox"] for job in running]
    system.kill()
    system.start()
    for job, sandbox in zip(running, sandboxes, strict=True):
        assert system.status(job)["sandbox"] in (sandbox, None)
    for job in running + queued:
        found = system.completed(job)
        assert not found["artifact"]["partial"]
        assert [event["id"] for event in system.events(job)] == list(range(1, len(system.events(job)) + 1))
    for job in running:
        assert system.zip(job).text("beats").split() == [str(i) for i in range(1, 101)]
        assert system.output(job) == "ready\ndone\n"
    until(lambda: not system.containers(), "all sandboxes are removed")


def test_a_job_that_ended_while_nobody_looked_is_completed(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 0.5; echo result > result.txt; echo done", outputs=["result.txt"])
    system.says(job, "ready")
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    system.kill()
    until(lambda: "bash" not in docker("top", name, "-eo", "pid,comm"), "the step has ended")
    system.start()
    system.completed(job)
    assert system.zip(job).text("result.txt") == "result\n"
    assert system.output(job) == "ready\ndone\n"


def test_kill_9_at_any_moment_leaves_no_job_without_an_ending(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="3").start()
    jobs: list[str] = []
    for delay in (0.0, 0.05, 0.12, 0.2, 0.28, 0.36, 0.45, 0.6):
        jobs += [system.shell("echo a > a; sleep 0.05; echo b", outputs=["a"]) for _ in range(2)]
        time.sleep(delay)  # the moment is what is tried here, nothing waits for it
        system.kill()
        system.start()
    for job in jobs:
        found = system.completed(job)
        artifact = system.zip(job)
        assert artifact.text("a") == "a\n" and not found["artifact"]["partial"]
        events = system.events(job)
        assert sum(event["event"] in FINAL for event in events) == 1
        assert sum(event["event"] == "step_started" for event in events) == 1, "a job ran twice"
    until(lambda: not system.containers(), "all sandboxes are removed")
    assert not list(system.record.glob("*/*.part")), "no half-written ZIP is left"


@pytest.mark.parametrize("container", ["goes on", "died"])
def test_kill_9_before_the_agents_first_word(make_system: Callable[..., System], container: str) -> None:
    system = make_system().start()
    (system.run_dir / "link/link.sock").unlink()  # the agent cannot say it
    job = system.shell("echo once", outputs=[])
    (name,) = until(system.containers, "it has a container")
    until(lambda: docker("inspect", "-f", "{{.State.Running}}", name) == "true", "its container runs")
    assert system.status(job)["phase"] == "starting"
    system.kill()
    if container == "died":
        docker("kill", name)
    system.start()
    found = system.completed(job)
    assert [event["event"] for event in system.events(job)].count("step_started") == 1
    assert system.zip(job).manifest["sandbox"] in name and not found["artifact"]["partial"]
    until(lambda: not system.containers(), "no sandbox is left")


def test_kill_9_while_the_acceptance_command_runs(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    check = "echo looked >> looked.txt; echo ready; until [ -e /tmp/go ]; do sleep 0.05; done"
    job = system.shell("echo made > made.txt", check=check)
    system.says(job, "ready")
    assert system.status(job)["phase"] == "check"
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    system.kill()
    system.start()
    touch(name, "/tmp/go")
    system.completed(job)
    assert system.zip(job).text("looked.txt") == "looked\n"


def test_kill_9_while_the_zip_is_on_the_way(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("head -c 150000000 /dev/urandom | tee large | sha256sum > sum.txt", outputs=["large"])
    until(lambda: any(part.stat().st_size for part in system.record.glob("*/*.part")), "its ZIP is on the way")
    system.kill()
    system.start()
    assert not system.completed(job)["artifact"]["partial"]
    artifact = system.zip(job)
    assert hashlib.sha256(artifact.read("workspace/large")).hexdigest() in artifact.text("sum.txt")
    assert [path.name for path in (system.record / job).iterdir()] == [f"{job}.zip"]


@pytest.mark.parametrize("container", ["goes on", "died"])
@pytest.mark.parametrize("before", ["replace", "fsync of a folder"], ids=["its name", "its final state"])
def test_kill_9_between_a_settled_end_and(make_system: Callable[..., System], before: str, container: str) -> None:
    """When all of the ZIP is there, before it has its name; and with its name, before the job has its final state."""
    system = make_system(PYTHONPATH=str(ROOT / "tests/support/hooks")).start()
    hangs = system.folder / "hangs"
    hangs.write_text(before)
    job = system.shell("echo kept > kept.txt", outputs=["kept.txt"])
    name = "*.part" if before == "replace" else "*.zip"
    with closing(sqlite3.connect(system.record / "orchestrator.db")) as record:
        settled = "SELECT sandbox_id FROM job WHERE settled_at IS NOT NULL"
        (sandbox,) = until(lambda: record.execute(settled).fetchone(), "its end is settled")
    until(lambda: list((system.record / job).glob(name)), "its ZIP is there")
    assert system.status(job)["status"] == "running"
    system.kill()
    if container == "died":
        docker("kill", f"containerized-agent-{sandbox}")
    hangs.unlink()
    system.start()
    found = system.ended(job)
    assert (found["status"], found["artifact"]["partial"]) == ("completed", False)
    salvaged = before == "replace" and container == "died"  # the half of it that was there was never the job's
    artifact = system.zip(job)
    assert artifact.manifest.get("salvaged", False) == salvaged
    assert (artifact.manifest["status"], artifact.manifest["partial"]) == ("completed", False)
    assert artifact.text("kept.txt") == "kept\n"
    assert [path.name for path in (system.record / job).iterdir()] == [f"{job}.zip"]
    until(lambda: not system.containers(), "no sandbox is left")


def test_a_cancel_that_was_asked_for_before_the_restart_is_followed(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    running = system.shell("echo kept > kept.txt; echo ready; sleep 600")
    waiting = system.shell("echo never")
    system.says(running, "ready")
    system.kill()
    with closing(sqlite3.connect(system.record / "orchestrator.db")) as record:
        record.execute("UPDATE job SET cancel_requested_at = ?", (time.time(),))
        record.commit()
    system.start()
    for job in (running, waiting):
        assert system.ended(job)["status"] == "cancelled"
    assert system.zip(running).text("kept.txt") == "kept\n"


def test_a_sandbox_that_vanished_meanwhile_is_noticed(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    system.kill()
    docker("rm", "-f", name)
    system.start()
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "agent_lost")
    assert "ready" in system.zip(job).output_log


def test_an_agent_without_its_link_gives_up_and_its_files_are_kept(make_system: Callable[..., System]) -> None:
    system = make_system(LINK_LOST_SECONDS="1").start()
    # a child that was killed for memory, and coped with, is not why the container ends; to the engine it is
    eater = "python -c 'x = []\nwhile True: x.append(bytearray(1 << 20))' || true"
    job = system.shell(f"echo kept > kept.txt; {eater}; echo ready; sleep 600", limits={"memory": "128m"})
    system.says(job, "ready")
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    system.kill()
    until(lambda: docker("inspect", "-f", "{{.State.Running}}", name) == "false", "the agent has ended")
    assert docker("inspect", "-f", "{{.State.OOMKilled}}", name) == "true"
    system.start()
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "agent_lost")
    assert "75" in found["detail"] and "link" in found["detail"]
    assert system.zip(job).text("kept.txt") == "kept\n"


LOST = "The steps were completed, but their ZIP was not: "


@pytest.mark.parametrize(
    ("said", "more", "ending", "detail"),
    [
        (("failed", "step_failed", "It failed."), "", ("failed", "step_failed"), "It failed."),
        (("completed", None, ""), "", ("completed", None), ""),
        (("completed", None, ""), "mkfifo pipe; ", ("failed", "agent_lost"), LOST),
    ],
    ids=["failed", "completed and whole", "completed and not whole"],
)
def test_a_crash_between_a_saved_zip_and_its_final_state_tells_of_that_zip(
    make_system: Callable[..., System], said: tuple[Any, ...], more: str, ending: tuple[Any, ...], detail: str
) -> None:
    """What was settled of a job is its end, unless that is ``completed`` and what its container has is not whole."""
    system = make_system().start()
    job = system.shell(f"echo kept > kept.txt; ln -s kept.txt link; {more}echo ready; sleep 600")
    system.says(job, "ready")
    packed = {"files": 77, "bytes": 1, "left_out": 5, "partial": False}
    outcome = {**dict(zip(("status", "reason", "detail"), said, strict=True)), "packed": packed}
    with Caller(system, job).http as link:
        assert link.post("/outcome", json=outcome).status_code == 200
    docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")  # before the ZIP that it told of has come
    before = system.ended(job)
    told = {name: before["artifact"][name] for name in ("files", "left_out", "partial")}
    assert told == {"files": 1, "left_out": 1 if more else 0, "partial": ending[0] != "completed"}
    until(lambda: not system.containers(), "the sandbox is removed")
    system.kill()
    with closing(sqlite3.connect(system.record / "orchestrator.db")) as record:  # as it was a moment before the end
        record.execute(
            "UPDATE job SET status = 'running', ended_at = NULL, artifact = NULL, last_event = last_event - 1, "
            "outcome = ?",
            (json.dumps({name: told for name, told in outcome.items() if name != "packed"}),),
        )
        record.execute("DELETE FROM event WHERE kind = ?", (ending[0],))
        record.commit()
    system.start()
    after = system.ended(job)
    artifact = system.zip(job)
    for found in (before, after, artifact.manifest):
        assert (found["status"], found["reason"]) == ending and found["detail"].startswith(detail)
    assert after["artifact"] == before["artifact"] and artifact.manifest["salvaged"]
    assert artifact.report.startswith(f"# Job {job} {ending[0]}")
    assert artifact.text("kept.txt") == "kept\n"


def test_a_record_that_was_deleted_leaves_no_sandbox(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    system.kill()
    subprocess.run(["rm", "-rf", str(system.record)], check=True)
    system.start()
    until(lambda: not system.containers(), "the sandbox of an unknown job is removed")
    assert system.http.get("/jobs").json()["jobs"] == []


@pytest.mark.parametrize("removed", ["the folder", "the database"])
def test_a_record_that_is_deleted_under_a_running_system_ends_it_and_the_next_start_is_new(
    make_system: Callable[..., System], removed: str
) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    shutil.rmtree(system.record) if removed == "the folder" else (system.record / "orchestrator.db").unlink()
    assert system.process and system.process.wait(30) == 1
    said = system.log.read_text().splitlines()[-1]
    assert f"The record in {system.record} was removed" in said and "Start the system again" in said
    assert "Traceback" not in system.log.read_text()
    assert not system.containers()
    system.start()
    assert system.http.get("/jobs").json()["jobs"] == []
    system.completed(system.shell("true"))


def test_a_form_that_comes_while_the_last_end_is_taken_up_keeps_its_files(make_system: Callable[..., System]) -> None:
    system = make_system(PYTHONPATH=str(ROOT / "tests/support/hooks"))
    hangs = system.folder / "hangs"
    hangs.write_text("scandir")
    system.launch()
    until((system.folder / "hanging").exists, "it looks for uploads of jobs that were never taken")
    refused, rest = threading.Event(), threading.Event()
    request = httpx.Request(
        "POST",
        "http://x/schedule",
        data={"steps": json.dumps([{"kind": "shell", "script": "cat in.txt > out.txt"}])},
        files={"files": ("in.txt", b"kept\n")},
    )
    body = request.read()

    def slowly() -> Iterator[bytes]:
        yield body[:-20]
        rest.wait(PATIENCE)
        yield body[-20:]

    def send() -> httpx.Response:
        headers = {"Content-Type": request.headers["content-type"]}
        while True:
            try:
                return system.http.post("/schedule", content=slowly(), headers=headers)
            except httpx.ConnectError:
                refused.set()
                time.sleep(0.05)

    with ThreadPoolExecutor() as pool:
        sent = pool.submit(send)
        until(lambda: refused.is_set() or list(system.record.glob("*/uploads")), "it is refused, or has begun")
        hangs.unlink()
        until(lambda: "listening on" in system.log.read_text(), "the last end is taken up")
        rest.set()
        answer = sent.result(PATIENCE)
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]
    system.completed(job)
    assert system.zip(job).text("out.txt") == "kept\n"


def test_a_container_of_somebody_else_is_left_alone(make_system: Callable[..., System]) -> None:
    system = make_system()
    labels = ["--label", "containerized-agent.sandbox=x", "--label", "containerized-agent.run-dir=/elsewhere"]
    image = system.settings["AGENT_IMAGE"]
    other = docker("run", "-d", *labels, "--entrypoint", "sleep", image, "600")
    try:
        system.start()
        system.completed(system.shell("true"))
        system.stop()
        assert docker("inspect", "-f", "{{.State.Running}}", other) == "true"
    finally:
        docker("rm", "-f", other)


def test_stopping_drains_then_cancels_and_keeps_what_waits(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="2", DRAIN_SECONDS="3").start()
    short = system.shell("echo ready; sleep 1; echo result > result.txt", outputs=["result.txt"])
    endless = system.shell("echo kept > kept.txt; echo ready; sleep 600")
    waiting = system.shell("echo later")
    for job in (short, endless):
        system.says(job, "ready")
    assert system.process
    system.process.terminate()
    refused = until(
        lambda: (
            (answer := system.http.post("/schedule", json={"steps": [{"kind": "shell", "script": "true"}]})).status_code
            == 503
            and answer
        ),
        "no job is taken any more",
    )
    assert refused.json()["type"] == "/problems/shutting-down"
    assert system.process.wait(60) == 0
    assert not system.containers()
    system.start()
    assert system.status(short)["status"] == "completed"
    system.completed(waiting)
    told_of_a_stop(system, endless)
    assert system.zip(endless).text("kept.txt") == "kept\n"
    again = system.http.post(f"/jobs/{endless}/retry").json()["job_id"]
    system.says(again, "ready")


def test_a_stop_that_was_broken_off_is_told_of_after_the_restart(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    docker("pause", name)  # so that it does not hear of its cancellation
    assert system.process
    system.process.terminate()
    with closing(sqlite3.connect(system.record / "orchestrator.db")) as record:
        asked = "SELECT 1 FROM job WHERE cancel_requested_at IS NOT NULL"
        until(lambda: record.execute(asked).fetchone(), "its cancellation is asked for")
    system.kill()
    docker("unpause", name)
    system.start()
    system.ended(job)
    told_of_a_stop(system, job)


def told_of_a_stop(system: System, job: str) -> None:
    """Check that a job's end is that of the system, wherever it is told."""
    found, artifact = system.status(job), system.zip(job)
    assert found["status"] == "cancelled" and found["cancel_requested"]
    assert found["detail"].startswith("The system was stopped") and f"POST /jobs/{job}/retry" in found["detail"]
    last = system.events(job)[-1]["data"]
    assert artifact.manifest["detail"] == last["detail"] == found["detail"] and found["detail"] in artifact.report


def test_two_orchestrators_do_not_share_a_record(make_system: Callable[..., System], tmp_path: Path) -> None:
    first = make_system(AGENT_OUTPUT_DIR=str(tmp_path / "jobs")).start()
    second = make_system(AGENT_OUTPUT_DIR=str(first.record))
    second.launch()
    assert second.process and second.process.wait(30) == 1
    assert "Another orchestrator" in second.log.read_text()
    first.completed(first.shell("true"))


@pytest.mark.parametrize("held", [5.0])
def test_a_database_that_somebody_else_holds_for_a_while_loses_nothing(
    make_system: Callable[..., System], held: float
) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 1; echo done > done.txt", outputs=["done.txt"])
    system.says(job, "ready")
    with closing(sqlite3.connect(system.record / "orchestrator.db", isolation_level=None)) as record:
        record.execute("BEGIN IMMEDIATE")
        time.sleep(held)  # the lock is held that long: this is the test
        record.execute("ROLLBACK")
    system.completed(job)
