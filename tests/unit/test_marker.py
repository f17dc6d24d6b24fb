"""The marker docker: a test without it finds no engine, and no test can use the engine without it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.system import NO_ENGINE, ROOT, System


def test_without_the_marker_docker_fails_and_says_why() -> None:
    done = subprocess.run(["docker", "version"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "does not request the fixture 'engine'" in done.stderr
    assert os.environ["DOCKER_HOST"] == NO_ENGINE


def test_a_system_without_the_marker_finds_no_engine() -> None:
    system = System()
    try:
        checks = system.start().http.get("/health").json()["checks"]
        assert checks["engine"]["ok"] is False
        with pytest.raises(subprocess.CalledProcessError):
            system.containers()
    finally:
        system.settings["DOCKER_HOST"] = NO_ENGINE  # it has no containers to look for
        system.close()


def test_a_test_whose_fixtures_use_the_engine_has_the_marker() -> None:
    run = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]
    file = "tests/security/test_security.py"
    counts = []
    for marker in ("docker", "not docker"):
        done = subprocess.run([*run, "-m", marker, file], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        counts.append(int(done.stdout.split(f"{file}: ")[1].split()[0]))
    assert counts[0] > 40 and counts[1] == 1, "of the attacks, only the comparison with the page needs no engine"
