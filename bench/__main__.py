"""``make bench``: a job over the API against the same work as bare ``docker run``, alternating on one machine.

Both use the same image with the same limits. A job's time is from submission to the ZIP on disk. A bare run's time is
the command's, which stores nothing. The ratio is the result, because both have the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import notebook, views

ROOT = Path(__file__).resolve().parent.parent
IMAGE = os.environ.get("AGENT_IMAGE", "containerized-agent:latest")
CODE = "print('hello')"
PHASES = ("queued", "starting", "working", "packaging")

#: The default limits of a job, as options of docker.
BARE = [
    "docker", "run", "--rm", "--network=none", "--memory=1g", "--memory-swap=1g", "--cpus=1", "--pids-limit=256",
    "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001:10001", "--log-opt=max-size=1m",
    "--entrypoint=/opt/venv/bin/python", IMAGE, "-c", CODE,
]  # fmt: skip


def call(base: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(base + path, data, headers)  # noqa: S310 - our own http URL
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own http URL
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def system() -> Iterator[str]:
    """Start an orchestrator with an empty record and the live gateway. Yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="ca-bench-"))
    port, desktop_port, notebook_port = free_port(), free_port(), free_port()
    settings = {"AGENT_OUTPUT_DIR": str(folder / "jobs"), "RUN_DIR": str(folder / "run"), "PORT": str(port)}
    settings |= {"DESKTOP_PORT": str(desktop_port), "NOTEBOOK_PORT": str(notebook_port)}
    env = {**os.environ, **settings, "AGENT_IMAGE": IMAGE, "HOST": "127.0.0.1", "API_KEY": "", "LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "orchestrator"], cwd=ROOT, env=env)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                call(base, "/health")
                break
            except OSError:
                time.sleep(0.05)
        with views.gateway(folder / "run", desktop_port, notebook_port):
            yield base
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder)


def job(base: str) -> tuple[float, dict[str, float]]:
    """Return the milliseconds of one job and of its phases."""
    begin = time.perf_counter()
    found = call(base, "/schedule?wait=60", {"steps": [{"kind": "python", "code": CODE}]})
    took = (time.perf_counter() - begin) * 1000
    if found["status"] != "completed":
        raise SystemExit(f"The job did not complete: {json.dumps(found, indent=2)}")
    return took, {phase: found["timings"][phase] * 1000 for phase in PHASES}


def bare() -> float:
    """Return the milliseconds of one bare run."""
    begin = time.perf_counter()
    subprocess.run(BARE, check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="pairs to run (default: 20)")
    rounds = parser.parse_args().rounds
    jobs: list[float] = []
    phases: list[dict[str, float]] = []
    runs: list[float] = []
    with system() as base:
        settle(lambda: (job(base), bare()))
        for _ in range(rounds):
            took, split = job(base)
            jobs.append(took)
            phases.append(split)
            runs.append(bare())
        print_jobs(rounds, jobs, phases, runs)
        notebook.measure(call, base, rounds)
        views.measure(call, base, rounds)


def print_jobs(rounds: int, jobs: list[float], phases: list[dict[str, float]], runs: list[float]) -> None:
    print(f"{rounds} pairs, in turn; milliseconds\n")
    print(f"{'':32}{'median':>8}{'min':>8}{'max':>8}")
    for name, values in (("job: submit to ZIP on disk", jobs), ("bare docker run", runs)):
        print(f"{name:32}{statistics.median(values):8.0f}{min(values):8.0f}{max(values):8.0f}")
    for phase in PHASES:
        values = [split[phase] for split in phases]
        print(f"{'  of the job: ' + phase:32}{statistics.median(values):8.0f}{min(values):8.0f}{max(values):8.0f}")
    print(f"\nratio of the medians: {statistics.median(jobs) / statistics.median(runs):.2f}")


def settle(work: Callable[[], object]) -> None:
    """Run two uncounted rounds, because an image's first container reads it from the disk."""
    for _ in range(2):
        work()


if __name__ == "__main__":
    main()
