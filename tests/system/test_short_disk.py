"""A disk without room: every way to make a job answers with the same 507, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.system import System

FILES = [("files", ("a.csv", b"a,b\n1,2\n"))]

#: Every request that stores files of its own.
WITH_FILES: dict[str, dict[str, Any]] = {
    "an upload": {"files": [("prompt", (None, "```bash\ncat a.csv\n```")), *FILES]},
    "a template": {"json": {"template": "csv-report"}},
    "a template by its phrase": {"json": {"prompt": "Create a Python script that processes CSV files"}},
    "a template in a form": {"files": [("template", (None, "csv-report"))]},
}


@pytest.fixture(scope="module")
def short(no_engine: str) -> Iterator[System]:
    """A system whose disk has less room than it reserves."""
    one = System(DOCKER_HOST=no_engine, DISK_RESERVE="900t")
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[Path]:
    """A disk on which few files can be made."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=200", "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def folders(system: System) -> set[str]:
    return {path.name for path in system.record.iterdir() if path.is_dir()}


def full(answer: httpx.Response) -> None:
    assert problem(answer, 507)["type"] == "/problems/disk-full"


@pytest.mark.parametrize("request_", WITH_FILES.values(), ids=WITH_FILES.keys())
def test_a_job_with_files_is_refused_and_leaves_no_folder(short: System, request_: dict[str, Any]) -> None:
    before = folders(short)
    with nothing_stored(short):
        answer = short.http.post("/schedule", **request_)
    full(answer)
    assert "DISK_RESERVE" in answer.json()["detail"]
    assert folders(short) == before


def test_where_no_file_can_be_made_every_request_is_refused_alike(
    make_parked: Callable[..., System], few_files: Path
) -> None:
    system = make_parked(AGENT_OUTPUT_DIR=str(few_files / "jobs"), DISK_RESERVE="0").start()
    done = system.http.post("/schedule", **WITH_FILES["an upload"]).json()["job_id"]
    system.cancel(done)
    system.ended(done)
    taken = exhaust(few_files)
    before = folders(system)
    secret = {"prompt": "Hello world", "secrets": {"TOKEN": "a-token-of-mine"}}
    with nothing_stored(system):
        for request in (*WITH_FILES.values(), {"json": secret}):
            full(system.http.post("/schedule", **request))
        full(system.http.post(f"/jobs/{done}/retry"))
    assert folders(system) == before
    for path in taken:
        path.unlink()
    assert system.http.post(f"/jobs/{done}/retry").status_code == 202
    system.close()
    system.process = None


def exhaust(disk: Path) -> list[Path]:
    """Make empty files until no more can be made."""
    made: list[Path] = []
    with pytest.raises(OSError, match="No space"):
        while True:
            path = disk / f"file-{len(made)}"
            os.close(os.open(path, os.O_CREAT))
            made.append(path)
    return made
