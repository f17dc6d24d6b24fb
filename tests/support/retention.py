"""Retention times for tests, and a check whether a job's files are gone."""

from __future__ import annotations

from tests.support.system import System

#: Retention in days: shorter than any test, and longer than any test.
AT_ONCE = 1e-7


LONG = 30


def gone(system: System, job: str) -> bool:
    return system.http.get(f"/download/{job}").status_code == 410
