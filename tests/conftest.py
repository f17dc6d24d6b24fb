"""Fixtures of all tests, and the markers of tests that need the Docker engine or start an orchestrator.

A test that needs the engine requests the fixture ``engine``, directly or through another fixture such as ``system``. It
then has the marker ``docker``. All other tests find no engine: their docker command fails, and their DOCKER_HOST leads
nowhere. A test whose fixtures start an orchestrator without an engine has the marker ``server`` in the same way.

At the end of a session no container may be left. If a test fails, its report shows the log of its system and the state
of its containers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.db.disk_reserve import SPARE_BYTES
from tests.support.system import NO_ENGINE, ROOT, System, docker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: A folder with a docker command that always fails.
WITHOUT_DOCKER = ROOT / "tests/support/without_docker"

SHUT_OFF = pytest.StashKey[pytest.MonkeyPatch]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures that it uses, before ``-m`` selects tests."""
    for item in items:
        for marker, fixture in {"docker": "engine", "server": "no_engine"}.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Hide the engine from a test without the marker, and from the fixtures that it starts."""
    if not item.get_closest_marker("docker"):
        patch = item.stash[SHUT_OFF] = pytest.MonkeyPatch()
        patch.setenv("PATH", str(WITHOUT_DOCKER), prepend=os.pathsep)
        patch.setenv("DOCKER_HOST", NO_ENGINE)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Show the engine again: fixtures of earlier tests may end here."""
    if SHUT_OFF in item.stash:
        item.stash[SHUT_OFF].undo()
    return (yield)


@pytest.fixture(scope="session")
def engine() -> None:
    """Require the Docker engine. If it does not answer, each test that needs it fails with an error that says so."""
    docker("version")


@pytest.fixture(scope="session")
def no_engine() -> str:
    """Return the DOCKER_HOST of a system without an engine."""
    return NO_ENGINE


@pytest.fixture(scope="session")
def system(engine: None) -> Iterator[System]:
    """Yield a system for all tests that do not change it."""
    shared = System()
    try:
        yield shared.start()
    finally:
        shared.close()


@pytest.fixture(scope="module")
def parked(no_engine: str) -> Iterator[System]:
    """Yield a system without an engine. It stores jobs and starts none."""
    one = System(DOCKER_HOST=no_engine)
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture(scope="module")
def watched(engine: None) -> Iterator[System]:
    """Yield a system with the live gateway, and with room for several jobs that wait for a viewer."""
    one = System(MAX_CONCURRENT_JOBS="5")
    try:
        yield one.start().with_gateway()
    finally:
        one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Debian's Chromium for a module. While it runs, this thread can run no other event loop."""
    from playwright.sync_api import sync_playwright

    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", *quiet]
        )
        try:
            yield one
        finally:
            one.close()


@pytest.fixture(autouse=True)
def no_job_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel the jobs that a failed test left in a shared system, so that later tests do not wait for them."""
    yield
    for name in {"system", "watched"} & set(request.fixturenames):
        shared: System = request.getfixturevalue(name)
        for job in shared.http.get("/jobs", params={"status": ["scheduled", "running"]}).json()["jobs"]:
            shared.cancel(job["job_id"])
            shared.ended(job["job_id"])


@contextlib.contextmanager
def maker(**always: str) -> Iterator[Callable[..., System]]:
    made: list[System] = []

    def make(**settings: str) -> System:
        made.append(System(**always, **settings))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            if one.process is None:
                shutil.rmtree(one.folder, ignore_errors=True)
            else:
                one.close()


@pytest.fixture
def make_system(engine: None) -> Iterator[Callable[..., System]]:
    """Yield a function that makes a system for one test, with the given settings."""
    with maker() as make:
        yield make


@pytest.fixture
def make_parked(no_engine: str) -> Iterator[Callable[..., System]]:
    """Yield a function like ``make_system``, for systems without an engine."""
    with maker(DOCKER_HOST=no_engine) as make:
        yield make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk with 64 MiB, plus the space that the record reserves."""
    size = (64 << 20) + SPARE_BYTES
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what a failed test's systems logged and which containers they have."""
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, System) and value.log.exists():
                report.sections.append(("orchestrator's log", value.log.read_text()[-6000:]))  # type: ignore[attr-defined]
                report.sections.append(("its containers", "\n".join(value.containers())))  # type: ignore[attr-defined]
    return report
