"""A small model of a job in the record, and functions that make rows and reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from orchestrator.db.models import MOVES, Job, Step
from orchestrator.db.store import Report


@dataclass
class Known:
    """The expected state of a job."""

    id: str
    n: int
    steps: dict[int, str]
    keep_days: float | None
    status: str = "scheduled"
    waiting: tuple[str | None, str] = ("slot", "")
    cancel_asked: bool = False
    taken: bool = False
    outcome: str | None = None
    acknowledged: int = 0
    artifact: dict[str, Any] | None = None
    expired: bool = False
    deleted: bool = False
    events: list[tuple[int, str]] = field(default_factory=list)
    last_event: int = 0

    @property
    def final(self) -> bool:
        return not MOVES[self.status]

    def tell(self, kind: str) -> None:
        self.last_event += 1
        self.events.append((self.last_event, kind))

    def move(self, status: str) -> bool:
        if status not in MOVES[self.status] or self.deleted:
            return False
        self.status = status
        self.tell(status)
        return True


def rows(known: Known) -> tuple[Job, list[Step]]:
    job = Job(
        id=known.id, prompt="", planned_by="request", network="none", seconds=1, memory=1, cpus=1, processes=1,
        zip_bytes=1, steps_count=len(known.steps), created_at=time.time(), keep_days=known.keep_days,
    )  # fmt: skip
    steps = [
        Step(job_id=known.id, number=number, kind="shell", title="", source="", seconds=1) for number in known.steps
    ]
    return job, steps


def report(number: int, kind: str, step: int) -> Report:
    changes = {
        "phase": {"job": {"phase": "shell"}},
        "step_started": {"step_number": step, "step": {"status": "running", "started_at": 1.0}},
        "step_ended": {"step_number": step, "step": {"status": "completed", "ended_at": 2.0}},
    }
    data = {"step": step, "text": f"{number}\n"} if kind == "output" else {"step": step}
    return Report(number, time.time(), kind, data, **changes.get(kind, {}))
