"""The event loop goes on while something long is made: what stops it stops every other call too.

The longest stall is compared with the time that the same work takes on this machine at this moment, because any fixed
number of seconds would be too short on a busy one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from orchestrator.api.context import Context
from orchestrator.app import create_app
from orchestrator.concurrency.notifier import Notifier
from orchestrator.db.store import Store
from orchestrator.diagnosis.run import Diagnosis
from orchestrator.engines.base import Engine
from orchestrator.files.job_files import JobFiles
from orchestrator.gateway.login import Login
from orchestrator.job_secrets.vault import Hiding, Vault
from orchestrator.jobs.creation import Creation
from orchestrator.jobs.event_feed import PAGE, EventFeed
from orchestrator.jobs.service import JobService
from orchestrator.link.app import create_link
from orchestrator.link.pieces import PIECE, pieces
from orchestrator.live.grants import Signer
from orchestrator.llm import choose
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from protocol import messages
from protocol.redaction import Needles
from tests.support.record import Known, report, rows

#: The loop may stand still for this share of the work's time. The machine may be busy for a moment: the shortest of all
#: measurements of the work counts, and the call has several tries. A call that works on the loop fails all of them.
SHARE, TRIES = 0.9, 10

#: As many and as long as a job's secrets may be.
LONG = {f"SECRET_{n}": secrets.token_urlsafe(1500) + '/+"\\' for n in range(32)}


def took(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


async def stalls(call: Callable[[], Awaitable[object]]) -> float:
    """The longest time that the loop does not come round while a call is answered."""
    longest, last = 0.0, time.perf_counter()

    async def beat() -> None:
        nonlocal longest, last
        while True:
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            await asyncio.sleep(0.001)

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await call()
    await asyncio.sleep(0)
    longest = max(longest, time.perf_counter() - last)
    heart.cancel()
    return longest


def holds_up_nothing(call: Callable[[], Awaitable[object]], work: Callable[[], object]) -> None:
    """Check that a call does not stop the loop for as long as the work in it takes."""
    whole = took(work)
    for _ in range(TRIES):
        stall = asyncio.run(stalls(call))
        whole = min(whole, took(work), took(work))
        if stall < SHARE * whole:
            return
    pytest.fail(f"the loop stood still for {stall:.3f} s, the work takes {whole:.3f} s")


def test_a_long_answer_on_the_link_does_not_stop_the_loop() -> None:
    text = 'printed: "ü"\n' * 800_000
    settled = messages.Settled(
        "completed", None, "", {"steps": [{"number": 1}]}, {"output.log": text, "report.md": text}
    )
    found = SimpleNamespace(id="job0", steps_count=1, sandbox_id="box")

    async def job_of_token(token: str) -> Any:
        return found

    async def accept_outcome(job: Any, outcome: messages.Outcome) -> messages.Settled:
        return settled

    link = create_link(cast(JobService, SimpleNamespace(job_of_token=job_of_token, accept_outcome=accept_outcome)))
    answers = list[httpx.Response]()

    async def call() -> None:
        transport = httpx.ASGITransport(link)
        async with httpx.AsyncClient(transport=transport, base_url="http://link") as client:
            said = asdict(messages.Outcome("completed", None, "", messages.Packed(1, 1, 0, partial=False)))
            headers = {"Authorization": "Bearer box.x"}
            answers[:] = [await client.post("/outcome", json=said, headers=headers, timeout=None)]

    holds_up_nothing(call, lambda: json.dumps(asdict(settled)).encode())
    assert answers[0].status_code == 200 and answers[0].json() == asdict(settled)


def test_a_message_in_pieces_is_the_message() -> None:
    for value in (
        {"a": [], "b": {}, "c": None, "d": [1, 2.5, True, 'x\n"\\\u2028ü😀\x00'], "e": {"f": ["g", {"h": "i"}]}},
        {"long": "x" * (PIECE * 2 + 1), "escaped": "\n" * (PIECE + 7), "odd": "😀" * PIECE},
        [],
        "",
    ):
        found = list(pieces(value))
        assert json.loads(b"".join(found)) == value
        assert not any(b"\n" in piece for piece in found)
        assert all(len(piece.decode()) < 4 * PIECE for piece in found)


def test_long_secrets_do_not_stop_the_loop_when_a_job_is_submitted(tmp_path: Path) -> None:
    settings = Settings(agent_output_dir=tmp_path / "jobs", disk_reserve=0)
    job_files = JobFiles(settings.agent_output_dir, 0)
    store, models, signer, vault = Store(job_files.database), choose(settings), Signer(b"x"), Vault(job_files)
    job_service = JobService(settings, store, cast(Engine, None), job_files, vault, models, signer)
    templates = Templates()
    creation = Creation(settings, store, job_service, job_files, templates, models)
    app = create_app(
        Context(
            settings,
            store,
            job_service,
            cast(Engine, None),
            job_files,
            templates,
            cast(Diagnosis, None),
            models,
            signer,
            creation,
            Login(settings, signer),
        )
    )
    answers = list[httpx.Response]()

    async def call() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            asked = {"steps": [{"kind": "shell", "script": "true"}], "secrets": LONG}
            answers.append(await client.post("/schedule", json=asked, timeout=None))
            again = {**asked, "prompt": f"use {LONG['SECRET_3']}"}
            answers.append(await client.post("/schedule", json=again, timeout=None))

    try:
        holds_up_nothing(call, lambda: Needles(LONG))
    finally:
        store.close()
        job_files.close()
    assert [answer.status_code for answer in answers[-2:]] == [202, 422]
    assert "SECRET_3" in answers[-1].text


def test_long_secrets_do_not_stop_the_loop_when_the_files_of_a_job_are_looked_through(tmp_path: Path) -> None:
    job_files = JobFiles(tmp_path, 0)
    vault = Vault(job_files)
    vault.keep("job0", LONG)
    job, _ = rows(Known("job0", 0, {}, None))
    job.secrets = sorted(LONG)
    hiding = Hiding(vault, {})
    try:
        holds_up_nothing(lambda: hiding.secrets_of(job), lambda: Needles(LONG))
    finally:
        job_files.close()


def test_long_secrets_do_not_stop_the_loop_when_a_job_reports_much(tmp_path: Path) -> None:
    settings = Settings(agent_output_dir=tmp_path / "jobs", disk_reserve=0)
    job_files = JobFiles(settings.agent_output_dir, 0)
    store, vault = Store(job_files.database), Vault(job_files)
    job_service = JobService(settings, store, cast(Engine, None), job_files, vault, choose(settings), Signer(b"x"))
    job, _ = rows(Known("job0", 0, {1: "waiting"}, None))
    job.secrets = sorted(LONG)
    vault.keep("job0", LONG)
    reports = [report(number, "output", 1) for number in range(1, 401)]
    for one in reports:
        one.data["text"] = secrets.token_urlsafe(48_000)

    async def call() -> None:
        await job_service.record(job, reports)

    try:
        asyncio.run(job_service.record(job, []))  # what is hidden is made once
        holds_up_nothing(call, lambda: Needles(LONG).structure(reports))
    finally:
        store.close()
        job_files.close()


def test_a_page_of_long_events_does_not_stop_the_loop(tmp_path: Path) -> None:
    store = Store(tmp_path / "orchestrator.db")
    events = [report(number, "output", 1) for number in range(1, PAGE + 1)]
    for one in events:
        one.data["text"] = "\x1b[1mü" * 10_000

    async def keep() -> None:
        await store.add(*rows(Known("job0", 0, {1: "waiting"}, None)), 1)
        await store.claim(1, {"sandbox_id": "x", "token_sha256": "x"})
        await store.record("job0", events)

    async def call() -> None:
        told = EventFeed(store, Notifier()).follow("job0", 2)
        assert (await anext(told)).number == 3
        await told.aclose()

    try:
        asyncio.run(keep())
        holds_up_nothing(call, lambda: [json.dumps(one.data) for one in events])
    finally:
        store.close()
