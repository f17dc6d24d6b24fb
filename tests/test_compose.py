"""The system as its user has it: a checkout of its own, built and brought up by compose, the demo, and down again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import OWN, PATIENCE, ROOT, System, check_own, docker, env_example, free_port, parse_events, until

#: The image of each service, under a tag of the tests' own.
IMAGES = {
    "orchestrator": f"containerized-agent-orchestrator:test-{os.getpid()}",
    "agent-builder": f"containerized-agent:test-{os.getpid()}",
    "novnc": f"containerized-agent-novnc:test-{os.getpid()}",
    "model": f"containerized-agent-model:test-{os.getpid()}",
}

#: What a checkout has not, or not yet.
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".env", "demo-*.zip", "__pycache__", ".*_cache")


def not_copied(folder: str, names: list[str]) -> set[str]:
    """Also the record, which is at the top: ``orchestrator/jobs`` is a package."""
    return NOT_COPIED(folder, names) | ({"jobs"} if Path(folder) == ROOT else set())


class Checkout:
    """A checkout with a .env of its own, and names that nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self.place, self.port = folder / "checkout", free_port()
        shutil.copytree(ROOT, self.place, ignore=not_copied, symlinks=True)
        (self.place / "jobs").mkdir()
        self.settings = {
            **env_example(),
            "PORT": str(self.port),
            "DESKTOP_PORT": str(free_port()),
            "NOTEBOOK_PORT": str(free_port()),
            "MODEL_PORT": str(free_port()),
            "RUN_DIR": f"{folder}/run",
            "AGENT_IMAGE": IMAGES["agent-builder"],
            "DRAIN_SECONDS": "1",
            "BASE_IMAGE": base_image(),
        }
        check_own(self.settings, *OWN, "MODEL_PORT", "AGENT_IMAGE")
        (self.place / ".env").write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        images = "".join(f"  {service}:\n    image: {image}\n" for service, image in IMAGES.items())
        (self.place / "own.yml").write_text(f"services:\n{images}")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "COMPOSE_FILE": "docker-compose.yml:own.yml",
            "COMPOSE_PROJECT_NAME": f"ca-test-{os.getpid()}",
        }
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.place, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    def container(self, service: str) -> dict[str, object]:
        """What the engine says of a service's container; also of one that has ended."""
        filters = [f"--filter=label=com.docker.compose.{name}" for name in (
            f"project={self.env['COMPOSE_PROJECT_NAME']}", f"service={service}",
        )]  # fmt: skip
        found: dict[str, object] = json.loads(docker("inspect", docker("ps", "--all", "--quiet", *filters)))[0]
        return found

    def sandboxes(self) -> str:
        return docker("ps", "-aq", "--filter", f"label=containerized-agent.run-dir={self.place.parent}/run")


def base_image() -> str:
    """The image that `make` built the others from."""
    dotenv = ROOT / ".env"
    found = re.findall(r"^BASE_IMAGE=(.+)$", dotenv.read_text(), re.MULTILINE) if dotenv.exists() else []
    made = subprocess.run(["docker", "image", "inspect", "containerized-agent-base"], capture_output=True)
    return found[-1] if found else "debian:trixie-slim" if made.returncode else "containerized-agent-base"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    one = Checkout(tmp_path)
    try:
        yield one
    finally:
        one.http.close()
        one.run("scripts/down.sh")
        subprocess.run(["docker", "rmi", "--force", *IMAGES.values()], capture_output=True)


def test_a_test_shares_nothing_with_a_system_that_the_user_runs(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    config = checkout.run("scripts/compose.sh", "--profile", "model", "config")
    used = set(re.findall(r"^    image: (.+)$", config, re.MULTILINE))
    assert used == set(IMAGES.values())
    assert not used & set(re.findall(r"containerized-agent[\w-]*:latest", (ROOT / "docker-compose.yml").read_text()))
    for name in OWN:
        assert re.search(rf"{name}: .?{re.escape(checkout.settings[name])}\b", config)
        for one in (env_example()[name], ""):
            with pytest.raises(AssertionError, match=f"^{name} is"):
                System(**{name: one})
    assert checkout.env["COMPOSE_PROJECT_NAME"] not in ("", ROOT.name)


@pytest.mark.timeout(300)  # all images are built, mostly of what is there already
def test_up_demo_down_and_up_again(checkout: Checkout) -> None:
    said = checkout.run("scripts/up.sh")
    assert f"running. API: http://127.0.0.1:{checkout.port}" in said
    assert checkout.http.get("/health").json()["status"] == "ok"

    project = f"label=com.docker.compose.project={checkout.env['COMPOSE_PROJECT_NAME']}"
    assert len(docker("ps", "--all", "--quiet", "--filter", project).split()) == 3, "the model is not started"

    limits = checkout.container("orchestrator")["HostConfig"]
    assert isinstance(limits, dict) and (limits["Memory"], limits["NanoCpus"]) == (2 * 2**30, 10**9)

    def built() -> bool:
        state = checkout.container("agent-builder")["State"]
        return isinstance(state, dict) and (state["Status"], state["ExitCode"]) == ("exited", 0)

    until(built, "the agent-builder has ended well")

    demo = checkout.run("python3", "scripts/demo.py")
    assert "\n  completed\n" in demo and "F(19) = 4181" in demo and "make down" in demo
    (artifact,) = checkout.place.glob("demo-*.zip")
    with zipfile.ZipFile(artifact) as archive:
        assert archive.testzip() is None and "workspace/fibonacci.py" in archive.namelist()
        listed = [line.split()[-1] for line in demo.splitlines() if re.match(r" +[\d,]+  \S+$", line)]
        assert listed == archive.namelist()

    script = "echo kept > kept.txt; echo ready; sleep 600"
    job = checkout.http.post("/schedule", json={"steps": [{"kind": "shell", "script": script}]}).json()["job_id"]
    with checkout.http.stream("GET", f"/jobs/{job}/events") as stream:
        text = ""
        for part in stream.iter_text():
            text += part
            if any(event["event"] == "output" for event in parse_events(text)):
                break
    assert checkout.sandboxes()
    said = checkout.run("scripts/down.sh")
    assert "running jobs have 1 s to end (DRAIN_SECONDS)" in said and "stopped; no sandbox is left" in said
    assert not checkout.sandboxes()
    with pytest.raises(httpx.ConnectError):
        checkout.http.get("/health")
    owner = checkout.place.stat().st_uid
    assert {path.stat().st_uid for path in (checkout.place / "jobs").rglob("*")} == {owner}

    checkout.run("scripts/up.sh")
    found = checkout.http.get(f"/status/{job}").json()
    assert (found["status"], found["artifact"]["files"]) == ("cancelled", 1)
    assert checkout.http.get(f"/download/{job}").status_code == 200


def test_down_gives_the_orchestrator_as_long_as_its_settings_need(tmp_path: Path) -> None:
    """What compose is told: a program in its place says it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, code in {"docker": '[ "$1" != compose ]', "docker-compose": 'echo "$@"; [ "$1" != version ]'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{code}\n")
        (tools / name).chmod(0o755)
    limits = {"DRAIN_SECONDS": "1000.5", "PACKAGE_SECONDS": "200"}
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "RUN_DIR": str(tmp_path), **limits}
    down = subprocess.run(["scripts/down.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "--profile model down --timeout 1230" in down.stdout
    default = re.search(r"stop_grace_period: (\d+)s", (ROOT / "docker-compose.yml").read_text())
    assert default and int(default[1]) >= 30 + 120 + 30
