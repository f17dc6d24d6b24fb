"""What the nodes of the graph share: the order, the tools, and what has come of each step so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from subprocess import Popen

from agent import wire
from agent.link import Link
from agent.outbox import Outbox
from agent.output import Budget, StepOutput
from agent.processes import Processes


@dataclass
class Failure:
    """Why the job cannot be completed: the first one counts."""

    reason: wire.Reason
    detail: str


@dataclass
class Running:
    """A step whose process runs, or lasted until packing."""

    step: wire.PlannedStep
    process: Popen[bytes]
    output: StepOutput


@dataclass
class Job:
    """The shared store of the graph (PocketFlow's ``shared``)."""

    order: wire.Order
    link: Link
    outbox: Outbox
    processes: Processes
    remaining: list[wire.PlannedStep]
    budget: Budget = field(default_factory=Budget)
    background: list[Running] = field(default_factory=list)
    failure: Failure | None = None
    deadline: float = 0.0  # of all steps (time.monotonic)

    def fail(self, reason: wire.Reason, detail: str) -> None:
        """Note why the job fails; a later reason does not replace an earlier one."""
        if self.failure is None:
            self.failure = Failure(reason, detail)

    def begin(self) -> None:
        """Start the clock of ``limits.seconds``."""
        self.deadline = time.monotonic() + self.order.seconds

    def next_action(self) -> str:
        """The edge to take when a node is through: the kind of the next step, ``check``, or ``package``."""
        if self.failure or self.processes.stopped:
            return "package"
        if self.remaining:
            return self.remaining[0].kind
        return "check" if self.order.check else "package"
