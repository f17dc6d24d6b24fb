"""The product under test: our own or a running orchestrator, and jobs over its API."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from skill.container import IMAGE
from skill.settings import ROOT, known
from skill.task import Task

FINAL = ("completed", "failed", "cancelled")

#: Maximum seconds of a job from its submission. Then it is cancelled.
PATIENCE = 3600


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def system(log: Path, parallel: int) -> Iterator[str]:
    """Start an orchestrator with an empty record. Yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="ca-skill-"))
    ports = {name: str(free_port()) for name in ("PORT", "DESKTOP_PORT", "NOTEBOOK_PORT")}
    settings = {"AGENT_OUTPUT_DIR": str(folder / "jobs"), "RUN_DIR": str(folder / "run"), **ports}
    settings |= {"AGENT_IMAGE": IMAGE, "HOST": "127.0.0.1", "API_KEY": "", "MAX_CONCURRENT_JOBS": str(parallel)}
    base = f"http://127.0.0.1:{ports['PORT']}"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator"], cwd=ROOT, env=known() | settings, stderr=stream
        )
    try:
        with httpx.Client(trust_env=False) as client:
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit(f"The orchestrator ended with exit code {process.returncode}; see {log}")
                try:
                    client.get(f"{base}/health")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Product:
    """A client of the users' API."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def version(self) -> str:
        return str(self._http.get("/").json()["health"]["version"])

    def run(self, task: Task, folder: Path, seconds: float | None) -> dict[str, Any]:
        """Run one task as a job, from its prompt to its ZIP. Stores all evidence in the folder and returns the status.

        Raises httpx.HTTPError if the product rejects the prompt or does not answer.
        """
        files = [("files", (name, content)) for name, content in task.uploads().items()]
        # a form without files is still a form
        fields: dict[str, Any] = {"prompt": (None, task.prompt)}
        if seconds:
            fields["limits"] = (None, json.dumps({"seconds": seconds}))
        job = self._checked(self._http.post("/schedule", files=[*fields.items(), *files]))["job_id"]
        end = time.monotonic() + PATIENCE
        while True:
            status = self._checked(self._http.get(f"/status/{job}", params={"wait": 60}))
            if status["status"] in FINAL:
                break
            if time.monotonic() > end:
                self._http.post(f"/cancel/{job}")
                end = time.monotonic() + 60
        (folder / "status.json").write_text(json.dumps(status, indent=1))
        (folder / "events.txt").write_bytes(self._http.get(f"/jobs/{job}/events").content)
        if status["artifact"]:
            with self._http.stream("GET", f"/download/{job}") as answer, (folder / "result.zip").open("wb") as target:
                if answer.is_error:
                    answer.read()  # the report contains the error's text
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    target.write(chunk)
        return status

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]
