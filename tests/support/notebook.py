"""The notebook of a job."""

from __future__ import annotations

import json
from typing import Any

from tests.support.system import System


def cells(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the cells of a notebook by their ids."""
    return {cell["id"]: cell for cell in found["cells"]}


def session(system: System, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(system.zip(job).read("session.ipynb"))
    return found


def ended(system: System, *steps: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    job = system.submit(steps=list(steps), **more)
    return job, system.ended(job)
