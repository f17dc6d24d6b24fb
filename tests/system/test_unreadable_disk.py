"""A disk whose free space cannot be read, and results that cannot be removed: both are said once and in /health."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.jobs import dispatcher
from tests.support.house import House, LateEngine
from tests.support.house import until as soon
from tests.support.record import Known, rows
from tests.support.system import ROOT, System, until

#: Run at the start of Python: while there is a file of that name, no free space can be read.
UNREADABLE = """
import pathlib, shutil
told, real = pathlib.Path({told!r}), shutil.disk_usage

def disk_usage(path):
    if told.exists():
        raise OSError(5, "Input/output error")
    return real(path)

shutil.disk_usage = disk_usage
"""


def test_a_disk_that_cannot_be_read_is_said_once_in_plain_words_and_in_health(
    make_parked: Callable[..., System], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    (tmp_path / "sitecustomize.py").write_text(UNREADABLE.format(told=str(told)))
    system = make_parked(PYTHONPATH=f"{tmp_path}:{ROOT}").start()
    told.touch()
    sentence = f"The free space of {system.record} cannot be read: Input/output error. See `df {system.record}`"
    job = system.submit(prompt="Hello world")
    found = until(lambda: (now := system.status(job))["waiting_for"] == "disk" and now, "the job waits for the disk")
    assert found["detail"].startswith(sentence)

    def said(level: str) -> list[str]:
        lines = [json.loads(line) for line in system.log.read_text().splitlines()]
        return [one["message"] for one in lines if one["level"] == level and sentence in one["message"]]

    until(lambda: len(said("debug")) > 2, "the disk is asked again and again")
    assert len([line for line in said("warning") if line.startswith("jobs wait for disk")]) == 1
    assert "Traceback" not in system.log.read_text()
    for path in ("/health", "/health?full"):
        answer = system.http.get(path)
        disk = answer.json()["checks"]["disk"]
        assert (answer.status_code, disk["result"]) == (503, "failed") and disk["detail"].startswith(sentence)
        assert disk["to_do"] == "Repair the disk of AGENT_OUTPUT_DIR. Jobs wait meanwhile."
    told.unlink()
    until(lambda: system.status(job)["waiting_for"] == "engine", "the disk is well again")
    assert system.http.get("/health").json()["checks"]["disk"]["result"] == "ok"


def test_room_that_cannot_be_made_is_said_once_and_in_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatcher, "OBSTACLE_SECONDS", 0.02)

    async def work() -> None:
        house, tried, wrong = House(tmp_path, LateEngine("box"), monkeypatch), list[int](), OSError(5, "disk is away")

        async def expire() -> None:
            tried.append(1)
            if len(tried) < 10:
                raise wrong

        monkeypatch.setattr(house.job_files, "disk_short", lambda: "It is short.")
        monkeypatch.setattr(house.job_service, "expire", expire)
        async with house:
            await house.store.add(*rows(Known("job1", 0, {}, None)), 9)
            house.job_service.hooks.job_ended.subscribe(lambda job: None)
            await soon(lambda: tried, "room is needed")
            await soon(lambda: "disk is away" in house.job_files.room_fault, "the fault is kept for /health")
            house.job_service._dispatcher.look()
            await soon(lambda: len(tried) > 9, "it is tried again and again")
            await soon(lambda: not house.job_files.room_fault, "a success clears the fault")

    with caplog.at_level(logging.INFO):
        asyncio.run(work())
    said = [record for record in caplog.records if "disk is away" in record.getMessage()]
    from_start = [record for record in said if "old results could not be removed" in record.getMessage()]
    assert len(from_start) == 1 and len(said) <= 2, "once by the start, and once by the clock"
    assert not [record for record in caplog.records if record.exc_info]
