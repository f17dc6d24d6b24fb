"""Diagnosis: each thing is really broken, and the check that is for it says so, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import socketserver
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from orchestrator.db.store import Store
from orchestrator.diagnosis import base, record
from orchestrator.engines.base import Engine
from orchestrator.files.job_files import JobFiles
from orchestrator.live.grants import Signer
from orchestrator.settings import LONGEST_SOCKET, SOCKET_PATH_BYTES, Settings
from protocol.messages import VERSION
from tests.support.images import ENTRYPOINTS, LABEL, derive
from tests.support.providers import GeminiServer, Turn
from tests.support.system import IMAGE, OWN, ROOT, System, check_own, docker, free_port, until

ALL = [
    "engine", "image", "versions", "sandbox", "link", "ports", "views", "gateway", "disk", "database", "clock", "model",
    "settings",
]  # fmt: skip
NOWHERE = "unix:///nonexistent.sock"
KEY = "key-3f1c-short"
ANY = "0.0.0.0"  # noqa: S104 - on purpose
DAY = 86_400

#: What cannot be well without an engine.
AWAY = ("engine", "image", "sandbox")


def full(system: System, *others: str) -> dict[str, dict[str, Any]]:
    """The checks, which must be well but for the others; each that is not says what to do.

    A system of the tests has no live gateway, but for the one that is given one.
    """
    others = others if system.gateway or "gateway" in others else (*others, "gateway")
    answer = system.http.get("/health?full")
    checks: dict[str, dict[str, Any]] = answer.json()["checks"]
    assert list(checks) == ALL
    assert {name for name, check in checks.items() if check["result"] != "ok"} == set(others), checks
    for check in checks.values():
        assert check["detail"] and bool(check["to_do"]) == (check["result"] != "ok"), check
        assert check["ok"] == (check["result"] != "failed")
    assert answer.status_code == (200 if all(check["ok"] for check in checks.values()) else 503)
    return checks


@pytest.fixture(scope="module")
def bold(engine: None) -> Iterator[System]:
    """A system with settings that are allowed, but worth a warning each."""
    with GeminiServer(lambda asked: Turn("ready"), "gemini-key-9d27-never-told") as server:
        one = System(
            API_KEY=KEY, HOST=ANY, MAX_CONCURRENT_JOBS="900", RETENTION_DAYS="0.01", **server.settings,
        )  # fmt: skip
        try:
            yield one.start()
        finally:
            one.close()


@pytest.fixture(scope="module")
def system_with_gateway(engine: None) -> Iterator[System]:
    one = System()
    try:
        yield one.start().with_gateway()
    finally:
        one.close()


# ── a system that is well ────────────────────────────────────────────────────────────────────────────────────────────


def test_of_a_system_that_is_well_all_is_said_and_nothing_is_left_behind(system: System) -> None:
    checks = full(system)
    assert "its agent reached the link" in checks["sandbox"]["detail"]
    assert docker("version", "-f", "{{.Server.Version}}") in checks["versions"]["detail"]
    assert system.containers() == []
    assert list(system.http.get("/health").json()["checks"]) == ["engine", "image", "disk", "model"]
    assert list(system.http.get("/health?full=false").json()["checks"]) == ["engine", "image", "disk", "model"]
    assert list(system.http.get("/health?full=true").json()["checks"]) == ALL
    wrong = system.http.get("/health?full=perhaps")
    assert wrong.status_code == 422 and wrong.json()["detail"].startswith("full: must be true or false")


def test_a_person_gets_a_table_and_those_who_ask_at_once_share_one_sandbox(system: System) -> None:
    before = system.log.read_text().count('"path": "/take"')
    with ThreadPoolExecutor(4) as many:
        tables = list(many.map(lambda _: system.http.get("/health?full", headers={"Accept": "text/plain"}), range(4)))
    for table in tables:
        assert table.status_code == 200 and table.headers["content-type"].startswith("text/plain")
        rows = [line.split()[:2] for line in table.text.splitlines()]
        assert [row for row in rows if row[0] == "→"] == [["→", "`make"]], "what to do about the gateway"
        assert [row for row in rows if row[0] != "→"] == [["!" if name == "gateway" else "✓", name] for name in ALL]
    assert system.log.read_text().count('"path": "/take"') - before < 4


def test_a_sandbox_that_is_tried_while_the_system_ends_is_removed(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    for end in (system.kill, system.stop):
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(lambda: system.http.get("/health?full"))
            until(system.containers, "a sandbox is being tried")
            end()
            with contextlib.suppress(Exception):
                asked.result()
        if end == system.kill:
            system.start()
            until(lambda: not system.containers(), "the next start removes it")
    assert not system.containers()


def test_which_model_is_set_is_said_and_never_a_key_and_what_is_worth_a_warning(bold: System) -> None:
    checks = full(bold, "settings")
    assert "gemini: gemini-3.8-flash at 127.0.0.1:" in checks["model"]["detail"]
    assert "; answered" in checks["model"]["detail"]
    assert bold.settings["GEMINI_API_KEY"] not in json.dumps(checks) and KEY not in json.dumps(checks)
    found = checks["settings"]
    for words in (
        f"HOST={ANY} is reachable from other machines", "API_KEY is short", "RETENTION_DAYS=0.01 is less than an hour",
        "MAX_CONCURRENT_JOBS=900 is more than the", "1.0 GiB each, they exceed the machine's",
    ):  # fmt: skip
        assert words in found["detail"]
    assert found["to_do"].startswith("Put a TLS proxy in front; ") and found["to_do"].endswith("then `make up`.")


# ── the engine and the image ─────────────────────────────────────────────────────────────────────────────────────────


def test_without_an_engine_it_alone_has_failed_and_the_rest_is_looked_at(parked: System) -> None:
    checks = full(parked, *AWAY)
    assert "nonexistent.sock does not answer" in checks["engine"]["detail"]
    assert "systemctl start docker" in checks["engine"]["to_do"]
    assert checks["image"]["result"] == checks["sandbox"]["result"] == "warning"
    assert "Skipped" in checks["sandbox"]["detail"]


class StandIn(socketserver.ThreadingUnixStreamServer):
    """An engine that cannot be had here: it says of itself what a test wants, and all else is as the real one says it.

    From ``hang`` on it accepts, and never answers.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.otherwise: dict[str, Any] = {}
        self.really: dict[str, dict[str, Any]] = {
            "version": json.loads(docker("version", "-f", "{{json .Server}}")),
            "info": json.loads(docker("info", "-f", "{{json .}}")),
            "json": json.loads(docker("image", "inspect", IMAGE))[0],
        }
        self.answers = threading.Event()
        self.answers.set()
        super().__init__(str(path), Answering)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def says(self, what: str) -> dict[str, Any]:
        known = self.really[what]
        if what == "info":
            known["SystemTime"] = datetime.now(UTC).isoformat()
        return known | {name: value for name, value in self.otherwise.items() if name in known}

    def hang(self) -> None:
        self.answers.clear()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.answers.set()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    known: ClassVar[set[str]] = {"version", "info", "json"}

    def address_string(self) -> str:
        return "a Unix socket"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server = cast(StandIn, self.server)
        server.answers.wait()
        what = self.path.rpartition("/")[2]
        found = what in self.known and "containers" not in self.path
        with contextlib.suppress(OSError):
            self.send_response(200 if found else 500)
            self.end_headers()
            self.wfile.write(json.dumps(server.says(what) if found else {"message": "not in this test"}).encode())

    do_POST = do_DELETE = do_GET


@pytest.fixture
def stand_in(engine: None, tmp_path: Path) -> Iterator[StandIn]:
    engine = StandIn(tmp_path / "engine.sock")
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def of_stand_in(make_system: Callable[..., System], stand_in: StandIn) -> Iterator[System]:
    """A system on that engine; when it stops, nothing hangs any more."""
    yield make_system(DOCKER_HOST=f"unix://{stand_in.server_address}").start()
    stand_in.close()


def test_an_engine_that_hangs_is_reported_soon_and_holds_up_nothing(of_stand_in: System, stand_in: StandIn) -> None:
    stand_in.hang()
    with ThreadPoolExecutor(8) as many:
        begun = time.monotonic()
        brief = many.submit(of_stand_in.http.get, "/health")
        asked = [many.submit(full, of_stand_in, *AWAY) for _ in range(7)]
        while not all(one.done() for one in asked):
            at = time.monotonic()
            assert of_stand_in.http.get("/jobs").status_code == 200
            assert time.monotonic() - at < 2.5, "the event loop is free"
        found = asked[0].result()["engine"]
        assert time.monotonic() - begun < 15
        assert "does not answer within 3 s" in found["detail"] and found["to_do"]
        assert "does not answer within 3 s" in brief.result().json()["checks"]["engine"]["detail"]
        names = [path.read_text() for path in Path(f"/proc/{pid(of_stand_in)}/task").glob("*/comm")]
        assert sum("docker" in name for name in names) < 8, "what hangs is not asked again and again"


def pid(system: System) -> int:
    assert system.process
    return system.process.pid


LIMITED: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"ApiVersion": "1.40", "Version": "19.03.1"}, "engine", "failed", "Docker 19.03.1, API 1.40", "Update"),
    ({"MemoryLimit": False, "PidsLimit": False}, "engine", "warning", "memory and processes", "docker info"),
    ({"Driver": "vfs"}, "engine", "warning", "copies the whole image", "overlay2"),
    ({"SystemTime": "2020-01-01T00:00:00.123456789Z"}, "clock", "warning", "from ours by", "timedatectl"),
]


def test_of_an_engine_that_cannot_do_it_all_that_is_said(of_stand_in: System, stand_in: StandIn) -> None:
    for said, check, result, words, to_do in LIMITED:
        stand_in.otherwise = said
        found = full(of_stand_in, check, "sandbox")[check]  # the stand-in starts nothing
        assert found["result"] == result
        assert words in found["detail"] and to_do in found["to_do"]


@pytest.fixture(scope="module")
def tag(engine: None) -> Iterator[str]:
    name = f"containerized-agent-doctor-{os.getpid()}"
    try:
        yield name
    finally:
        for image in docker("images", "--format", "{{.Repository}}:{{.Tag}}", name).split():
            docker("rmi", "--force", image)


def test_an_image_that_is_missing_of_another_version_or_broken(make_system: Callable[..., System], tag: str) -> None:
    system = make_system(AGENT_IMAGE=f"{tag}:changing").start()
    found = full(system, "image", "sandbox")["image"]
    assert "is not there" in found["detail"] and "make up" in found["to_do"]
    derive(f"{tag}:changing", f'LABEL {LABEL}="9.9.9"')
    checks = full(system, "image", "versions", "sandbox")
    assert "has version 9.9.9" in checks["image"]["detail"] and "make up" in checks["image"]["to_do"]
    assert "9.9.9" in checks["versions"]["detail"] and checks["sandbox"]["result"] == "warning"
    derive(f"{tag}:changing", f"ENTRYPOINT {ENTRYPOINTS['dies']}")
    found = full(system, "sandbox")["sandbox"]
    assert found["result"] == "failed" and "exit code 7" in found["detail"] and "boom" in found["detail"]
    derive(f"{tag}:changing", f"ENTRYPOINT {ENTRYPOINTS['missing']}")
    found = full(system, "sandbox")["sandbox"]
    assert "cannot start a sandbox" in found["detail"] and "/no/such/program" in found["detail"]
    assert system.containers() == []


# ── doors and record ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_that_is_not_as_it_must_be(parked: System) -> None:
    folder = parked.run_dir / "link"
    folder.chmod(0o755)
    found = full(parked, *AWAY, "link")["link"]
    assert found["result"] == "failed" and "mode 0755" in found["detail"] and "0750" in found["to_do"]
    folder.chmod(0o750)
    (folder / "link.sock").rename(folder / "away")
    with closing(socket.socket(socket.AF_UNIX)) as nobody:
        nobody.bind(str(folder / "link.sock"))
        assert "Connection refused" in full(parked, *AWAY, "link")["link"]["detail"]
    (folder / "away").rename(folder / "link.sock")
    full(parked, *AWAY)


def test_folders_of_views_that_others_may_enter_or_that_are_gone(parked: System) -> None:
    for name in ("live", "gateway"):
        folder = parked.run_dir / name
        folder.chmod(0o755)
        found = full(parked, *AWAY, "views")["views"]
        assert found["result"] == "failed" and f"{folder} has mode 0755" in found["detail"]
        folder.chmod(0o750)
    path = parked.run_dir / "gateway" / "gateway.sock"
    path.rename(path.with_name("away"))
    found = full(parked, *AWAY, "views")["views"]
    assert f"{path} is gone" in found["detail"] and "Start the system again" in found["to_do"]
    path.with_name("away").rename(path)
    (parked.run_dir / "live").rename(parked.run_dir / "away")
    found = full(parked, *AWAY, "views")["views"]
    assert f"{parked.run_dir}/live of the views cannot be read: No such file or directory" in found["detail"]
    (parked.run_dir / "away").rename(parked.run_dir / "live")
    size = len(f"{parked.run_dir}/live/012345678901/notebook")
    assert f"{size} of 107 bytes" in full(parked, *AWAY)["views"]["detail"]


def test_a_gateway_that_runs_is_gone_through_and_one_that_cannot_reach_us_is_seen(system_with_gateway: System) -> None:
    system = system_with_gateway
    found = full(system)["gateway"]
    assert f"DESKTOP_PORT={system.desktop_port}" in found["detail"] and VERSION in found["detail"]
    sockets = system.run_dir / "gateway"
    (sockets / "gateway.sock").rename(sockets / "away")
    docker("restart", system.gateway)  # it keeps connections
    until(lambda: system.http.get("/health?full").json()["checks"]["gateway"]["result"] == "failed", "it is seen")
    found = full(system, "views", "gateway")["gateway"]
    assert "does not reach the orchestrator: it answers 503" in found["detail"] and "logs novnc" in found["to_do"]
    (sockets / "away").rename(sockets / "gateway.sock")
    full(system)


def test_what_listens_in_the_place_of_the_gateway_is_told(
    make_system: Callable[..., System], system_with_gateway: System
) -> None:
    theirs = system_with_gateway
    ports = {"DESKTOP_PORT": str(theirs.desktop_port), "NOTEBOOK_PORT": str(theirs.notebook_port)}
    found = full(make_system(DOCKER_HOST=NOWHERE, **ports).start(), *AWAY, "gateway")["gateway"]
    assert found["result"] == "failed" and "belongs to another system" in found["detail"]
    assert "set another DESKTOP_PORT" in found["to_do"]
    system = make_system(DOCKER_HOST=NOWHERE).start()
    found = full(system, *AWAY)["gateway"]
    assert found["result"] == "warning" and "Nothing listens at" in found["detail"] and "make up" in found["to_do"]
    for answer, words in (
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "not the live gateway"),
        (b"HTTP/1.0 200 OK\r\n\r\n0.0.9\n", "has version 0.0.9, but the orchestrator"),
        (b"220 mail\r\n", "its answer is not HTTP"),
    ):
        with socket.create_server(("127.0.0.1", system.desktop_port)) as other:
            thread = threading.Thread(target=say_once, args=(other, answer))
            thread.start()
            found = full(system, *AWAY, "gateway")["gateway"]
            thread.join()
        assert found["result"] == "failed" and words in found["detail"]


def say_once(listening: socket.socket, answer: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


def test_a_link_that_is_gone_is_seen_from_inside_a_sandbox_too(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    (system.run_dir / "link" / "link.sock").unlink()
    checks = full(system, "link", "sandbox")
    assert "is gone" in checks["link"]["detail"] and "Start the system again" in checks["link"]["to_do"]
    assert "did not reach the link" in checks["sandbox"]["detail"] and "RUN_DIR" in checks["sandbox"]["to_do"]
    assert system.containers() == []


def test_a_disk_that_gets_short(make_system: Callable[..., System], small_disk: Path) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="16m", DOCKER_HOST=NOWHERE).start()
    assert "The record has" in full(system, *AWAY)["disk"]["detail"]
    (small_disk / "filler").write_bytes(b"x" * 35 * 2**20)
    found = full(system, *AWAY, "disk")["disk"]
    assert found["result"] == "warning" and "is low" in found["detail"]
    (small_disk / "more").write_bytes(b"x" * 15 * 2**20)
    found = full(system, *AWAY, "disk")["disk"]
    assert found["result"] == "failed" and "less than DISK_RESERVE" in found["detail"]
    assert "Free some disk space" in found["to_do"]
    system.close()
    system.process = None


def test_a_damaged_record_is_found_and_the_system_still_answers_and_stops(make_system: Callable[..., System]) -> None:
    system = make_system(DOCKER_HOST=NOWHERE).start()
    system.cancel(system.submit(prompt="Hello world"))
    system.stop()
    path = system.record / "orchestrator.db"
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'by_status'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 200)
    system.start()
    found = full(system, *AWAY, "database")["database"]
    assert found["result"] == "failed" and str(path) in found["detail"] and "is damaged" in found["detail"]
    assert "keep a copy" in found["to_do"]
    assert "cannot be read" in system.http.get("/health").json()["checks"]["database"]["detail"]
    reconnected = "the engine's event stream ended"  # once a second, as often as a clock looks into the record
    until(lambda: system.log.read_text().count(reconnected) > 4, "it goes on trying for some seconds")
    assert system.log.read_text().count("is tried again every 1 s") == 1, "what is wrong each time is told once"
    assert system.stop() == 0


def test_times_from_the_future_are_seen(parked: System) -> None:
    parked.cancel(parked.submit(prompt="Hello world"))
    for table, column in (("event", "at"), ("job", "ended_at")):
        for days, others in ((9, (*AWAY, "clock")), (-9, AWAY)):
            with closing(sqlite3.connect(parked.record / "orchestrator.db")) as database, database:
                database.execute(f"UPDATE {table} SET {column} = {column} + {days * DAY}")  # noqa: S608 - ours
            found = full(parked, *others)["clock"]
            assert ("9 days in the future" in found["detail"]) == (days > 0)
            assert ("timedatectl" in found["to_do"]) == (days > 0)


def test_a_clock_that_was_set_since_the_start_is_seen(tmp_path: Path) -> None:
    records = JobFiles(tmp_path, 0)
    store = Store(records.database)

    async def never() -> Any:
        raise AssertionError

    signer = Signer(b"")
    case = base.Case(
        Settings(), store, cast(Engine, None), records, None, signer, cast(Callable[[], Any], never), never
    )
    case.clock -= 3600  # as it would be had somebody set the clock an hour on
    try:
        found = asyncio.run(record.clock(case))
    finally:
        store.close()
        records.close()
    assert found.result == "warning" and "has been set by +3,600 s" in found.detail


# ── make doctor ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def checkout(engine: None, tmp_path: Path) -> Path:
    """A checkout of its own, without a .env."""
    place = tmp_path / "checkout"
    for name in ("scripts", "certs"):
        shutil.copytree(ROOT / name, place / name)
    (place / "protocol").mkdir()
    for name in ("protocol/messages.py", ".env.example", "docker-compose.yml", "Makefile"):
        shutil.copy(ROOT / name, place / name)
    return place


def doctor(place: Path, **settings: str) -> tuple[int, dict[str, str]]:
    """Its exit code, and each line of its table, with what to do; it may change nothing."""
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    ports = {name: str(free_port()) for name in ("PORT", "DESKTOP_PORT", "NOTEBOOK_PORT")}
    own = {"RUN_DIR": str(place.parent / "run"), "COMPOSE_PROJECT_NAME": f"ca-test-{os.getpid()}"}
    env = {"PATH": os.environ["PATH"], "HOME": "/root", "AGENT_IMAGE": IMAGE, **ports, **own, **settings}
    check_own(env, *OWN)
    run = subprocess.run(["scripts/doctor.sh"], cwd=place, env=env, capture_output=True, text=True, timeout=60)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert not run.stderr, run.stderr
    rows: dict[str, str] = {}
    name = ""
    for line in run.stdout.splitlines()[:-1]:
        if line[0] in "✓!✗":
            name = line[2:14].strip()
            rows[name] = f"{rows.get(name, '')}{line[0]} {line[15:]}"
        else:
            rows[name] += f"\n{line.strip()}"
    assert (run.returncode == 0) == ("✗" not in "".join(rows.values())) == run.stdout.endswith("Nothing failed.\n")
    return run.returncode, rows


def test_doctor_of_a_machine_on_which_nothing_is_built_yet(checkout: Path) -> None:
    (checkout / ".env").write_text(f"PORTT=8000\nAPI_KEY={KEY}\n")
    code, rows = doctor(checkout, AGENT_IMAGE="no-such:image")
    assert rows["engine"].startswith("✓ Docker ") and rows["compose"].startswith("✓")
    assert "line 1: there is no setting PORTT; did you mean PORT?" in rows[".env"]
    assert "LLM_MODEL in .env, then 'make up'" in rows["model"]
    assert rows["port"].endswith("is free") and "'make up' starts it" in rows["system"]
    assert code == 1 and "✗ no-such:image is not here" in rows["image"] and "'make up' builds it" in rows["image"]
    assert "RESERVE=512m" in rows["disk"] and "base image" in rows and "certificates" in rows


def test_doctor_of_a_running_system_has_all_that_it_says_of_itself(bold: System, checkout: Path) -> None:
    (checkout / ".env").write_text(f"API_KEY='{KEY}'\nHOST={ANY}\nPORT={bold.port}\n")
    (checkout / ".env").chmod(0o644)
    port = str(bold.port)
    code, rows = doctor(checkout, PORT=port)
    assert code == 0, rows
    assert set(ALL) <= set(rows) and "→ Put a TLS proxy" in rows["settings"]
    assert "all users of this machine can read it" in rows[".env"] and "chmod 600" in rows[".env"]
    assert f"the running system has {ANY}" in rows["port"]
    assert KEY not in json.dumps(rows)
    code, rows = doctor(checkout, PORT=port, API_KEY="another-key")
    assert code == 1 and "rejects our key" in rows["port"] and "system" not in rows
    (bold.run_dir / "link").chmod(0o700)
    code, rows = doctor(checkout, PORT=port)
    (bold.run_dir / "link").chmod(0o750)
    assert code == 1 and rows["link"].startswith("✗") and "→ It must have mode 0750" in rows["link"]


def test_doctor_says_who_has_the_port_and_what_is_too_little_or_too_old(checkout: Path, tag: str) -> None:
    image = derive(f"{tag}:old", f'LABEL {LABEL}="0.0.9"')
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(60)
        thread = threading.Thread(target=lambda: other.accept()[0].close())
        thread.start()
        code, rows = doctor(checkout, PORT=str(other.getsockname()[1]), DISK_RESERVE="100t", AGENT_IMAGE=image)
        thread.join()
    assert code == 1
    assert f"is taken by process {os.getpid()} (" in rows["port"] and "set another PORT" in rows["port"]
    assert "less than DISK_RESERVE=100t" in rows["disk"] and "→ Free some space" in rows["disk"]
    assert "has version 0.0.9, this checkout has" in rows["image"] and "rebuilds all images" in rows["image"]


def test_doctor_says_who_has_the_gateways_ports(system_with_gateway: System, checkout: Path) -> None:
    system = system_with_gateway
    ports = {
        "PORT": str(system.port),
        "DESKTOP_PORT": str(system.desktop_port),
        "NOTEBOOK_PORT": str(system.notebook_port),
    }
    code, rows = doctor(checkout, **ports)
    assert code == 0 and rows["gateway"].startswith("✓") and rows["views"].startswith("✓")
    for port, what in ((system.desktop_port, "desktops"), (system.notebook_port, "notebooks")):
        assert f"the live gateway has 127.0.0.1:{port} ({what})" in rows["port"]
    wire = checkout / "protocol/messages.py"
    wire.write_text(wire.read_text().replace(VERSION, "9.9.9"))
    code, rows = doctor(checkout, **ports)
    assert code == 1 and "(nginx" in rows["port"] and "live gateway of version 9.9.9" in rows["port"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=say_once, args=(other, b"220 mail\r\n"))
        thread.start()
        code, rows = doctor(checkout, DESKTOP_PORT=str(other.getsockname()[1]))
        thread.join()
    assert code == 1 and f"is taken by process {os.getpid()} (" in rows["port"]
    assert "which is not our live gateway" in rows["port"] and "set another DESKTOP_PORT" in rows["port"]


def test_doctor_says_where_the_local_model_that_is_set_does_not_run(checkout: Path) -> None:
    port = str(free_port())
    local = {"LLM_BASE_URL": f"http://127.0.0.1:{port}/v1", "MODEL_PORT": port}
    code, rows = doctor(checkout, **local)
    assert code == 0 and rows["local model"].startswith("!") and "'make model' starts it" in rows["local model"]
    assert "local model" not in doctor(checkout, MODEL_PORT=port)[1]
    with socket.create_server(("127.0.0.1", int(port))):
        assert "local model" not in doctor(checkout, **local)[1]


def test_doctor_knows_how_long_a_folder_of_sockets_may_be(checkout: Path) -> None:
    longest = SOCKET_PATH_BYTES - len(LONGEST_SOCKET)
    fits = "/é" + "x" * (longest - 3)
    assert "RUN_DIR" not in doctor(checkout, RUN_DIR=fits)[1]
    code, rows = doctor(checkout, RUN_DIR=f"{fits}x")
    assert code == 1 and f"(at most {longest} bytes)" in rows["RUN_DIR"] and "shorter RUN_DIR" in rows["RUN_DIR"]


def test_doctor_without_an_engine_without_docker_and_where_the_engine_hangs(
    checkout: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    code, rows = doctor(checkout, DOCKER_HOST=NOWHERE)
    assert code == 1 and f"DOCKER_HOST={NOWHERE} does not answer" in rows["engine"] and "unset" in rows["engine"]
    assert "image" not in rows and rows["port"].endswith("is free"), "the rest is looked at all the same"
    bare = tmp_path / "bin"
    bare.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for program in Path(folder).iterdir():
            if not program.name.startswith("docker") and not (bare / program.name).exists():
                (bare / program.name).symlink_to(program)
    code, rows = doctor(checkout, PATH=str(bare))
    assert code == 1 and "no docker command" in rows["engine"] and "'make up' installs" in rows["engine"]
    assert "neither 'docker compose' nor" in rows["compose"]
    stand_in.hang()
    code, rows = doctor(checkout, DOCKER_HOST=f"unix://{stand_in.server_address}")
    assert code == 1 and "does not answer within 5 s" in rows["engine"] and "restart docker" in rows["engine"]
