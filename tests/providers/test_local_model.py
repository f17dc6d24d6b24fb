"""`make model`: what it checks, starts and writes.

llama.cpp takes minutes to compile, so no test builds it. Programs in the place of docker and compose stand for the
engine; a real HTTP server answers as the model's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import Checkout
from tests.support.system import ROOT, System, free_port

ALIAS = "Some-Coder-1.5B_Q4"

#: The engine knows every image, and has one container.
DOCKER = """case "$1" in
    compose) exit 1 ;;
    inspect) case "$*" in *RestartCount*) cat "$STATE/restarts" ;; *) echo true ;; esac ;;
    logs) echo "llama_model_load: error loading model" ;;
esac"""
COMPOSE = """echo "MODEL_FILE=$MODEL_FILE LLM_MODEL=$LLM_MODEL: $*" >>"$STATE/compose"
case "$*" in
    *"up --build -d model"*) [ ! -e "$STATE/refuses" ] || exit 1 ;;
    *"ps -q model") echo model-container ;;
    "ps -q orchestrator") cat "$STATE/up" ;;
esac"""


class Local:
    """A checkout with a model's file, an engine and compose that do what the test says."""

    def __init__(self, folder: Path) -> None:
        self.place, self.state, self.port = folder / "checkout", folder / "state", free_port()
        for name in ("scripts", "certs"):
            shutil.copytree(ROOT / name, self.place / name)
        shutil.copy(ROOT / ".env.example", self.place)
        self.state.mkdir()
        self.dotenv = self.place / ".env"
        self.dotenv.write_text(
            "# mine\nLLM_BASE_URL=https://models.example/v1\nLLM_MODEL=theirs\nAPI_KEY='a b&c|d'\n\n"
        )
        self.dotenv.chmod(0o600)
        self.file = folder / "the models" / f"{ALIAS}.gguf"
        self.file.parent.mkdir()
        self.file.write_bytes(b"GGUF\x03\0\0\0")
        tools = folder / "tools"
        tools.mkdir()
        for name, code in {"docker": DOCKER, "docker-compose": COMPOSE}.items():
            (tools / name).write_text(f"#!/bin/bash\n{code}\n")
            (tools / name).chmod(0o755)
        (self.state / "restarts").write_text("0\n")
        (self.state / "up").touch()
        self.env = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "STATE": str(self.state),
            "MODEL_FILE": str(self.file),
            "MODEL_PORT": str(self.port),
        }

    def run(self, *arguments: str, **settings: str | None) -> tuple[int, str]:
        env = {name: value for name, value in {**self.env, **settings}.items() if value is not None}
        run = ["scripts/model.sh", *arguments]
        done = subprocess.run(run, cwd=self.place, env=env, capture_output=True, text=True, timeout=60)
        assert not done.stdout
        return done.returncode, done.stderr

    def refused(self, **settings: str | None) -> str:
        """What is said; nothing was built, started or written."""
        before = self.dotenv.read_bytes()
        code, said = self.run(**settings)
        assert code == 1 and said.startswith("error: "), said
        assert not (self.state / "compose").exists() and self.dotenv.read_bytes() == before
        return said

    @property
    def settings(self) -> list[str]:
        """The lines of .env, without the name that the scripts give to the project."""
        return [line for line in self.dotenv.read_text().splitlines() if not line.startswith("COMPOSE_PROJECT_NAME=")]

    @property
    def compose(self) -> list[str]:
        return (self.state / "compose").read_text().splitlines()


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path)


@pytest.fixture
def answers(local: Local) -> Iterator[None]:
    """A server at the model's port that knows the model."""

    class Models(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            assert self.path == "/v1/models"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"object": "list", "data": [{"id": ALIAS}]}).encode())

    with HTTPServer(("127.0.0.1", local.port), Models) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_without_a_file_it_says_which_one_to_download(local: Local) -> None:
    said = local.refused(MODEL_FILE=None)
    assert "Qwen2.5-Coder" in said and "make model MODEL_FILE=" in said


def test_a_file_that_cannot_be_run_is_refused_before_anything_is_built(local: Local, tmp_path: Path) -> None:
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"\0\0GGUF")
    assert "is not a GGUF file" in local.refused(MODEL_FILE=str(other))
    assert "does not exist" in local.refused(MODEL_FILE="/no/such.gguf")
    assert f"{local.place}/such.gguf does not exist" in local.refused(MODEL_FILE="such.gguf")
    assert "/home/me/such.gguf does not exist" in local.refused(MODEL_FILE="~/such.gguf", HOME="/home/me")
    assert "is not a file" in local.refused(MODEL_FILE=str(tmp_path))
    assert "llama-gguf-split" in local.refused(MODEL_FILE="/x-00001-of-00003.gguf")
    assert "rename it" in local.refused(MODEL_FILE="/it's.gguf")
    assert "MODEL_MEMORY=900m is too little" in local.refused(MODEL_MEMORY="900m")
    local.file.chmod(0o600)
    assert f"chmod o+r '{local.file}'" in local.refused()


def test_a_value_of_the_shell_that_hides_the_one_in_env_is_refused(local: Local) -> None:
    assert "unset LLM_MODEL" in local.refused(LLM_MODEL="theirs")
    assert "unset LLM_BASE_URL" in local.refused(LLM_BASE_URL="")


def test_it_writes_the_model_into_env_and_says_what_it_replaced(local: Local, answers: None) -> None:
    code, said = local.run()
    assert code == 0, said
    url = f"http://127.0.0.1:{local.port}/v1"
    assert f"{ALIAS} answers at {url}" in said and "'make up' starts the system with it" in said
    assert f"LLM_BASE_URL={url} replaces LLM_BASE_URL=https://models.example/v1" in said
    assert f"LLM_MODEL={ALIAS} replaces LLM_MODEL=theirs" in said and "LLM_PROVIDER" not in said
    kept = ["# mine", f"LLM_BASE_URL={url}", f"LLM_MODEL={ALIAS}", "API_KEY='a b&c|d'", ""]
    lines = [*kept, f"MODEL_FILE={local.file}", f"MODEL_PORT={local.port}"]
    assert local.settings == lines
    assert local.dotenv.stat().st_mode & 0o777 == 0o600
    start = f"MODEL_FILE={local.file} LLM_MODEL={ALIAS}: --profile model up --build -d model"
    assert [line for line in local.compose if " up " in line] == [start]

    code, said = local.run(MODEL_FILE=None, MODEL_PORT=None)  # both are in .env now
    assert code == 0 and ".env" not in said and local.settings == lines


def test_a_system_that_is_up_is_started_again_with_the_model(local: Local, answers: None) -> None:
    (local.state / "up").write_text("orchestrator-container\n")
    with local.dotenv.open("a") as dotenv:
        dotenv.write("GEMINI_API_KEY=a-key-of-gemini\n")
    code, said = local.run()
    # what follows is up.sh, which looks for the containers of the system
    assert [line.partition(": ")[2] for line in local.compose if " up " in line or ": up " in line] == [
        "--profile model up --build -d model",
        "up --build -d --timeout 180",
    ]
    assert "restarting the orchestrator" in said and code == 1 and "compose started no live gateway" in said
    assert "LLM_PROVIDER=openai\n" in local.dotenv.read_text(), "auto would ask Gemini"


def test_a_server_that_ends_is_told_with_its_log_and_env_stays_as_it_is(local: Local) -> None:
    before = local.settings
    tool = next(Path(folder) for folder in local.env["PATH"].split(":")) / "docker"
    tool.write_text(tool.read_text().replace("echo true", 'echo "$(<"$STATE/running")"'))
    (local.state / "running").write_text("false\n")
    code, said = local.run()
    assert code == 1 and "error loading model" in said and "use a smaller file" in said
    (local.state / "refuses").touch()
    code, said = local.run()
    assert code == 1 and f"If port {local.port} is taken" in said
    assert local.settings == before


def test_the_demo_with_a_model_uses_what_is_configured_or_says_what_to_do(local: Local, answers: None) -> None:
    assert local.run("chosen") == (0, "")
    code, said = local.run("chosen", DEMO_MODEL="1")
    assert code == 0 and "the configured model" in said and not (local.state / "compose").exists()
    local.dotenv.write_text("")
    code, said = local.run("chosen", DEMO_MODEL="1", MODEL_FILE=None)
    assert code == 1 and "DEMO_MODEL=1 make demo MODEL_FILE=" in said
    for _ in range(2):  # afterwards it is configured, and started where it does not run
        code, said = local.run("chosen", DEMO_MODEL="1")
        assert code == 0 and f"{ALIAS} answers" in said
    assert sum("up --build -d model" in line for line in local.compose) == 2


@pytest.mark.usefixtures("engine")
def test_compose_takes_the_model_and_keeps_it_from_everybody_else(tmp_path: Path) -> None:
    checkout, file = Checkout(tmp_path), str(tmp_path / "a model.gguf")
    with (checkout.place / ".env").open("a") as dotenv:
        dotenv.write(f"MODEL_FILE={file}\nLLM_MODEL={ALIAS}\n")
    text = checkout.run("scripts/compose.sh", "--profile", "model", "config")
    model: dict[str, Any] = yaml.safe_load(text)["services"]["model"]
    assert model["cap_drop"] == ["ALL"] and model["security_opt"] == ["no-new-privileges"] and model["read_only"]
    (volume,) = model["volumes"]
    assert (volume["source"], volume["target"], volume["read_only"]) == (file, "/model.gguf", True)
    (port,) = model["ports"]
    if isinstance(port, dict):  # compose v2
        port = f"{port['host_ip']}:{port['published']}:{port['target']}/{port['protocol']}"
    assert port == f"127.0.0.1:{checkout.settings['MODEL_PORT']}:8000/tcp"
    assert {f"--model_alias={ALIAS}", "--n_ctx=16384"} <= set(model["command"])
    assert re.search(r"^USER 65534", (ROOT / "model/Dockerfile").read_text(), re.MULTILINE)


# ── the demo ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def demo(system: System, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PORT": str(system.port), **settings}
    run = ["python3", str(ROOT / "scripts/demo.py")]
    return subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def test_the_demo_by_a_model_is_free_text_and_the_other_needs_no_model(parked: System, tmp_path: Path) -> None:
    found = demo(parked, tmp_path, DEMO_MODEL="1")
    assert found.returncode == 1 and "primes.py" in found.stdout and "/problems/no-plan" in found.stderr


def test_the_demo_shows_what_the_model_thinks_as_it_comes(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import demo
class Api:
    def ask(self, path):
        return {{"steps": [{{"number": 1, "title": "Write it"}}] if self.made else []}}
    def events(self, job_id):
        yield "thought", {{"text": "First I\\n"}}
        yield "thought", {{"text": "write\\x1b it."}}
        self.made = True
        yield "step_started", {{"step": 1}}
        yield "completed", {{}}
    made = False
print(demo.follow(Api(), "1"))
"""
    found = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [
        "    ~ First I", "    ~ write\N{REPLACEMENT CHARACTER} it.", "    step 1: Write it", "  completed", "completed",
    ]  # fmt: skip
