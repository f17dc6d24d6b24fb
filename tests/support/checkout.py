"""A checkout that compose builds and starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx

from tests.support.system import (
    OWN,
    PATIENCE,
    ROOT,
    check_own,
    docker,
    env_example,
    free_port,
)

#: The image of each service, under a tag of the tests' own.
IMAGES = {
    "orchestrator": f"containerized-agent-orchestrator:test-{os.getpid()}",
    "agent-builder": f"containerized-agent:test-{os.getpid()}",
    "novnc": f"containerized-agent-novnc:test-{os.getpid()}",
    "model": f"containerized-agent-model:test-{os.getpid()}",
}


#: Files that a fresh checkout does not have.
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".env", "demo-*.zip", "__pycache__", ".*_cache")


def not_copied(folder: str, names: list[str]) -> set[str]:
    """Return the names to leave out: ``NOT_COPIED``, and the record ``jobs/`` at the top.

    ``orchestrator/jobs`` is a package, so it is copied.
    """
    return NOT_COPIED(folder, names) | ({"jobs"} if Path(folder) == ROOT else set())


class Checkout:
    """A checkout with its own .env, and with names that no other system uses."""

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
        """Return the engine's description of a service's container, even if the container has ended."""
        filters = [f"--filter=label=com.docker.compose.{name}" for name in (
            f"project={self.env['COMPOSE_PROJECT_NAME']}", f"service={service}",
        )]  # fmt: skip
        found: dict[str, object] = json.loads(docker("inspect", docker("ps", "--all", "--quiet", *filters)))[0]
        return found

    def sandboxes(self) -> str:
        return docker("ps", "-aq", "--filter", f"label=containerized-agent.run-dir={self.place.parent}/run")


def base_image() -> str:
    """Return the base image of the images that `make` built."""
    dotenv = ROOT / ".env"
    found = re.findall(r"^BASE_IMAGE=(.+)$", dotenv.read_text(), re.MULTILINE) if dotenv.exists() else []
    made = subprocess.run(["docker", "image", "inspect", "containerized-agent-base"], capture_output=True)
    return found[-1] if found else "debian:trixie-slim" if made.returncode else "containerized-agent-base"
