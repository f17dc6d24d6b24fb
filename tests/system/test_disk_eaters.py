"""A job that eats the disk is ended before anybody else's results are removed, and young results are never removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.retention import gone
from tests.support.system import ROOT, System, until

#: Run at the start of Python: while there is a file of that name, the disk is short for as long as the sandbox that it
#: names is there.
SHORT_WHILE_THERE = """
import pathlib, shutil
told, live, real = pathlib.Path({told!r}), pathlib.Path({live!r}), shutil.disk_usage

def disk_usage(path):
    short = told.exists() and (live / told.read_text()).exists()
    return real(path)._replace(free=8 << 20 if short else 8 << 30)

shutil.disk_usage = disk_usage
"""

LARGE = "head -c 40000000 /dev/urandom > large"


class Disk:
    """A system whose disk gets short while a job's sandbox is there, because no test can fill the engine's own disk."""

    def __init__(self, make_system: Callable[..., System], folder: Path, **given: str) -> None:
        self._told = folder / "told"
        path = f"{folder}:{ROOT}"
        settings = {"DISK_RESERVE": "16m", "MIN_KEEP_MINUTES": "0", "MAX_CONCURRENT_JOBS": "3", **given}
        self.system = make_system(PYTHONPATH=path, **settings)
        hook = SHORT_WHILE_THERE.format(told=str(self._told), live=str(self.system.run_dir / "live"))
        (folder / "sitecustomize.py").write_text(hook)
        self.system.start()

    def gets_short(self, job: str) -> None:
        part = self._told.with_suffix(".part")
        part.write_text(self.system.status(job)["sandbox"])
        part.rename(self._told)


def test_the_job_that_eats_the_disk_is_ended_and_nothing_of_others_is_removed(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    disk = Disk(make_system, tmp_path)
    system = disk.system
    old = system.completed(system.shell("echo old > old.txt"))["job_id"]
    small, eater = system.shell("echo ready; sleep 600"), system.shell(f"{LARGE}; echo ready; sleep 600")
    for job in (small, eater):
        system.says(job, "ready")
    disk.gets_short(eater)
    found = system.ended(eater)
    assert (found["status"], found["reason"]) == ("failed", "disk_full")
    assert "had written 38.1 MiB" in found["detail"] and "less than DISK_RESERVE (16.0 MiB)" in found["detail"]
    assert "ready" in system.zip(eater).output_log
    until(lambda: len(system.containers()) == 1, "its sandbox is removed")
    system.completed(system.shell("echo there is room again"))
    assert system.zip(old).text("old.txt") == "old\n"
    assert system.status(small)["status"] == "running"
    system.cancel(small)


def test_while_the_job_that_ate_the_disk_is_packed_nothing_of_others_is_removed(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    disk = Disk(make_system, tmp_path, PACKAGE_SECONDS="20")
    system = disk.system
    old = system.completed(system.shell("echo old > old.txt"))["job_id"]
    eater = system.shell("truncate -s 400G huge", limits={"zip": "64g"})
    until(lambda: system.status(eater)["phase"] == "package", "it is packed")
    disk.gets_short(eater)
    until(lambda: "its files go when it is packed" in system.log.read_text(), "room is looked for")
    assert system.ended(eater)["artifact"], "it is packed to its end"
    assert not gone(system, old)


def test_young_files_stay_also_where_the_disk_is_short(make_system: Callable[..., System], small_disk: Path) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="16m").start()
    young = system.completed(system.shell("head -c 12000000 /dev/urandom > large"))["job_id"]
    (small_disk / "filler").write_bytes(b"x" * 44 * 2**20)  # 64 - 12 - 44 MiB: less than the reserve
    waits = system.shell("echo later")
    until(lambda: system.status(waits)["waiting_for"] == "disk", "the job waits for room")
    until(lambda: system.http.get("/health").status_code == 503, "the disk is short")
    assert not gone(system, young)
    (small_disk / "filler").unlink()
    system.completed(waits)
    assert not gone(system, young)
    system.close()
    system.process = None
