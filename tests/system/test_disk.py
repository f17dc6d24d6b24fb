"""The disk of the record: nothing on the event loop waits for it, and one that hangs is told of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.db.disk_reserve import SPARE_BYTES
from tests.support.answers import problem
from tests.support.disk import fill
from tests.support.providers import Asked, OpenAIServer, Turn
from tests.support.system import ROOT, System, docker, touch, until

HOOKS = str(ROOT / "tests/support/hooks")


@pytest.fixture
def hooked(make_system: Callable[..., System]) -> System:
    """A system that tells what it asks the disk for on its event loop."""
    return make_system(PYTHONPATH=HOOKS).start()


def kill(system: System, job: str) -> None:
    docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")


def test_nothing_on_the_event_loop_asks_the_disk_for_anything(hooked: System) -> None:
    done = hooked.completed(hooked.shell("echo hello > a.txt", outputs=["a.txt"]))["job_id"]
    hooked.zip(done)
    for path in ("files", "files/a.txt"):
        assert hooked.http.get(f"/jobs/{done}/{path}").status_code == 200
    form = [("prompt", (None, "```bash\ncat x\n```")), ("files", ("x", b"abc"))]
    uploaded = hooked.http.post("/schedule", files=form).json()["job_id"]
    hooked.completed(uploaded)
    hooked.completed(hooked.http.post(f"/jobs/{uploaded}/retry").json()["job_id"])
    hooked.completed(hooked.submit(template="csv-report"))  # with its sample
    hooked.completed(hooked.shell("true", secrets={"TOKEN": "a-token-of-mine"}))
    killed, cancelled = (hooked.shell("echo ready; sleep 600") for _ in range(2))
    for job, end in ((killed, kill), (cancelled, System.cancel)):
        hooked.says(job, "ready")
        end(hooked, job)
        hooked.ended(job)
    assert hooked.http.delete(f"/jobs/{cancelled}").status_code == 204
    assert hooked.http.get("/health?full").status_code == 200
    wrong = hooked.http.post("/schedule", files=[("promt", (None, "x")), ("files", ("x", b"abc"))])
    assert wrong.status_code == 422
    assert hooked.stop() == 0
    assert "ON THE LOOP" not in hooked.log.read_text()


def test_a_zip_that_breaks_off_is_removed_beside_the_event_loop(hooked: System) -> None:
    job = hooked.shell("head -c 60000000 /dev/urandom > large", limits={"zip": "64m"})
    parts = until(lambda: list(hooked.record.glob("*/*.part")), "its ZIP is on the way")
    kill(hooked, job)
    assert hooked.ended(job)["artifact"]["partial"]
    assert not any(part.exists() for part in parts)
    assert "ON THE LOOP" not in hooked.log.read_text()


def test_a_disk_that_hangs_is_told_of_and_holds_up_nothing_else(hooked: System) -> None:
    hangs = hooked.folder / "hangs"
    hangs.write_text("statvfs")
    try:
        job = hooked.shell("echo later")
        answer = hooked.http.get("/health")
        assert answer.status_code == 503
        assert "does not answer within" in answer.json()["checks"]["disk"]["detail"]
        until(lambda: hooked.status(job)["waiting_for"] == "disk", "the job waits for the disk")
        assert "does not answer within" in hooked.status(job)["detail"]
        asked = time.monotonic()
        assert hooked.http.get("/jobs").status_code == 200
        assert time.monotonic() - asked < 2
    finally:
        hangs.unlink()
    hooked.completed(job)


def test_a_disk_without_any_room_is_told_of_and_jobs_go_on_when_there_is_some(
    make_system: Callable[..., System], small_disk: Path
) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="1m").start()
    job = system.shell("echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; echo kept > kept.txt")
    system.says(job, "ready")
    filler = fill(small_disk)
    answer = system.http.post("/schedule", json={"prompt": "Hello world"})
    found = problem(answer, 507, f"the disk of {system.record} is full", "Make room")
    assert found["type"] == "/problems/disk-full"
    assert system.http.get("/health").status_code == 503
    touch(f"containerized-agent-{system.status(job)['sandbox']}", "/tmp/go")
    refused = '"path": "/events", "status": 503'
    until(lambda: refused in system.log.read_text(), "the agent cannot say how its step ended")
    assert system.status(job)["status"] == "running"
    filler.unlink()
    system.completed(job)
    assert system.zip(job).text("kept.txt") == "kept\n"
    assert "Traceback" not in system.log.read_text()
    system.close()
    system.process = None


def test_an_answer_of_a_model_waits_for_room(make_system: Callable[..., System], small_disk: Path) -> None:
    full = threading.Event()

    def answer(asked: Asked) -> Turn:
        if asked is server.asked[0]:
            full.wait(20)
            return Turn({"missing": "", "steps": [step], "outputs": ["a.txt"], "check": ""})
        return Turn({"accept": True, "summary": "Done.", "steps": []})

    step = {"kind": "shell", "title": "", "source": "echo hi > a.txt", "path": ""}
    with OpenAIServer(answer) as server:
        settings = {
            **server.settings,
            "AGENT_OUTPUT_DIR": str(small_disk / "jobs"),
            "DISK_RESERVE": "1m",
            "REVIEW": "always",
        }
        system = make_system(**settings).start()
        job = system.submit(prompt="Say hi")
        until(lambda: server.asked, "the model is asked")
        filler = fill(small_disk)
        full.set()
        until(lambda: "waits until it can be stored" in system.log.read_text(), "its answer finds no room")
        assert system.status(job)["status"] == "running"
        filler.unlink()
        found = system.completed(job)
        assert (found["usage"]["calls"], len(server.asked)) == (2, 2)
        system.close()
        system.process = None


def test_on_a_disk_without_any_room_jobs_can_be_cancelled_and_deleted(
    make_system: Callable[..., System], small_disk: Path
) -> None:
    settings = {"AGENT_OUTPUT_DIR": str(small_disk / "jobs"), "DISK_RESERVE": "40m", "MAX_CONCURRENT_JOBS": "2"}
    system = make_system(**settings).start()
    spare = system.record / "orchestrator.spare"
    assert spare.stat().st_blocks * 512 >= SPARE_BYTES
    done = system.completed(system.shell("echo done > done.txt"))["job_id"]
    goes_on = system.shell("echo ready; sleep 600")
    stubborn = system.shell("trap '' TERM; head -c 1000000 /dev/urandom > large; echo ready; sleep 600 & wait")
    queued = system.shell("true")
    for job in (goes_on, stubborn):
        system.says(job, "ready")
    filler = fill(small_disk)
    sandbox = system.status(stubborn)["sandbox"]
    for job in (queued, stubborn):
        assert system.cancel(job).status_code == 200
        assert system.ended(job)["status"] == "cancelled"
    (left_out,) = system.zip(stubborn).manifest["left_out"]
    assert left_out["path"] in ("workspace/large", "workspace/.") and left_out["reason"] == "the host's disk is full"
    until(lambda: not any(sandbox in name for name in system.containers()), "its sandbox has gone, and its files")
    system.kill()
    system.start()  # and it knows what it has given up
    assert not spare.exists()
    for job in (queued, done):
        assert system.http.delete(f"/jobs/{job}").status_code == 204
    assert not (system.record / done).exists()
    problem(system.http.post("/schedule", json={"prompt": "Hello world"}), 507, "Make room")
    assert system.status(goes_on)["status"] == "running"
    filler.unlink()
    until(lambda: system.http.post("/schedule", json={"prompt": "Hello world"}).status_code == 202, "there is room")
    assert spare.stat().st_blocks * 512 >= SPARE_BYTES
    system.cancel(goes_on)
    assert system.ended(goes_on)["artifact"]
    system.close()
    system.process = None


@pytest.mark.parametrize("end", ["by itself", "cancelled"])
def test_where_no_zip_can_be_written_the_status_says_so(hooked: System, end: str) -> None:
    job = hooked.shell("echo ready; until [ -e /tmp/go ]; do sleep 0.05; done")
    hooked.says(job, "ready")
    (hooked.record / job).touch()  # where its folder would be
    if end == "cancelled":
        hooked.cancel(job)
    else:
        touch(f"containerized-agent-{hooked.status(job)['sandbox']}", "/tmp/go")
    found = hooked.ended(job)
    assert (found["status"], found["artifact"]) == ("failed" if end == "by itself" else "cancelled", None)
    assert "There is no ZIP: The ZIP could not be written to" in found["detail"] and "File exists" in found["detail"]
    problem(hooked.http.get(f"/download/{job}"), 404, "There is no ZIP of job", "could not be written")
    until(lambda: not hooked.containers(), "the sandbox is removed")


def test_what_is_saved_of_many_dead_sandboxes_at_once_holds_up_no_other_job(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    from tests.support.gate import Gate

    many = 8
    gate = Gate(tmp_path / "engine.sock")
    system = make_system(DOCKER_HOST=gate.host, MAX_CONCURRENT_JOBS=str(many + 1)).start()
    try:
        dead = [
            system.shell(f"echo {n} > kept.txt; echo ready; sleep 600", labels={"dead": "yes"}) for n in range(many)
        ]
        for job in dead:
            system.says(job, "ready")
        gate.stall("GET .*/archive")
        for job in dead:
            kill(system, job)
        until(lambda: len(gate.arrived) == many, "all of them are being saved")
        system.completed(system.shell("echo alive"))
        assert {system.status(job)["status"] for job in dead} == {"running"}
    finally:
        gate.release()
    for n, job in enumerate(dead):
        assert system.ended(job)["reason"] == "agent_lost"
        assert system.zip(job).text("kept.txt") == f"{n}\n"
    system.stop()
    gate.close()
