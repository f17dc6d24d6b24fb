"""Following a job: server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from orchestrator.concurrency.notifier import Notifier
from orchestrator.db.store import Page, Store
from orchestrator.jobs.event_feed import EventFeed
from tests.support.answers import problem
from tests.support.record import Known, report, rows
from tests.support.system import FINAL, PATIENCE, System, parse_events, until

FOLLOWERS = 100


@pytest.fixture(scope="module", autouse=True)
def heartbeat(parked: System) -> Iterator[Future[str]]:
    """The first comment in the stream of a job that waits; it takes a while, so it is begun before all else."""
    job_id = parked.submit(prompt="Hello world")

    def first_comment() -> str:
        with parked.http.stream("GET", f"/jobs/{job_id}/events") as answer:
            return next(line for line in answer.iter_lines() if line.startswith(":"))

    with ThreadPoolExecutor() as pool:
        yield pool.submit(first_comment)


@pytest.fixture(scope="module")
def ended(system: System) -> dict[str, Any]:
    return system.completed(system.shell("for n in 1 2 3; do echo $n; sleep 0.3; done; echo ü >&2", check="true"))


def stream(system: System, job_id: str, query: str = "", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return system.http.get(f"/jobs/{job_id}/events{query}", headers=named)


def test_the_stream_tells_the_whole_life_of_a_job(system: System, ended: dict[str, Any]) -> None:
    answer = stream(system, ended["job_id"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in answer.headers["cache-control"]
    events = parse_events(answer.text)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["scheduled", "running"]
    assert kinds[-1] == "completed"
    assert not set(FINAL) & set(kinds[:-1])
    phases = [event["data"]["phase"] for event in events if event["event"] == "phase"]
    assert phases == ["analyze", "shell", "check", "package"]
    steps = [(event["event"], event["data"]["step"]) for event in events if event["event"].startswith("step_")]
    assert steps == [("step_started", 1), ("step_ended", 1), ("step_started", 0), ("step_ended", 0)]
    assert "".join(event["data"]["text"] for event in events if event["event"] == "output") == "1\n2\n3\nü\n"
    assert events[-1]["data"]["artifact"]["sha256"] == ended["artifact"]["sha256"]
    times = [event["data"]["at"] for event in events]
    assert times == sorted(times)


def test_a_client_that_comes_back_gets_exactly_what_it_has_missed(system: System, ended: dict[str, Any]) -> None:
    events = parse_events(stream(system, ended["job_id"]).text)
    for last in (0, 1, 5, len(events) - 1):
        by_header = parse_events(stream(system, ended["job_id"], Last_Event_ID=str(last)).text)
        assert by_header == parse_events(stream(system, ended["job_id"], f"?after={last}").text) == events[last:]
    # a browser that comes back sends the header, and the address is still the one it was first given
    assert parse_events(stream(system, ended["job_id"], "?after=2", Last_Event_ID="4").text) == events[4:]


@pytest.mark.parametrize("beyond", [0, 1, 2**62])
def test_after_the_last_event_there_is_nothing_more(system: System, ended: dict[str, Any], beyond: int) -> None:
    last = len(parse_events(stream(system, ended["job_id"]).text)) + beyond
    began = time.monotonic()
    for answer in (
        stream(system, ended["job_id"], Last_Event_ID=str(last)),
        stream(system, ended["job_id"], "?after=1", Last_Event_ID=str(last)),
        stream(system, ended["job_id"], f"?after={last}"),
    ):
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers and answer.headers["cache-control"] == "no-cache"
    assert time.monotonic() - began < 5


def test_before_its_end_a_job_has_always_more_to_tell(parked: System) -> None:
    job_id = parked.submit(prompt="Hello world")
    with parked.http.stream("GET", f"/jobs/{job_id}/events", headers={"Last-Event-ID": "99"}) as answer:
        assert answer.status_code == 200
        parked.cancel(job_id)
        assert answer.read() == b""
    events = parse_events(stream(parked, job_id).text)
    assert events[-1]["event"] == "cancelled"
    assert stream(parked, job_id, Last_Event_ID=str(len(events) - 1)).status_code == 200
    assert stream(parked, job_id, Last_Event_ID=str(len(events))).status_code == 204
    problem(parked.http.get(f"/jobs/{job_id}/events", params={"afterwards": 1}), 422, "This call accepts: after")
    parked.http.delete(f"/jobs/{job_id}")
    problem(stream(parked, job_id, Last_Event_ID=str(len(events))), 404)


@pytest.mark.parametrize("junk", ["abc", "-1", "1.5", "1e1", "0x1", "9" * 30, "1, 2", "٣"])
def test_junk_for_the_last_event_is_refused(system: System, ended: dict[str, Any], junk: str) -> None:
    answer = system.http.get(ended["links"]["events"], headers={"Last-Event-ID": junk.encode()})
    problem(answer, 422, "last-event-id: ")
    problem(system.http.get(ended["links"]["events"], params={"after": junk}), 422, "after: ")


def test_events_come_while_the_job_runs_and_the_stream_ends_with_it(system: System) -> None:
    job_id = system.shell("echo one; sleep 600")
    text, seen_running = "", False
    with system.http.stream("GET", f"/jobs/{job_id}/events") as answer:
        for part in answer.iter_text():
            text += part
            if '"text": "one' in text and not seen_running:
                assert system.status(job_id)["status"] == "running"
                seen_running = True
                system.cancel(job_id)
    events = parse_events(text)
    assert seen_running
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert "cancel_requested" in [event["event"] for event in events]
    assert events[-1]["event"] == "cancelled"
    assert events == parse_events(stream(system, job_id).text)


def test_what_a_waiting_job_waits_for_is_an_event(parked: System) -> None:
    job_id = parked.submit(prompt="Hello world")
    until(lambda: parked.status(job_id)["waiting_for"] == "engine", "the job waits for the engine")
    parked.cancel(job_id)
    events = parse_events(stream(parked, job_id).text)
    assert [event["event"] for event in events] == ["scheduled", "waiting", "cancel_requested", "cancelled"]
    assert events[1]["data"]["waiting_for"] == "engine"


def test_a_hundred_followers_do_not_slow_anybody_else(system: System) -> None:
    job_id = system.shell("echo ready; while :; do echo x; sleep 0.1; done")
    system.says(job_id, "ready")
    alone = median_of_status(system, job_id)
    followers = [follow(system, job_id) for _ in range(FOLLOWERS)]
    with ThreadPoolExecutor(FOLLOWERS) as pool:
        ends = [pool.submit(read_all, follower) for follower in followers]
        crowded = median_of_status(system, job_id)
        system.cancel(job_id)
        texts = [end.result() for end in ends]
    # not a figure, which a busy machine would make its own: followers who blocked would hold this up until their end
    assert crowded < 5, f"{alone * 1000:.0f} ms alone, {crowded * 1000:.0f} ms with {FOLLOWERS} followers"
    last = f"id: {system.events(job_id)[-1]['id']}\n"
    assert all("event: cancelled\n" in text and last in text for text in texts)


class Counting(Store):
    """A record that counts how often events are read of it."""

    reads = 0

    async def events(self, job_id: str, after: int, limit: int) -> Page:
        self.reads += 1
        return await super().events(job_id, after, limit)


def test_followers_of_a_job_share_what_is_read_and_each_is_told_all(tmp_path: Path) -> None:
    store, bell, many = Counting(tmp_path / "orchestrator.db"), Notifier(), 300
    following = EventFeed(store, bell)

    async def followed(after: int) -> list[int]:
        return [told.number async for told in following.follow("job0", after)]

    async def work() -> list[list[int]]:
        await store.add(*rows(Known("job0", 0, {1: "waiting"}, None)), 1)
        followers = [asyncio.create_task(followed(0)) for _ in range(FOLLOWERS)]
        followers += [asyncio.create_task(followed(many)) for _ in range(3)]
        await store.claim(1, {"sandbox_id": "x", "token_sha256": "x"})
        for number in range(1, many + 1):
            assert await store.record("job0", [report(number, "output", 1)]) == number
            bell.ring("job0")
            await asyncio.sleep(0)
        await store.finish("job0", "completed", {})
        bell.ring("job0")
        return await asyncio.gather(*followers)

    try:
        told = asyncio.run(work())
    finally:
        store.close()
    assert told == [list(range(1, many + 4))] * FOLLOWERS + [[many + 1, many + 2, many + 3]] * 3
    assert store.reads < 3 * many, "not for each of the followers"


def test_followers_that_go_away_leave_nothing_behind(make_parked: Callable[..., System]) -> None:
    system = make_parked().start()
    job_id = system.submit(prompt="Hello world")
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(follow(system, job_id)) for _ in range(FOLLOWERS)]
        ports = {follower.getsockname()[1] for follower in followers}
        assert ports <= peers(system)
    until(lambda: not ports & peers(system), "the connections are closed on both sides")
    assert system.cancel(job_id).json()["status"] == "cancelled"
    assert system.stop() == 0
    assert "running task" not in system.log.read_text()  # what uvicorn says of calls that did not end by themselves


def test_a_stop_ends_streams_and_waits_that_are_open(make_parked: Callable[..., System]) -> None:
    system = make_parked().start()
    job_id = system.submit(prompt="Hello world")
    with follow(system, job_id) as follower, ask(system, f"/status/{job_id}?wait=600") as wait:
        assert system.status(job_id)["status"] == "scheduled"
        began = time.monotonic()
        assert system.stop() == 0
        assert time.monotonic() - began < 4
        assert "event: scheduled\n" in read_all(follower)
        assert '"status":"scheduled"' in read_all(wait)
    assert "running task" not in system.log.read_text()


def test_a_browser_that_has_the_whole_stream_comes_no_more(
    system: System, ended: dict[str, Any], browser: Browser
) -> None:
    page = browser.new_page()
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if answer.url.endswith("/events") else None)
    page.goto(f"http://127.0.0.1:{system.port}/health")
    page.evaluate("path => { window.stream = new EventSource(path) }", ended["links"]["events"])
    page.wait_for_function("stream.readyState === EventSource.CLOSED", timeout=PATIENCE * 1000)
    assert answers == [200, 204]
    page.close()


def test_a_comment_comes_as_heartbeat_where_nothing_happens(heartbeat: Future[str]) -> None:
    assert heartbeat.result(timeout=45).startswith(":")


def ask(system: System, target: str) -> socket.socket:
    """Send a request on a connection of its own."""
    connection = socket.create_connection(("127.0.0.1", system.port), timeout=60)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return connection


def follow(system: System, job_id: str) -> socket.socket:
    """Open a stream and return when its first bytes are there."""
    connection = ask(system, f"/jobs/{job_id}/events")
    assert connection.recv(12, socket.MSG_PEEK).startswith(b"HTTP/1.1 200")
    return connection


def read_all(connection: socket.socket) -> str:
    with connection, connection.makefile("rb") as file:
        return file.read().decode()


def median_of_status(system: System, job_id: str) -> float:
    """Median seconds of a status call."""
    found = []
    for _ in range(15):
        began = time.monotonic()
        system.status(job_id)
        found.append(time.monotonic() - began)
    return statistics.median(found)


def peers(system: System) -> set[int]:
    """The ports of those who are connected with the orchestrator, as the kernel has it (proc_net_tcp)."""
    established, close_wait = "01", "08"
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        if int(local.partition(":")[2], 16) == system.port and state in (established, close_wait):
            found.add(int(remote.partition(":")[2], 16))
    return found
