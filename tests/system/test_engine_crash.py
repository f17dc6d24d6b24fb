"""A crash of the Docker daemon: the system comes back with the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tests.support.second_engine import SecondEngine
from tests.support.system import GATEWAY_IMAGE, ROOT, until

ORCHESTRATOR_IMAGE = os.environ.get("TEST_ORCHESTRATOR_IMAGE", "containerized-agent-orchestrator:latest")

#: The label of compose with a container's service.
SERVICE = "com.docker.compose.service"


@pytest.fixture
def second_engine(engine: None) -> Iterator[SecondEngine]:
    if missing := [name for name in ("ip", "nsenter", "containerd") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    one = SecondEngine()
    try:
        yield one.start()
    finally:
        one.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_system_comes_back_after_a_crash_of_the_docker_daemon(second_engine: SecondEngine, tmp_path: Path) -> None:
    second_engine.take_images(ORCHESTRATOR_IMAGE, GATEWAY_IMAGE)
    checkout = Checkout(tmp_path)
    checkout.env["DOCKER_HOST"] = second_engine.host
    (checkout.place / "own.yml").write_text(
        f"services:\n  orchestrator:\n    image: {ORCHESTRATOR_IMAGE}\n"
        f"    volumes: ['{second_engine.socket}:/var/run/docker.sock']\n"
        f"  novnc:\n    image: {GATEWAY_IMAGE}\n"
    )

    def both_answer() -> bool:
        """Return whether the health checks of compose succeed in both containers."""
        for service, check in {"orchestrator": "orchestrator/live.sh", "novnc": "health.sh"}.items():
            (found,) = second_engine.docker("ps", "-aq", "--filter", f"label={SERVICE}={service}").split()
            command = ["docker", "--host", second_engine.host, "exec", found, check]
            if subprocess.run(command, capture_output=True).returncode:
                return False
        return True

    def started() -> dict[str, str]:
        """Return when each running container was started."""
        lines = second_engine.docker("ps", "--no-trunc", "--format", "{{.ID}}").split()
        return {line: second_engine.docker("inspect", "-f", "{{.State.StartedAt}}", line) for line in lines}

    checkout.run("scripts/compose.sh", "up", "-d", "--no-build", "orchestrator", "novnc")
    try:
        until(both_answer, "the system answers")
        before = started()
        assert len(before) == 2
        second_engine.crash()
        second_engine.start()
        until(lambda: started().keys() == before.keys(), "both containers run again")
        until(both_answer, "the system answers again")
        after = started()
        assert all(after[container] > since for container, since in before.items()), "the crash had ended both"
    finally:
        checkout.http.close()
        checkout.run("scripts/down.sh")


def test_no_service_that_stays_up_has_another_restart_policy() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "docker-compose.yml").read_text().splitlines()]
    assert {line for line in lines if line.startswith("restart:")} == {"restart: always", 'restart: "no"'}
