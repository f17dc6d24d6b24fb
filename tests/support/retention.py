"""Days of retention, and whether files are removed."""

from __future__ import annotations

from tests.support.system import System

#: Days: less than any test takes, and more than any takes.
AT_ONCE = 1e-7


LONG = 30


def gone(system: System, job: str) -> bool:
    return system.http.get(f"/download/{job}").status_code == 410
