"""Submit, status, list and cancel, as any client calls them."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator.server import listen
from orchestrator.settings import Settings
from tests.support.answers import problem, raw
from tests.support.system import System, free_port, until

HELLO = "Hello world"
ENDLESS = "echo ready; sleep 600"

#: What people and scanners put where an id belongs, as it stands in the request line.
HOSTILE = [
    "../../etc",
    "..%2F..%2Fetc%2Fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%00",
    "a%00b",
    "a%0d%0aX-Injected:%20yes",
    "x" * 10_000,
    quote("ünïcödé 😀"),
    "%ff%fe",
    quote("' OR '1'='1"),
    quote("'; DROP TABLE job; --"),
    quote('"}<script>alert(1)</script>'),
    "%25s%25n",
    "0",
    "-1",
    "null",
    "*",
    ".zip",
]


def ids(system: System, **query: Any) -> list[str]:
    answer = system.http.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["jobs"]]


# ── submit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plain_curl_without_a_content_type_submits_a_job(system: System) -> None:
    url = f"{system.http.base_url}/schedule?wait=60"
    body = json.dumps({"prompt": HELLO})
    curl = subprocess.run(["curl", "-sS", "-d", body, url], capture_output=True, check=True)
    assert json.loads(curl.stdout)["status"] == "completed"


def test_a_submitted_job_is_answered_with_202_and_where_it_is(parked: System) -> None:
    answer = parked.http.post("/schedule", json={"prompt": HELLO, "labels": {"team": "a", "n": ""}, "check": "true"})
    assert answer.status_code == 202
    found = answer.json()
    job_id = found["job_id"]
    assert answer.headers["location"] == f"/status/{job_id}"
    assert found["links"] == {
        "status": f"/status/{job_id}",
        "events": f"/jobs/{job_id}/events",
        "log": f"/jobs/{job_id}/log",
        "files": f"/jobs/{job_id}/files",
        "notebook": f"/jobs/{job_id}/notebook",
        "cancel": f"/cancel/{job_id}",
        "download": f"/download/{job_id}",
    }
    assert found["status"] == "scheduled"
    assert (found["prompt"], found["labels"]) == (HELLO, {"team": "a", "n": ""})
    assert found["progress"] == {"done": 0, "of": 2}
    assert [step["status"] for step in found["steps"]] == ["waiting", "waiting"]
    assert found["check"]["status"] == "waiting"
    ours = {"seconds": 600.0, "memory": 2**30, "cpus": 1.0, "processes": 256, "zip": 2**30}
    assert found["limits"] == {**ours, "calls": 20, "tokens": 500_000, "cost": 1.0}
    assert found["network"] == "none"
    assert found["artifact"] is None
    assert parked.status(job_id)["created"] == found["created"]


def test_limits_are_taken_as_given(parked: System) -> None:
    wanted = {
        "seconds": 5,
        "memory": "64m",
        "cpus": 0.5,
        "processes": 32,
        "zip": "64K",
        "calls": 3,
        "tokens": 9,
        "cost": 0.5,
    }
    answer = parked.http.post("/schedule", json={"prompt": HELLO, "limits": wanted, "network": "internet"})
    assert answer.json()["limits"] == {**wanted, "memory": 2**26, "zip": 2**16}
    assert answer.json()["network"] == "internet"


def test_the_longest_prompt_is_taken_whole(parked: System) -> None:
    code = "```bash\n" + "#" * (100_000 - 12) + "\n```"
    assert parked.status(parked.submit(prompt=code))["prompt"] == code


def test_with_wait_the_answer_is_200_when_the_job_has_ended(system: System) -> None:
    answer = system.http.post("/schedule", params={"wait": 60}, json={"prompt": HELLO})
    assert answer.status_code == 200
    found = answer.json()
    assert answer.headers["location"] == f"/status/{found['job_id']}"
    assert (found["status"], found["progress"]) == ("completed", {"done": 2, "of": 2})
    assert found["artifact"]["sha256"]
    assert all(found["timings"][part] is not None for part in ("queued", "starting", "working", "packaging", "total"))


def test_with_a_wait_that_is_too_short_the_answer_is_202(parked: System) -> None:
    began = time.monotonic()
    answer = parked.http.post("/schedule", params={"wait": 0.3}, json={"prompt": HELLO})
    assert answer.status_code == 202
    assert answer.json()["status"] == "scheduled"
    assert time.monotonic() - began >= 0.3


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wait_ends_when_the_job_does_and_not_before(parked: System) -> None:
    job_id = parked.submit(prompt=HELLO)
    with ThreadPoolExecutor() as pool:
        wait = pool.submit(lambda: (parked.http.get(f"/status/{job_id}", params={"wait": 50}), time.monotonic()))
        assert parked.http.get(f"/status/{job_id}", params={"wait": 0.5}).json()["status"] == "scheduled"
        assert not wait.done()
        asked = time.monotonic()
        parked.cancel(job_id)
        answer, ended = wait.result()
    assert answer.json()["status"] == "cancelled"
    assert asked <= ended < asked + 10


def test_a_wait_for_an_ended_job_answers_at_once(parked: System) -> None:
    job_id = parked.submit(prompt=HELLO)
    parked.cancel(job_id)
    began = time.monotonic()
    assert parked.http.get(f"/status/{job_id}", params={"wait": 600}).json()["status"] == "cancelled"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("wait", ["-1", "601", "soon", "NaN"])
def test_a_wait_out_of_range_is_refused(parked: System, wait: str) -> None:
    job_id = parked.submit(prompt=HELLO)
    problem(parked.http.get(f"/status/{job_id}", params={"wait": wait}), 422, "wait: ")


def test_an_unknown_id_is_said_to_be_unknown(parked: System) -> None:
    calls = ("GET /status/{}", "POST /cancel/{}", "GET /download/{}", "GET /download/{}.zip", "GET /jobs/{}/events")
    for call in calls:
        method, path = call.format("0123456789abcdef").split()
        found = problem(parked.http.request(method, path), 404, "0123456789abcdef", "GET /jobs")
        assert found["type"] == "/problems/no-such-job", call


@pytest.mark.parametrize("hostile", HOSTILE, ids=[text[:30] for text in HOSTILE])
def test_a_hostile_id_is_just_an_unknown_one(parked: System, hostile: str) -> None:
    calls = ("GET /status/{}", "POST /cancel/{}", "GET /download/{}", "GET /download/{}.zip", "GET /jobs/{}/events")
    for call in calls:
        method, path = call.format(hostile).split(" ", 1)
        answer = raw(parked, method, path)
        problem(answer, 404)
        assert len(answer.content) < 1_000, call
        assert "x-injected" not in answer.headers


def test_answers_are_not_held_back_on_a_kept_connection() -> None:
    """asyncio switches Nagle off where the socket names its protocol; else a body waits 40 ms for the head's ACK."""
    with listen(Settings(port=free_port())) as listening:
        assert listening.proto == socket.IPPROTO_TCP


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_newest_first(parked: System) -> None:
    made = [parked.submit(prompt=HELLO, labels={"run": "order"}) for _ in range(3)]
    listed = parked.http.get("/jobs", params={"label": "run=order"}).json()["jobs"]
    assert [job["job_id"] for job in listed] == made[::-1]
    assert listed[0]["links"]["status"] == f"/status/{made[-1]}"
    assert (listed[0]["prompt"], listed[0]["status"]) == (HELLO, "scheduled")


def test_jobs_are_filtered_by_one_status_or_several(parked: System) -> None:
    waiting, cancelled = (parked.submit(prompt=HELLO, labels={"run": "status"}) for _ in range(2))
    parked.cancel(cancelled)
    assert ids(parked, label="run=status", status="scheduled") == [waiting]
    assert ids(parked, label="run=status", status="cancelled") == [cancelled]
    assert ids(parked, label="run=status", status=["scheduled", "cancelled"]) == [cancelled, waiting]
    assert ids(parked, label="run=status", status="completed") == []


def test_jobs_are_filtered_by_all_labels_given(parked: System) -> None:
    red = parked.submit(prompt=HELLO, labels={"run": "labels", "colour": "red", "a.b/c-d_e": "x=y"})
    blue = parked.submit(prompt=HELLO, labels={"run": "labels", "colour": "blue", "empty": ""})
    assert ids(parked, label="run=labels") == [blue, red]
    assert ids(parked, label=["run=labels", "colour=red"]) == [red]
    assert ids(parked, label=["colour=red", "colour=blue"]) == []
    assert ids(parked, label="a.b/c-d_e=x=y") == [red]
    assert ids(parked, label="empty=") == [blue]
    assert ids(parked, label="run=label%") == []
    assert ids(parked, label="' OR '1'='1=x") == []


def test_pages_have_no_gap_and_no_double_while_new_jobs_arrive(parked: System) -> None:
    made = [parked.submit(prompt=HELLO, labels={"run": "pages"}) for _ in range(11)]
    query: dict[str, Any] = {"label": "run=pages", "limit": 3}
    pages = []
    while not pages or query["cursor"]:
        page = parked.http.get("/jobs", params=query).json()
        pages.append([job["job_id"] for job in page["jobs"]])
        query["cursor"] = page["next_cursor"]
        parked.submit(prompt=HELLO, labels={"run": "pages"})
    assert list(chain.from_iterable(pages)) == made[::-1]
    assert [len(page) for page in pages] == [3, 3, 3, 2]


def test_a_last_page_that_is_full_is_known_to_be_the_last(parked: System) -> None:
    made = [parked.submit(prompt=HELLO, labels={"run": "full"}) for _ in range(2)]
    page = parked.http.get("/jobs", params={"label": "run=full", "limit": 2}).json()
    assert [job["job_id"] for job in page["jobs"]] == made[::-1]
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "limit: "), ("limit=501", "limit: "), ("limit=many", "limit: "),
        ("cursor=x", "cursor: "), ("cursor=-1", "cursor: "), ("cursor=", "cursor: "),
        ("cursor=9999999999999999999", "cursor: "),
        ("label=x", "name=value"), ("label=", "name=value"), ("&".join(["label=a=b"] * 9), "label: "),
        ("status=done", "'scheduled'"), ("status=", "'scheduled'"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_had_is_refused_with_the_parameter(parked: System, query: str, words: str) -> None:
    problem(parked.http.get(f"/jobs?{query}"), 422, words)


@pytest.mark.parametrize("query", ["cursor=0", "cursor=999999999999999999", "limit=1", "limit=500", "label=%00=%00"])
def test_the_bounds_of_a_list_are_taken(parked: System, query: str) -> None:
    assert parked.http.get(f"/jobs?{query}").status_code == 200


def test_a_parameter_that_a_call_does_not_have_is_refused_with_those_that_it_has(parked: System) -> None:
    job_id = parked.submit(prompt=HELLO)
    for call, has in {
        "POST /schedule?wiat=3": "fail, wait",
        "GET /jobs?state=completed": "cursor, label, limit, status",
        f"GET /status/{job_id}?wait=0&wiat=3": "fail, wait",
        f"POST /cancel/{job_id}?force=1": "none",
        f"GET /download/{job_id}?v=2": "none",
        f"GET /jobs/{job_id}/events?since=3": "after",
        "GET /health?deep=1": "full",
    }.items():
        method, path = call.split()
        name = path.partition("?")[2].split("&")[-1].partition("=")[0]
        answer = parked.http.request(method, path, json={"prompt": HELLO} if method == "POST" else None)
        problem(answer, 422, f"{name}: unknown parameter. This call accepts: {has}.")
    assert parked.status(job_id)["status"] == "scheduled"
    assert ids(parked, limit=1) == [job_id]


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_running_job_is_cancelled_and_cancelling_it_again_changes_nothing(system: System) -> None:
    job_id = system.shell(ENDLESS)
    system.says(job_id, "ready")
    first, second = system.cancel(job_id), system.cancel(job_id)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["cancel_requested"]
    ended = system.ended(job_id)
    assert (ended["status"], ended["reason"]) == ("cancelled", None)
    assert ended["artifact"]["partial"]
    assert [event["event"] for event in system.events(job_id)].count("cancel_requested") == 1
    assert system.cancel(job_id).json() == ended


def test_a_completed_job_cannot_be_cancelled_any_more(system: System) -> None:
    ended = system.run(prompt=HELLO)
    assert system.cancel(ended["job_id"]).json() == ended
    assert not system.status(ended["job_id"])["cancel_requested"]


def test_a_queued_job_is_cancelled_with_a_zip_of_report_and_manifest(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    first = system.shell(ENDLESS)
    until(lambda: system.status(first)["status"] == "running", "the first job runs")
    queued = system.submit(prompt=HELLO)
    ended = system.cancel(queued).json()
    assert (ended["status"], ended["started"], ended["sandbox"]) == ("cancelled", None, None)
    assert ended["detail"] == "The job was cancelled before it started."
    assert [step["status"] for step in ended["steps"]] == ["skipped", "skipped"]
    archive = system.zip(queued)
    assert set(archive.namelist()) == {"report.md", "manifest.json", "SHA256SUMS", "output.log", "session.ipynb"}
    assert archive.manifest["partial"]
    assert archive.manifest["status"] == "cancelled"
    assert archive.left_out == {".": "the job never had a container"}
    assert "cancelled" in archive.report and "No container was started." in archive.report
    assert "| skipped |" in archive.report and "None" not in archive.report
    assert system.cancel(queued).json() == ended
    assert system.status(first)["status"] == "running"
