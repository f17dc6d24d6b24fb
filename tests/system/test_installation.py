"""Several checkouts on one machine, and the faults of an .env file: what the scripts find and say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import GATEWAY_IMAGE, OWN, ROOT, docker, env_example, free_port

FOLDER = "com.docker.compose.project.working_dir"


class Place:
    """A checkout with the real scripts, and with a service that only sleeps."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        shutil.copy(ROOT / ".env.example", folder)
        (folder / "docker-compose.yml").write_text(
            f"services:\n  orchestrator:\n    image: {GATEWAY_IMAGE}\n    entrypoint: [tini, --, sleep, '600']\n"
            "    network_mode: none\n    environment: [DRAIN_SECONDS, PACKAGE_SECONDS]\n"
        )
        ports = {name: str(free_port()) for name in OWN if name.endswith("PORT")}
        self.set(**{**ports, "RUN_DIR": f"{folder}/run", **settings})

    def set(self, **settings: str) -> None:
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def run(self, *command: str, code: int = 0) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def call(self, function: str) -> str:
        return self.run("bash", "-c", f". scripts/common.sh; {function}").strip()

    @property
    def containers(self) -> list[str]:
        return docker("ps", "--quiet", "--filter", f"label={FOLDER}={self.folder}").split()


@pytest.fixture
def places(engine: None, tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Yield two checkouts in folders of the same name."""
    two = Place(tmp_path / "a" / "Same"), Place(tmp_path / "b" / "Same")
    try:
        yield two
    finally:
        for place in two:
            for container in place.containers:
                docker("rm", "--force", container)


# ── two checkouts ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_checkouts_in_folders_of_the_same_name_leave_each_other_alone(places: tuple[Place, Place]) -> None:
    one, other = places
    for place in places:
        place.run("scripts/compose.sh", "up", "-d")
    assert len(one.containers) == len(other.containers) == 1
    kept = one.containers
    assert "stopped" in other.run("scripts/down.sh")
    assert (one.containers, other.containers) == (kept, [])
    assert one.call("project_name") != other.call("project_name")


def test_an_installation_that_compose_named_after_its_folder_keeps_its_name(places: tuple[Place, Place]) -> None:
    one, other = places
    one.run("bash", "-c", "if docker compose version; then docker compose up -d; else docker-compose up -d; fi")
    assert one.call("project_name") == "same"
    assert other.call("project_name").startswith("same-")
    kept = one.containers
    one.run("scripts/compose.sh", "up", "-d")
    assert one.containers == kept, "no second container beside it"


def test_a_copy_of_a_checkout_does_not_stop_the_first(places: tuple[Place, Place]) -> None:
    one, copy = places
    for place in places:
        place.set(COMPOSE_PROJECT_NAME="mine", RUN_DIR=f"{place.folder}/run")
    one.run("scripts/compose.sh", "up", "-d")
    for script in ("scripts/down.sh", "scripts/prepare.sh"):
        said = copy.run(script, code=1)
        assert f"the containers of compose's project mine belong to the checkout in {one.folder}" in said
        assert "Remove the line COMPOSE_PROJECT_NAME from .env here" in said
    assert len(one.containers) == 1


def test_ports_of_another_checkout_are_named_before_anything_is_built(places: tuple[Place, Place]) -> None:
    one, other = places
    other.set(PORT="8000", DESKTOP_PORT=str(free_port()), NOTEBOOK_PORT="8888", RUN_DIR=f"{other.folder}/run")
    docker(
        "run", "--rm", "--detach", "--network", "none", "--entrypoint", "sleep",
        "--label", "com.docker.compose.service=orchestrator", "--label", f"{FOLDER}={one.folder}",
        "--env", "AGENT_OUTPUT_DIR=/data", "--env", "PORT=8000", GATEWAY_IMAGE, "600",
    )  # fmt: skip
    said = other.run("scripts/up.sh", code=1)
    assert (
        f"the system of the checkout in {one.folder} runs and has the same settings: PORT=8000 NOTEBOOK_PORT=8888."
        in said
    )
    assert f"make -C {one.folder} down" in said
    assert not other.containers


# ── a stop ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stop_takes_the_limits_with_which_the_system_was_started(places: tuple[Place, Place]) -> None:
    one, _ = places
    one.set(DRAIN_SECONDS="1000.5", PACKAGE_SECONDS="200", RUN_DIR=f"{one.folder}/run")
    assert one.call("stop_seconds") == "1230", "the next start will have them"
    one.run("scripts/compose.sh", "up", "-d")
    one.set(DRAIN_SECONDS="1", PACKAGE_SECONDS="1", RUN_DIR=f"{one.folder}/run")
    assert one.call("stop_seconds") == "1230"
    assert "running jobs have 1000.5 s to end (DRAIN_SECONDS)" in one.run("scripts/down.sh")
    assert one.call("stop_seconds") == "32"


# ── .env ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("PORTT=1", "line 1: there is no setting PORTT; did you mean PORT?"),
        ("port=1", "line 1: there is no setting port; did you mean PORT?"),
        ("LLM_MODLE=x", "line 1: there is no setting LLM_MODLE; did you mean LLM_MODEL?"),
        ("OPENAI_API_KEY=sk-secret", "line 1: there is no setting OPENAI_API_KEY; did you mean LLM_API_KEY?"),
        ("GOOGLE_API_KEY=x", "line 1: there is no setting GOOGLE_API_KEY; did you mean GEMINI_API_KEY?"),
        ("UNHEARD_OF=x", "line 1: there is no setting UNHEARD_OF"),
        ("export PORT=1", "line 1 is not of the form NAME=value"),
        ("API_KEY: secret", "line 1 is not of the form NAME=value"),
        ("PORT = 8000", "line 1 is not of the form NAME=value"),
        ("# PORTT=1", ""),
        ("COMPOSE_FILE=a.yml", ""),
        ("PORT=8000\r", ""),
    ],
)
def test_a_faulty_line_of_dotenv_is_named_with_the_setting_that_was_meant(
    tmp_path: Path, line: str, fault: str
) -> None:
    place = Place(tmp_path / "checkout")
    (place.folder / ".env").write_text(f"{line}\n")
    assert place.call("faults_of_dotenv") == fault


def test_no_setting_is_a_fault_in_dotenv(tmp_path: Path) -> None:
    place = Place(tmp_path / "checkout")
    place.set(**env_example())
    assert place.call("faults_of_dotenv") == ""
