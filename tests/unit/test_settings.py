"""Settings: what stops a start, each with a sentence; and that what is written about them is true."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from orchestrator import llm
from orchestrator.diagnosis import run
from orchestrator.errors import SettingsError
from orchestrator.job_secrets import validation
from orchestrator.settings import Settings, load
from tests.support.system import COMPOSE_ALONE, ROOT, System, env_example, free_port, until

#: A setting that neither .env nor compose passes on: docker-compose reads it for itself, and in the orchestrator's
#: container the engine's socket is always at its default place.
ENGINE = "DOCKER_HOST"

ANY = "0.0.0.0"  # noqa: S104 - on purpose, to see it refused

NAMES = {name.upper() for name in Settings.model_fields}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, because sockets need one."""
    with tempfile.TemporaryDirectory(prefix="ca-") as name:
        yield Path(name)


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Exactly these settings in the environment of this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def orchestrator(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it until it ends by itself."""
    run = [sys.executable, "-m", "orchestrator", *arguments]
    env = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def refused(folder: Path, **settings: str) -> str:
    """Try to start; returns what is said, in lines that a person can read."""
    own = {"AGENT_OUTPUT_DIR": str(folder / "jobs"), "RUN_DIR": str(folder / "run"), "PORT": str(free_port())}
    found = orchestrator({**own, **settings})
    assert found.returncode == 1, found
    assert "Traceback" not in found.stderr
    assert not found.stdout
    return found.stderr


# ── what stops a start ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_address_that_others_can_reach_needs_a_key(folder: Path) -> None:
    said = refused(folder, HOST=ANY)
    assert f"HOST={ANY} can be reached by others, so API_KEY must be set" in said
    assert "runs code on this machine" in said
    assert not (folder / "jobs").exists()


@pytest.mark.parametrize("host", [ANY, "::", "192.168.1.5", "box.example", "128.0.0.1", "0"])
def test_only_loopback_is_free_of_the_key(host: str) -> None:
    with environment(HOST=host), pytest.raises(Exception, match="API_KEY must be set"):
        load()
    with environment(HOST=host, API_KEY="12345678"):
        assert load().host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    with environment(HOST=host):
        assert load().api_key is None


def test_all_wrong_settings_are_named_at_once(folder: Path) -> None:
    wrong = {
        "PORT": "http", "RETENTION_DAYS": "0", "MAX_CONCURRENT_JOBS": "0", "MAX_QUEUED_JOBS": "-1",
        "DEFAULT_NETWORK": "host",
        "START_SECONDS": "soon", "PACKAGE_SECONDS": "0", "LINK_LOST_SECONDS": "NaN", "DRAIN_SECONDS": "-1",
        "DISK_RESERVE": "half", "LOG_LEVEL": "loud", "API_KEY": "short", "RUN_DIR": "/" + "x" * 100,
    }  # fmt: skip
    said = refused(folder, **wrong)
    assert "Settings are wrong, nothing was started." in said
    assert set(re.findall(r"^  ([A-Z_]+): ", said, re.MULTILINE)) == set(wrong)
    assert "512m" in said  # how a size is written
    assert "short" not in said  # a key is never told
    assert not (folder / "jobs").exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("API_KEY", "abc", "API_KEY: has 3 characters, and a key needs at least 8; `openssl rand -hex 16` makes one"),
        ("API_KEY", "x", "API_KEY: has 1 character, and a key needs at least 8"),
        ("PORT", "http", "PORT: must be an integer, not 'http'"),
        ("PORT", "70000", "PORT: must be at most 65535, not '70000'"),
        ("MAX_CONCURRENT_JOBS", "0", "MAX_CONCURRENT_JOBS: must be at least 1, not '0'"),
        ("DRAIN_SECONDS", "soon", "DRAIN_SECONDS: must be a number, not 'soon'"),
        ("DEFAULT_NETWORK", "host", "DEFAULT_NETWORK: must be 'none' or 'internet', not 'host'"),
        ("LLM_PROVIDER", "gpt", "LLM_PROVIDER: must be 'auto', 'gemini', 'anthropic', 'openai' or 'none', not 'gpt'"),
    ],
)
def test_a_wrong_setting_is_told_in_plain_words_with_its_value(name: str, value: str, words: str) -> None:
    with environment(**{name: value}), pytest.raises(SettingsError) as refused:
        load()
    assert words in str(refused.value)
    assert "Input" not in str(refused.value) and "items" not in str(refused.value)


def test_a_port_in_use_is_told_with_what_to_do(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(folder, PORT=str(port))
    assert f"HOST=127.0.0.1 PORT={port} cannot be listened on: Address already in use. Set another PORT." in said


def test_an_address_that_is_not_ours_is_told(folder: Path) -> None:
    said = refused(folder, HOST="192.0.2.1", API_KEY="12345678")
    assert "HOST=192.0.2.1" in said
    assert "cannot be listened on" in said


def test_a_name_that_nobody_has_is_told(folder: Path) -> None:
    assert "HOST=no-such-name.invalid" in refused(folder, HOST="no-such-name.invalid", API_KEY="12345678")


def test_folders_that_cannot_be_made_are_told(folder: Path) -> None:
    (folder / "file").touch()
    for name in ("AGENT_OUTPUT_DIR", "RUN_DIR"):
        said = refused(folder, **{name: str(folder / "file" / "below")})
        assert name in said
        assert "Not a directory" in said


def test_a_record_that_cannot_be_read_is_told_and_left_as_it_is(folder: Path) -> None:
    text = "this is no database, but a text. " * 100
    (folder / "jobs").mkdir()
    (folder / "jobs" / "orchestrator.db").write_text(text)
    said = refused(folder)
    assert "orchestrator.db" in said
    assert (folder / "jobs" / "orchestrator.db").read_text() == text


@pytest.mark.parametrize("shared", ["AGENT_OUTPUT_DIR", "RUN_DIR"])
def test_a_second_orchestrator_on_the_same_folder_is_refused(
    make_parked: Callable[..., System], folder: Path, shared: str
) -> None:
    first = make_parked().start()
    job_id = first.submit(prompt="Hello world")
    said = refused(folder, **{shared: first.settings[shared]})
    assert "Another orchestrator holds the r" in said
    assert first.settings[shared] in said
    assert "Stop it, or set AGENT_OUTPUT_DIR and RUN_DIR" in said
    assert first.status(job_id)["status"] == "scheduled"


# ── a start and an end ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_that_goes_wrong_ends_with_what_went_wrong(tmp_path: Path) -> None:
    code = """
from orchestrator import __main__
from orchestrator.jobs import service
async def start(self): raise RuntimeError("it went wrong")
service.JobService.start = start
__main__.main()
"""
    own = {"AGENT_OUTPUT_DIR": str(tmp_path / "jobs"), "RUN_DIR": str(tmp_path / "run"), "PORT": str(free_port())}
    run, env = [sys.executable, "-c", code], {"PATH": os.environ["PATH"], **own}
    found = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1 and "it went wrong" in found.stderr, found


def test_the_health_command_tells_how_a_running_orchestrator_is(make_parked: Callable[..., System]) -> None:
    system = make_parked(HOST=ANY, API_KEY="12345678")
    away = orchestrator(system.settings, "health")
    assert (away.returncode, away.stderr) == (1, "")
    assert f"127.0.0.1:{system.port} does not answer" in away.stdout
    ill = orchestrator(system.start().settings, "health")
    assert (ill.returncode, ill.stderr) == (1, "")
    assert "does not answer" in ill.stdout
    assert "degraded" in ill.stdout
    assert "12345678" not in ill.stdout


def test_the_health_command_is_content_with_a_system_that_is_well(system: System) -> None:
    found = orchestrator(system.settings, "health")
    assert (found.returncode, found.stderr) == (0, "")
    assert '"status":"ok"' in found.stdout.replace(" ", "")


def test_both_signals_stop_it_in_order_and_the_socket_goes(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    assert system.process
    for number in (signal.SIGINT, signal.SIGTERM):
        assert (system.run_dir / "link" / "link.sock").is_socket()
        system.process.send_signal(number)
        assert system.process.wait(timeout=30) == 0
        assert not (system.run_dir / "link" / "link.sock").exists()
        system.start()
    until(lambda: system.http.get("/health").status_code == 200, "it is well again")
    assert "Traceback" not in system.log.read_text()


# ── what is written about them ───────────────────────────────────────────────────────────────────────────────────────


def test_the_env_example_has_every_setting_and_no_other() -> None:
    assert set(env_example()) == NAMES - {ENGINE} | COMPOSE_ALONE


def test_the_env_example_says_the_defaults() -> None:
    with environment():
        defaults = load()
    with environment(**env_example()):
        assert load() == defaults
    for name, value in env_example().items():
        if name in NAMES and value:
            with environment(**{name: value}):
                assert load() == defaults, name
    without = {name for name, value in env_example().items() if not value}
    keys = {"GEMINI_API_KEY", "ANTHROPIC_API_KEY", "LLM_API_KEY", "API_KEY"}
    models = {"LLM_MODEL", "LLM_MODELS", "LLM_FALLBACK", "LLM_TEMPERATURE", "LLM_CONCURRENCY", "MODEL_FILE"}
    assert without == keys | models | {"ALLOWED_HOSTS", "MAX_CONCURRENT_JOBS"}


def test_every_setting_has_a_comment_in_the_env_example() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if line and not line.startswith("#"):
            assert before.startswith("# "), line


def test_compose_passes_every_setting_to_the_orchestrator() -> None:
    lines = iter((ROOT / "docker-compose.yml").read_text().splitlines())
    passed = set()
    for line in lines:
        if line == "    environment:":
            for item in lines:
                if not re.match(r" {6}", item):
                    break
                if match := re.match(r" {6}- ([A-Z_]+)", item):
                    passed.add(match[1])
            break
    assert passed == NAMES - {ENGINE}


#: How the name of a setting ends that is a key.
LIKE_A_KEY = re.compile(r"(^|_)(keys?|token|secrets?|password|passphrase|credentials?)$")


def test_a_setting_that_looks_like_a_key_is_marked_as_a_secret() -> None:
    looks = {name for name in Settings.model_fields if LIKE_A_KEY.search(name)}
    assert len(looks) > 1
    assert looks == set(Settings.secret_names())


def test_the_key_of_a_new_provider_is_redacted_because_its_field_is_secret() -> None:
    class WithAnother(Settings):
        another_api_key: SecretStr | None = Field(None, description="Key for another provider.")

    settings = WithAnother(another_api_key=SecretStr("a-new-providers-key"), api_key=SecretStr("the-api-key"))
    assert validation.keys(settings) == {"ANOTHER_API_KEY": "a-new-providers-key", "API_KEY": "the-api-key"}
    assert set(llm.secrets(settings)) == {"a-new-providers-key", "the-api-key"}


def test_the_words_of_an_error_that_a_check_met_have_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_: object) -> run.Finding:
        raise RuntimeError("the server said: bad key the-api-key")

    monkeypatch.setattr(run, "CHECKS", {"model": run.Check(look, 1, "")})
    nothing: Any = None
    diagnosis = run.Diagnosis(Settings(api_key=SecretStr("the-api-key")), *[nothing] * 5)
    found = asyncio.run(diagnosis.full())
    assert found["model"].detail == "The check failed unexpectedly: the server said: bad key [secret API_KEY]"


def test_each_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())
