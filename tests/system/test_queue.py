"""First come, first served; as many at the same time as there are slots; none lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise

from tests.support.answers import problem
from tests.support.system import System, docker, until

HELLO = "Hello world"


def test_jobs_start_in_the_order_in_which_they_came(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    first = system.shell("echo ready; sleep 600")
    system.says(first, "ready")
    queued = [system.shell("true") for _ in range(4)]
    waiting = [system.status(job_id) for job_id in queued]
    assert [found["queue_position"] for found in waiting] == [0, 1, 2, 3]
    assert {found["waiting_for"] for found in waiting} == {"slot"}
    assert system.status(first)["queue_position"] is None
    system.cancel(queued[1])
    assert [system.status(job_id)["queue_position"] for job_id in queued] == [0, None, 1, 2]
    system.cancel(first)
    ended = [system.ended(job_id) for job_id in (first, queued[0], *queued[2:])]
    assert [found["status"] for found in ended] == ["cancelled", "completed", "completed", "completed"]
    for before, after in pairwise(ended):
        assert before["started"] < before["ended"] <= after["started"]
        waited = datetime.fromisoformat(after["started"]) - datetime.fromisoformat(before["ended"])
        assert waited.total_seconds() < 10, "it starts when the slot is free, not when the queue is looked at again"


def test_a_full_queue_refuses_one_more_and_loses_none(make_parked: Callable[..., System]) -> None:
    system = make_parked(MAX_QUEUED_JOBS="3").start()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: system.http.post("/schedule", json={"prompt": HELLO}), range(20)))
    queued = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert len(queued) == 3
    assert [answer.status_code for answer in answers].count(429) == 17
    answer = system.http.post("/schedule", json={"prompt": HELLO})
    found = problem(answer, 429, "3 jobs are waiting (MAX_QUEUED_JOBS)", "submit again later")
    assert found["type"] == "/problems/queue-full"
    assert int(answer.headers["retry-after"]) > 0
    assert {job["job_id"] for job in system.http.get("/jobs").json()["jobs"]} == queued
    system.cancel(queued.pop())
    assert system.submit(prompt=HELLO)
    assert system.http.post("/schedule", json={"prompt": HELLO}).status_code == 429


def test_fifty_jobs_at_once_are_all_done_and_never_more_than_the_slots_at_a_time(
    make_system: Callable[..., System],
) -> None:
    slots, many = 3, 50
    system = make_system(MAX_CONCURRENT_JOBS=str(slots)).start()
    label = f"label=containerized-agent.run-dir={system.run_dir}"
    most = 0

    def all_ended() -> bool:
        nonlocal most
        most = max(most, len(docker("ps", "--quiet", "--filter", label).split()))
        counts = system.http.get("/health").json()["jobs"]
        assert counts["running"] <= slots
        assert sum(counts.values()) == many
        return bool(counts["completed"] == many)

    with ThreadPoolExecutor(many) as pool:
        made = list(pool.map(lambda n: system.shell("true", labels={"n": str(n)}), range(many)))
    assert len(set(made)) == many
    until(all_ended, "all are completed", seconds=90)
    assert 1 <= most <= 2 * slots, "an ended job's container may go when the next one's is there already"
    page = system.http.get("/jobs", params={"limit": 500}).json()["jobs"]
    assert {job["job_id"] for job in page} == set(made)
    ended = [system.status(job_id) for job_id in made]
    assert all(found["artifact"] and not found["artifact"]["partial"] for found in ended)
    moments = sorted([(found["started"], 1) for found in ended] + [(found["ended"], -1) for found in ended])
    at_once = 0
    for _, change in moments:
        at_once += change
        assert at_once <= slots
