"""The system as its user has it: a checkout of its own, built and brought up by compose, the demo, and down again."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.checkout import IMAGES, Checkout
from tests.support.system import (
    OWN,
    ROOT,
    System,
    docker,
    env_example,
    parse_events,
    until,
)


@pytest.fixture
def checkout(engine: None, tmp_path: Path) -> Iterator[Checkout]:
    one = Checkout(tmp_path)
    try:
        yield one
    finally:
        one.http.close()
        one.run("scripts/down.sh")
        subprocess.run(["docker", "rmi", "--force", *IMAGES.values()], capture_output=True)


@pytest.mark.usefixtures("engine")
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
    environment = "printf 'DRAIN_SECONDS=1000.5\\nPACKAGE_SECONDS=200\\n'"
    docker = f'case "$1" in compose) exit 1 ;; inspect) {environment} ;; esac'
    for name, code in {"docker": docker, "docker-compose": 'echo "$@"; [ "$1" != version ]'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{code}\n")
        (tools / name).chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "RUN_DIR": str(tmp_path), "DRAIN_SECONDS": "1"}
    down = subprocess.run(["scripts/down.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "--profile model down --timeout 1230" in down.stdout
    default = re.search(r"stop_grace_period: (\d+)s", (ROOT / "docker-compose.yml").read_text())
    assert default and int(default[1]) >= 30 + 120 + 30
