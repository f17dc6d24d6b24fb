"""How long files are kept: RETENTION_DAYS, a job's own days, and less where the disk is short. The row stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.retention import AT_ONCE, LONG, gone
from tests.support.system import System, until


def test_a_job_says_for_itself_how_long_its_files_are_kept(make_system: Callable[..., System]) -> None:
    system = make_system(RETENTION_DAYS=str(AT_ONCE)).start()
    kept, default = system.shell("echo kept", keep_days=LONG), system.shell("echo default")
    system.completed(kept)
    system.completed(default)
    system.stop()
    system.start()
    until(lambda: gone(system, default), "the files of the job that says nothing are removed")
    found = system.status(default)
    assert found["status"] == "completed" and found["expired"] and found["artifact"]["expired"]
    assert not (system.record / default).exists()
    assert system.output(default) == ""
    assert system.zip(kept).manifest["plan"]["keep_days"] == LONG
    assert system.output(kept) == "kept\n"


def test_where_the_disk_is_short_the_longest_ended_go_first(
    make_system: Callable[..., System], small_disk: Path
) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="16m", MIN_KEEP_MINUTES="0").start()
    large = "head -c 12000000 /dev/urandom > large"
    asked, first, second = system.shell(large, keep_days=LONG), system.shell(large), system.shell(large)
    for job in (asked, first, second):
        system.completed(job)
    (small_disk / "filler").write_bytes(b"x" * 18 * 2**20)  # 64 - 36 - 18 MiB: less than the reserve
    system.completed(system.shell("echo there is room again"))
    assert gone(system, first)
    assert not gone(system, second), "no more is removed than is needed"
    assert not gone(system, asked), "a job that said how long is kept so long"
    system.close()
    system.process = None


@pytest.mark.parametrize("days", [0, -1, 4000, "long", True])
def test_days_that_make_no_sense_are_refused(system: System, days: object) -> None:
    body = {"steps": [{"kind": "shell", "script": "true"}], "keep_days": days}
    answer = system.http.post("/schedule", json=body)
    assert answer.status_code == 422 and "keep_days" in answer.json()["detail"], answer.text
