"""The agent's children in moments that no job can be made to have at will: each in a pid namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to be the agent needs root, as it is in its container")

BEGIN = """
import subprocess, sys, time
from agent.runtime.processes import Processes, Stopped, began, users_processes

SLEEP = [{sleep!r}, "600"]

def until(condition):
    while not condition():
        time.sleep(0.01)
"""


def agent(code: str, *values: Any) -> None:
    """Run code where the agent's ``kill(-1)`` reaches its own children and nobody else."""
    run = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        "-c",
        BEGIN.format(sleep=shutil.which("sleep")),
    ]
    run[-1] += code
    done = subprocess.run([*run, *map(str, values)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_pid_that_was_a_background_steps_is_not_spared_when_another_process_has_it() -> None:
    agent(
        """
from agent.job import Job

job = Job(None, None, None, Processes({}), needles=None, remaining=[], background=["one"])
lasting, gone = (job.processes.spawn(SLEEP) for _ in range(2))
keep = job.before_step()
assert keep.keys() == {lasting.pid, gone.pid}
gone.kill(), gone.wait()
time.sleep(0.02)  # the kernel's clock for this goes in steps of 10 ms
open("/proc/sys/kernel/ns_last_pid", "w").write(str(gone.pid - 1))
later = job.processes.spawn(SLEEP)
assert later.pid == gone.pid
job.end_step(keep)
assert users_processes().keys() == {lasting.pid}
"""
    )


@pytest.mark.parametrize("end", ["stop('cancelled')", "kill_for_packing()"])
@pytest.mark.parametrize("moment", ["before it starts", "while it starts"])
def test_nobody_looks_any_more_when_the_job_is_stopped_or_packed(end: str, moment: str) -> None:
    agent(
        f"""
class Raced(Processes):
    def spawn(self, *command, **options):
        if sys.argv[1] == "while it starts":
            self.{end}  # all are dead before there is this one
        return super().spawn(*command, **options)

processes = Raced({{}})
if sys.argv[1] == "before it starts":
    processes.{end}
    processes.spawn = lambda *_, **__: sys.exit("it was started")
try:
    processes.start_look(SLEEP, "")
except Stopped:
    assert not users_processes()
else:
    sys.exit("it looks")
""",
        moment,
    )
