"""Above the engine's port, nothing depends on Docker: another engine is one module beside it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from orchestrator.db.store import Store
from orchestrator.diagnosis.base import Finding
from orchestrator.diagnosis.run import Diagnosis
from orchestrator.engines.base import Concern, Exit, Facts, Sandbox, Spec
from orchestrator.engines.docker import DockerEngine, _concerns
from orchestrator.errors import EngineDown
from orchestrator.files.job_files import JobFiles
from orchestrator.live.grants import Signer
from orchestrator.llm import choose
from orchestrator.settings import Settings
from protocol import messages
from tests.support.system import ROOT

#: Docker's words and one host's. ``docker compose`` builds and starts this system itself, with any engine.
WORDS = re.compile(
    r"\bdocker\b(?!( |-)compose\b)|cgroup|overlay|\bvfs\b|\bbinds\b|bind.mount|mounts\b|iptables|containerd|runc\b"
    r"|journalctl|systemctl",
    re.IGNORECASE,
)

#: Modules that may say Docker: its engine, and those that set it, choose it and silence its client's log.
ITS_OWN = {"engines/docker.py", "settings.py", "app.py", "logs.py"}


def test_no_module_above_the_port_knows_docker() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "orchestrator").rglob("*.py"))
        if str(path.relative_to(ROOT / "orchestrator")) not in ITS_OWN
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WORDS.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_words_are_found_where_they_may_be() -> None:
    assert WORDS.search("The Docker engine") and WORDS.search("docker info") and WORDS.search("cgroups 1")
    assert not WORDS.search("`docker compose build`") and not WORDS.search("Dockerfile")
    assert all(WORDS.search((ROOT / "orchestrator" / name).read_text()) for name in ITS_OWN)


class Elsewhere:
    """An engine of another kind, on another machine: it starts nothing, and says of itself what a test wants."""

    name = "Firefly service at firefly.example"
    advice = "Ask Firefly's support."

    def __init__(self, *concerns: Concern, free: int | None = None, away: EngineDown | None = None) -> None:
        self.concerns, self.free, self.away, self.hangs = concerns, free, away, False
        self.running: set[str] = set()

    async def image(self, name: str) -> str:
        await self._answer()
        return "firefly:0123456789"

    async def facts(self, image: str) -> Facts:
        await self._answer()
        storage = "Firefly keeps its data in the north."
        concerns = self.concerns
        return Facts("Firefly 7", "One kind.", concerns, storage, self.free, 64, 2**40, 0.1, messages.VERSION, None)

    async def start(self, spec: Spec) -> Sandbox:
        self.running.add(spec.sandbox_id)
        return Sandbox(spec.sandbox_id, True)

    async def ended(self) -> AsyncIterator[str]:
        yield ""

    async def exit(self, sandbox_id: str) -> Exit | None:
        return Exit(1, False, "the link refused the token (HTTP 401)")

    async def kill(self, sandbox_id: str) -> None:
        """Nothing runs."""

    async def stop(self, sandbox_id: str) -> None:
        self.running.discard(sandbox_id)

    async def sandboxes(self) -> list[Sandbox]:
        return [Sandbox(sandbox_id, True) for sandbox_id in self.running]

    async def written(self) -> dict[str, int]:
        return {}

    @asynccontextmanager
    async def salvage(self, sandbox_id: str, path: str) -> AsyncIterator[Iterator[bytes]]:
        yield iter(())

    def viewer_socket(self, sandbox_id: str, service: str) -> Path | None:
        return None

    async def networks(self) -> list[IPv4Network | IPv6Network]:
        return []

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise self.away


@pytest.fixture
def job_files(tmp_path: Path) -> Iterator[JobFiles]:
    files = JobFiles(tmp_path / "jobs", 2**20)
    yield files
    files.close()


def diagnosed(engine: Elsewhere, job_files: JobFiles) -> dict[str, Finding]:
    settings, store = Settings(disk_reserve=2**20), Store(job_files.database)
    diagnosis = Diagnosis(settings, store, engine, job_files, choose(settings), Signer(b"key"))
    try:
        return asyncio.run(diagnosis.full())
    finally:
        store.close()


def test_a_diagnosis_has_the_words_of_the_engine_and_no_others(job_files: JobFiles) -> None:
    engine = Elsewhere()
    found = diagnosed(engine, job_files)
    assert found["engine"] == Finding("ok", "Firefly 7, One kind.")
    assert "Firefly 7." in found["versions"].detail
    assert found["disk"].result == "ok" and "Firefly keeps its data in the north." in found["disk"].detail
    assert found["sandbox"].result == "ok" and not engine.running
    of_engine = [found[name] for name in ("engine", "image", "versions", "sandbox", "disk", "clock", "settings")]
    assert not [finding for finding in of_engine if WORDS.search(f"{finding.detail} {finding.to_do}")]


def test_all_concerns_of_an_engine_are_told_and_a_serious_one_fails_the_check(job_files: JobFiles) -> None:
    mild, grave = Concern("It is slow.", "Wait."), Concern("It is too old.", "Update it.", serious=True)
    found = diagnosed(Elsewhere(mild), job_files)["engine"]
    assert found == Finding("warning", "Firefly 7, One kind. It is slow.", "Wait.")
    found = diagnosed(Elsewhere(mild, grave), job_files)["engine"]
    assert found == Finding("failed", "Firefly 7, One kind. It is slow. It is too old.", "Wait. Update it.")


def test_an_engine_without_room_is_told_with_the_disk(job_files: JobFiles) -> None:
    found = diagnosed(Elsewhere(free=2**19), job_files)["disk"]
    assert found.result == "warning" and "in the north. It has 512.0 KiB free" in found.detail
    assert diagnosed(Elsewhere(free=2**30), job_files)["disk"].result == "ok"


def test_of_an_engine_that_is_away_or_hangs_its_own_advice_is_told(job_files: JobFiles) -> None:
    away = EngineDown("Firefly is dark.", "Wait for the night.")
    assert diagnosed(Elsewhere(away=away), job_files)["engine"] == Finding("failed", str(away), away.to_do)
    hanging = Elsewhere()
    hanging.hangs = True
    found = diagnosed(hanging, job_files)["engine"]
    assert found.detail == "The Firefly service at firefly.example does not answer within 3 s."
    assert found.to_do.endswith("Ask Firefly's support.")


@pytest.mark.parametrize(
    ("version", "info", "serious", "words"),
    [
        ({"ApiVersion": "1.40"}, {}, True, "20.10 is the oldest tested version."),
        ({}, {"MemoryLimit": False, "PidsLimit": False}, False, "It cannot limit memory and processes:"),
        ({}, {"Driver": "vfs"}, False, "each job copies the whole image"),
    ],
)
def test_docker_names_its_own_faults(
    version: dict[str, str], info: dict[str, object], serious: bool, words: str
) -> None:
    well = {"ApiVersion": "1.41"}, {"Driver": "overlay2", "MemoryLimit": True}
    assert not list(_concerns(*well))
    (found,) = _concerns(well[0] | version, well[1] | info)
    assert found.serious == serious and words in found.detail and found.to_do


def test_only_a_socket_of_the_sandbox_is_shown_to_viewers(tmp_path: Path) -> None:
    engine = DockerEngine("unix:///nonexistent.sock", tmp_path, tmp_path, tmp_path, tmp_path)
    folder = tmp_path / "0123"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "desktop"))
        assert engine.viewer_socket("0123", "desktop") == folder / "desktop"
        assert engine.viewer_socket("0123", "notebook") is None
        (folder / "notebook").symlink_to(folder / "desktop")
        assert engine.viewer_socket("0123", "notebook") is None, "a link is no socket"
        (folder / "file").touch()
        assert engine.viewer_socket("0123", "file") is None
