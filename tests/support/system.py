"""The system under test: the real orchestrator as a separate process, on the real Docker engine.

Each system has its own record, run folder and ports. Tests stop it as a user would.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("TEST_AGENT_IMAGE", "containerized-agent:latest")
GATEWAY_IMAGE = os.environ.get("TEST_GATEWAY_IMAGE", "containerized-agent-novnc:latest")
NO_ENGINE = "unix:///nonexistent.sock"
FINAL = ("completed", "failed", "cancelled")

#: Maximum seconds for any condition, on a machine with two busy cores.
PATIENCE = 60.0


#: A job that uses most features of a plan.
COUNTING: dict[str, Any] = {
    "prompt": "count",
    "steps": [
        {"kind": "file", "path": "in.txt", "content": "1\n2\n"},
        {"kind": "shell", "script": "wc -l < in.txt > out.txt", "title": "Count", "seconds": 30},
    ],
    "outputs": ["out.txt"],
    "check": "grep -q 2 out.txt",
    "labels": {"team": "blue"},
    "limits": {"memory": "256m"},
}


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until the condition returns a true value, and return that value. Fail the test after the timeout."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def docker(*arguments: str) -> str:
    """Run the docker command line and return what it prints."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def touch(container: str, path: str, user: str = "0") -> None:
    """Make the file that a step waits for.

    When the step ends, the agent kills the rest of its processes. This may kill the command too.
    """
    run = ["docker", "exec", "-u", user, container, "touch", path]
    found = subprocess.run(run, capture_output=True, text=True)
    assert found.returncode in (0, 137), found.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def env_example() -> dict[str, str]:
    """Return every setting with its default from .env.example."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    assert len({name for name, _ in found}) == len(found)
    return {name: value for name, value in found}


#: Variables in .env that only compose and the scripts read.
COMPOSE_ALONE = {"BASE_IMAGE", "COMPOSE_PROJECT_NAME", "MODEL_FILE", "MODEL_PORT", "MODEL_CONTEXT", "MODEL_MEMORY"}

#: Settings that a test's system must change, because the user's own system may run with their defaults.
OWN = ("PORT", "DESKTOP_PORT", "NOTEBOOK_PORT", "RUN_DIR")


def check_own(settings: dict[str, str], *names: str) -> None:
    """Fail if one of these settings is missing or has its default."""
    for name in names:
        assert settings.get(name) not in (None, "", env_example()[name]), f"{name} is the one of the user's own system"


class System:
    """An orchestrator, with a method for each call of its API that tests need."""

    def __init__(self, **settings: str) -> None:
        check_own(settings, *({*OWN, "AGENT_OUTPUT_DIR"} & settings.keys()))
        self.folder = Path(tempfile.mkdtemp(prefix="ca-"))
        self.port, self.desktop_port, self.notebook_port = free_port(), free_port(), free_port()
        self.run_dir = self.folder / "run"
        self.record = Path(settings.pop("AGENT_OUTPUT_DIR", self.folder / "jobs"))
        self.run_dir.mkdir()
        self.settings = {
            "AGENT_OUTPUT_DIR": str(self.record),
            "RUN_DIR": str(self.run_dir),
            "PORT": str(self.port),
            "DESKTOP_PORT": str(self.desktop_port),
            "NOTEBOOK_PORT": str(self.notebook_port),
            "AGENT_IMAGE": IMAGE,
            "DRAIN_SECONDS": "0",
            "LOG_LEVEL": "debug",
            **settings,
        }
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.gateway = ""  # the name of the gateway's container, if there is one
        headers = {"Authorization": f"Bearer {settings['API_KEY']}"} if "API_KEY" in settings else {}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, headers=headers)

    # ── its process ──────────────────────────────────────────────────────────────────────────────────────────────

    def launch(self) -> None:
        known = ("PATH", "HOME", "LANG", "DOCKER_HOST")
        env = {**{name: os.environ[name] for name in known if name in os.environ}, **self.settings}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "orchestrator"], cwd=ROOT, env=env, stderr=log)

    def start(self) -> System:
        self.launch()
        until(self.answers, "the orchestrator answers")
        return self

    def with_gateway(self) -> System:
        """Start the live gateway beside the orchestrator, as docker-compose.yml does, and wait until it is healthy."""
        self.gateway = f"containerized-agent-gateway-{self.desktop_port}"
        known = ("RUN_DIR", "HOST", "DESKTOP_PORT", "NOTEBOOK_PORT")
        docker(
            "run", "--detach", "--name", self.gateway, "--network", "host", "--read-only", "--tmpfs", "/tmp",
            "--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "SETPCAP",
            "--security-opt", "no-new-privileges",
            "--volume", f"{self.run_dir}/live:{self.run_dir}/live:ro",
            "--volume", f"{self.run_dir}/gateway:{self.run_dir}/gateway:ro",
            *(f"--env={name}={self.settings[name]}" for name in known if name in self.settings),
            GATEWAY_IMAGE,
        )  # fmt: skip
        until(self._gateway_answers, "the gateway answers")
        return self

    def _gateway_answers(self) -> bool:
        found = subprocess.run(["docker", "exec", self.gateway, "health.sh"], capture_output=True)
        running = docker("inspect", "-f", "{{.State.Running}}", self.gateway)
        assert running == "true", self.gateway_log()
        return found.returncode == 0

    def gateway_log(self) -> str:
        found = subprocess.run(["docker", "logs", self.gateway], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return found.stdout.decode()

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/health").status_code in (200, 503)
        return False

    def kill(self) -> None:
        """Kill the orchestrator without warning, as a power cut does."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self) -> None:
        try:
            if self.gateway:
                docker("rm", "-f", self.gateway)
            self.stop()
            left = self.containers()
            for name in left:
                docker("rm", "-f", name)
            assert not left, f"containers are left over: {left}"
        finally:
            self.http.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def containers(self) -> list[str]:
        """Return the names of the system's sandboxes, running or not."""
        if self.settings.get("DOCKER_HOST") == NO_ENGINE:
            return []
        label = f"label=containerized-agent.run-dir={self.run_dir}"
        return docker("ps", "-a", "--filter", label, "--format", "{{.Names}}").split()

    # ── its API ──────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, **body: Any) -> str:
        answer = self.http.post("/schedule", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def shell(self, script: str, **body: Any) -> str:
        return self.submit(steps=[{"kind": "shell", "script": script}], **body)

    def python(self, code: str, **body: Any) -> str:
        return self.submit(steps=[{"kind": "python", "code": code}], **body)

    def status(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/status/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def cancel(self, job_id: str) -> httpx.Response:
        return self.http.post(f"/cancel/{job_id}")

    def ended(self, job_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until a job has ended, and return its status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                found = self.http.get(f"/status/{job_id}", params={"wait": 20}).json()
                if found["status"] in FINAL:
                    return dict(found)
        pytest.fail(f"job {job_id} has not ended: {self.status(job_id)}\n{self.log.read_text()[-4000:]}")

    def run(self, **body: Any) -> dict[str, Any]:
        return self.ended(self.submit(**body))

    def completed(self, job_id: str) -> dict[str, Any]:
        found = self.ended(job_id)
        assert found["status"] == "completed", f"{found}\n{self.output(job_id)}"
        return found

    def events(self, job_id: str, **headers: str) -> list[dict[str, Any]]:
        """Return all events of an ended job from the event stream."""
        answer = self.http.get(f"/jobs/{job_id}/events", headers=headers)
        assert answer.status_code == 200, answer.text
        return parse_events(answer.text)

    def output(self, job_id: str, step: int | None = None) -> str:
        """Return the output of a job's steps, or of one step, so far."""
        found = []
        with (
            contextlib.suppress(httpx.ReadTimeout),
            self.http.stream("GET", f"/jobs/{job_id}/events", timeout=1) as got,
        ):
            text = ""
            with contextlib.suppress(httpx.ReadTimeout):
                for part in got.iter_text():
                    text += part
            found = parse_events(text)
        return "".join(
            event["data"]["text"]
            for event in found
            if event["event"] == "output" and step in (None, event["data"]["step"])
        )

    def says(self, job_id: str, words: str) -> None:
        """Wait until a running job has printed the words."""
        end = time.monotonic() + PATIENCE
        text = ""
        with self.http.stream("GET", f"/jobs/{job_id}/events") as stream:
            for part in stream.iter_text():
                text += part
                printed = "".join(event["data"]["text"] for event in parse_events(text) if event["event"] == "output")
                if words in printed:
                    return
                assert time.monotonic() < end, f"job {job_id} never said {words!r}: {text[-2000:]}"
        pytest.fail(f"job {job_id} ended without saying {words!r}: {text[-2000:]}")

    def zip(self, job_id: str) -> Artifact:
        """Return a job's ZIP. Check it against the job's status, and each file against its checksum."""
        answer = self.http.get(f"/download/{job_id}")
        assert answer.status_code == 200, answer.text
        status = self.status(job_id)
        found = status["artifact"]
        assert len(answer.content) == found["bytes"]
        assert answer.headers["etag"] == f'"{found["sha256"]}"'
        artifact = Artifact(answer.content, found)
        for part in ("status", "reason", "detail"):
            assert artifact.manifest[part] == status[part], part
        for step, told in zip(status["steps"], artifact.manifest["steps"], strict=True):
            assert step["status"] == told["status"], f"step {step['number']}"
        return artifact


class Artifact(zipfile.ZipFile):
    """A job's ZIP with its manifest and documents. The constructor checks its checksums."""

    def __init__(self, content: bytes, found: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(content))
        import hashlib

        assert hashlib.sha256(content).hexdigest() == found["sha256"]
        assert self.testzip() is None
        self.manifest: dict[str, Any] = json.loads(self.read("manifest.json"))
        assert self.manifest["partial"] == found["partial"]
        self.report = self.read("report.md").decode()
        self.output_log = self.read("output.log").decode()
        for name, digest in self.sums().items():
            assert hashlib.sha256(self.read(name)).hexdigest() == digest, name

    def sums(self) -> dict[str, str]:
        found = {}
        for line in self.read("SHA256SUMS").decode().splitlines():
            digest, _, name = line.partition("  ")
            found[name] = digest
        return found

    def text(self, path: str) -> str:
        return self.read(f"workspace/{path}").decode()

    @property
    def paths(self) -> set[str]:
        """The paths of the workspace's files in the ZIP."""
        return {name.removeprefix("workspace/") for name in self.namelist() if name.startswith("workspace/")}

    @property
    def left_out(self) -> dict[str, str]:
        return {entry["path"].removeprefix("workspace/"): entry["reason"] for entry in self.manifest["left_out"]}


def parse_events(text: str) -> list[dict[str, Any]]:
    """Return the server-sent events in a text. Leave out an incomplete event at the end."""
    found = []
    for block in text.split("\n\n")[:-1] if not text.endswith("\n\n") else text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "id" in fields:
            found.append({"id": int(fields["id"]), "event": fields["event"], "data": json.loads(fields["data"])})
    return found
