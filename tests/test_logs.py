"""The log: a JSON object a line, with the job's id on each line that concerns a job, and no forged line."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from conftest import ROOT, System, docker, until

KEY, GEMINI, CLAUDE = "key-that-opens-all-3f1c", "gemini-key-9d27-never-told", "claude-key-41b0-never-told"

#: What would begin a line of its own, or steer the terminal of who reads, if it came out as it went in.
FORGED = (
    'x\n{"time": "2000-01-01T00:00:00.000Z", "level": "error", "message": "forged"}\r\n'
    "\x1b[2J\x1b]0;forged\x07\u2028forged\x85forged\x00"
)


@pytest.fixture(scope="module")
def logged() -> Iterator[System]:
    """A system with keys, of which all is logged."""
    one = System(
        API_KEY=KEY, GEMINI_API_KEY=GEMINI, ANTHROPIC_API_KEY=CLAUDE, LOG_LEVEL="debug", MAX_CONCURRENT_JOBS="2"
    )
    try:
        yield one.start()
    finally:
        one.close()


def lines(system: System) -> list[dict[str, Any]]:
    """The log's lines; each must be a JSON object in printable ASCII."""
    found = []
    for line in system.log.read_bytes().split(b"\n")[:-1]:
        assert re.fullmatch(rb"[ -~]*", line), line
        entry = json.loads(line)
        assert list(entry)[:4] == ["time", "level", "logger", "message"], line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]), line
        assert entry["level"] in ("debug", "info", "warning", "error", "critical"), line
        found.append(entry)
    return found


def of_job(system: System, job_id: str) -> list[dict[str, Any]]:
    return [entry for entry in lines(system) if entry.get("job") == job_id]


def said(system: System, job_id: str) -> list[str]:
    return [entry["message"] for entry in of_job(system, job_id) if entry["message"] != "call"]


def calls(system: System) -> list[dict[str, Any]]:
    return [entry for entry in lines(system) if entry["message"] == "call" and entry["logger"] == "orchestrator.api"]


# ── a job's lines ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_concerns_a_job_has_its_id_and_its_sandbox(logged: System) -> None:
    job = logged.shell("echo ready; sleep 600")
    logged.says(job, "ready")
    sandbox = logged.status(job)["sandbox"]
    logged.cancel(job)
    logged.ended(job)
    logged.http.get(f"/download/{job}")
    assert logged.http.delete(f"/jobs/{job}").status_code == 204
    until(lambda: calls(logged)[-1]["method"] == "DELETE", "the call is logged")
    assert said(logged, job) == [
        "accepted, planned by request", "its sandbox runs", "cancellation asked for in phase shell",
        "ended: cancelled", "deleted",
    ]  # fmt: skip
    of_link = [entry for entry in of_job(logged, job) if entry["logger"] == "orchestrator.link"]
    assert {entry["path"] for entry in of_link} >= {"/take", "/events", "/commands", "/outcome", "/artifact"}
    assert {entry["sandbox"] for entry in of_link} == {sandbox}
    assert [entry.get("sandbox") for entry in of_job(logged, job) if entry["message"] == "ended: cancelled"] == [
        sandbox
    ]
    asked = {(entry["method"], entry["path"]) for entry in of_job(logged, job) if entry["logger"] == "orchestrator.api"}
    assert asked >= {
        ("POST", "/schedule"), ("GET", f"/status/{job}"), ("POST", f"/cancel/{job}"), ("GET", f"/download/{job}"),
        ("DELETE", f"/jobs/{job}"), ("GET", f"/jobs/{job}/events"),
    }  # fmt: skip
    elsewhere = [entry for entry in lines(logged) if entry.get("job") != job]
    assert job not in json.dumps(elsewhere) and sandbox not in json.dumps(elsewhere)


def test_jobs_that_end_side_by_side_are_not_mixed_up(logged: System) -> None:
    jobs = [logged.shell(f"exit {number}") for number in (0, 3, 0, 3, 0)]
    ends = {job: logged.ended(job) for job in jobs}
    for job, end in ends.items():
        word = "ended: completed" if end["status"] == "completed" else "ended: failed (step_failed)"
        assert said(logged, job) == ["accepted, planned by request", "its sandbox runs", word]
    for method, path in (("GET", "/jobs"), ("GET", "/health")):
        logged.http.request(method, path)
        until(lambda path=path: calls(logged)[-1]["path"] == path, "the call is logged")
        assert "job" not in calls(logged)[-1], "a call about no job"


def test_a_call_behind_another_one_on_its_connection_is_about_its_own_job(logged: System) -> None:
    job = logged.shell("true")
    logged.ended(job)
    head = f"Host: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    both = f"GET /status/{job} HTTP/1.1\r\n{head}\r\nGET /jobs?limit=1 HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", logged.port)) as connection:
        connection.sendall(both.encode())
        while connection.recv(1 << 16):
            pass
    first, second = until(lambda: [c for c in calls(logged) if c["path"] in (f"/status/{job}", "/jobs")][-2:], "both")
    assert (first["path"], first["job"]) == (f"/status/{job}", job)
    assert second["path"] == "/jobs" and "job" not in second


def test_what_is_ended_from_outside_and_what_a_restart_finds_has_the_jobs_id(
    make_system: Callable[..., System],
) -> None:
    system = make_system(DRAIN_SECONDS="0").start()
    killed, restarted, drained = (system.shell("echo ready; sleep 600") for _ in range(3))
    for job in (killed, restarted):
        system.says(job, "ready")
    docker("kill", f"containerized-agent-{system.status(killed)['sandbox']}")
    system.ended(killed)
    assert said(system, killed)[-1] == "ended: failed (agent_lost)"
    system.says(drained, "ready")
    gone = f"containerized-agent-{system.status(restarted)['sandbox']}"
    system.kill()
    docker("rm", "-f", gone)
    system.start()
    system.ended(restarted)
    assert said(system, restarted)[-1] == "ended: failed (agent_lost)"
    system.stop()
    assert said(system, drained)[-2:] == ["cancellation asked for in phase shell", "ended: cancelled"]
    for entry in lines(system):
        about_a_job = entry["message"].startswith(("ended", "its ", "accepted", "cancellation"))
        assert ("job" in entry) == about_a_job or entry["message"] == "call", entry


# ── what nobody can do to it ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_caller_sends_can_neither_forge_a_line_nor_steer_a_terminal(logged: System) -> None:
    before = len(lines(logged))
    plain = FORGED.replace("\x00", "")
    steps = [{"kind": "shell", "title": "forged", "script": f"printf '%s' {json.dumps(plain)}; exit 1"}]
    job = logged.submit(prompt=plain, steps=steps, labels={"forged": "x"})
    logged.ended(job)
    for path in (f"/status/{quote(FORGED)}", f"/jobs/{quote(FORGED, safe='')}/events", f"/{quote(FORGED)}"):
        assert logged.http.get(path).status_code == 404
    for header in ("Last-Event-ID", "User-Agent", "Origin", "Content-Type"):
        logged.http.post("/schedule", headers={header: b"\x1b[2J forged \x85"}, content=plain.encode())
    httpx.get(f"http://127.0.0.1:{logged.port}/jobs/last", headers={"Authorization": b"Bearer \x1b[2Jforged"})
    new = lines(logged)[before:]
    assert not [entry for entry in new if entry["message"] == "forged"]
    assert any("\x1b[2J" in entry.get("path", "") for entry in new), "it is there, as data"


def test_no_secret_is_in_the_log_at_level_debug(logged: System) -> None:
    job = logged.shell("echo ready; sleep 600", network="internet")
    logged.says(job, "ready")
    sandbox = logged.status(job)["sandbox"]
    environment = json.loads(docker("inspect", "-f", "{{json .Config.Env}}", f"containerized-agent-{sandbox}"))
    (token,) = (value.partition("=")[2] for value in environment if value.startswith("LINK_TOKEN="))
    assert token.startswith(f"{sandbox}.")
    wrong = {"Authorization": "Bearer wrong-key-7a55"}
    assert httpx.get(f"http://127.0.0.1:{logged.port}/jobs", headers=wrong).status_code == 401
    logged.http.get("/jobs", params={"api_key": KEY})
    logged.cancel(job)
    logged.ended(job)
    text = logged.log.read_text()
    assert '"status": 401' in text
    for secret in (KEY, GEMINI, CLAUDE, token, token.partition(".")[2], "wrong-key-7a55"):
        assert secret not in text


# ── what is worth a line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_polls_are_not_logged_at_level_info_but_changes_and_refusals_are(make_system: Callable[..., System]) -> None:
    system = make_system(LOG_LEVEL="info", DOCKER_HOST="unix:///nonexistent.sock").start()
    job = system.submit(prompt="Hello world")
    for path in ("/health", "/", "/jobs", f"/status/{job}"):
        system.http.get(path)
    system.http.get("/status/nosuchjob")
    system.cancel(job)
    seen = until(lambda: (found := calls(system)) and found[-1]["path"] == f"/cancel/{job}" and found, "the last call")
    assert [(entry["method"], entry["path"], entry["status"], entry.get("job")) for entry in seen] == [
        ("POST", "/schedule", 202, job),
        ("GET", "/status/nosuchjob", 404, "nosuchjob"),
        ("POST", f"/cancel/{job}", 200, job),
    ]
    assert all(entry["ms"] > 0 and entry["client"] == "127.0.0.1" for entry in calls(system))


def test_a_mistake_of_ours_and_the_words_of_libraries_are_lines_like_all_others() -> None:
    program = """
import asyncio, logging, threading, warnings
from orchestrator import logs
from orchestrator.concurrency.background import Tasks
logs.begin("debug")
async def main():
    tasks = Tasks()
    async def work():
        logs.concerns("abc", "def")
        raise ValueError("first\\n\\x1b[31msecond")
    tasks.spawn(work())
    await asyncio.sleep(0.01)
    logging.getLogger("uvicorn.error").error("of %s", "a library", extra={"color_message": "\\x1b[31m"})
asyncio.run(main())
warnings.warn("take\\ncare")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = [json.loads(line) for line in run.stderr.splitlines()]
    failed, library, warned, thread = [entry for entry in entries if entry["level"] != "debug"]
    assert (failed["message"], failed["job"], failed["sandbox"]) == ("a task failed", "abc", "def")
    assert failed["exception"].startswith("Traceback") and "first\n\x1b[31msecond" in failed["exception"]
    assert (library["logger"], library["message"]) == ("uvicorn.error", "of a library")
    assert "color_message" not in library and "job" not in library
    assert warned["logger"] == "py.warnings" and "take\ncare" in warned["message"]
    assert thread["message"] == "a thread failed" and "ZeroDivisionError" in thread["exception"]
    assert not run.stdout


def test_a_person_reads_it_in_plain_lines_where_a_start_fails() -> None:
    logged = {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "error",
        "logger": "a",
        "message": 'a "task" \x1b[2J\nfailed',
    }
    lines = [
        json.dumps(logged),
        json.dumps({**logged, "job": "abc", "exception": "Traceback\n  here"}),
        "PORT: is taken",
    ]
    run = ["bash", "-c", ". scripts/common.sh; readable"]
    shown = subprocess.run(run, cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=True)
    first = '2026-01-02T03:04:05.678Z error: a "task" \\u001b[2J\n    failed'
    more = '    "job": "abc", "exception": "Traceback\n      here"'
    assert shown.stdout.splitlines() == [*first.splitlines(), *first.splitlines(), *more.splitlines(), "PORT: is taken"]
