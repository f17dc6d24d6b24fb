"""What the nodes of the graph share: the order, the tools, and what has come of each step so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from subprocess import Popen

from agent import wire
from agent.kernel import Kernel
from agent.link import Link
from agent.outbox import Outbox
from agent.output import Budget, StepOutput
from agent.processes import Processes, began, users_processes
from agent.redaction import Needles


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
    needles: Needles  # the values of its secrets, which leave it nowhere
    budget: Budget = field(default_factory=Budget)
    results: Budget = field(default_factory=lambda: Budget(wire.RESULTS_JOB))
    kernel: Kernel | None = None  # of the python steps, from the first on
    kernel_lost: bool = False  # there was one, and its variables are gone
    spared: dict[int, int | None] = field(default_factory=dict)  # processes that no step's end ends; pid → ``began``
    background: list[Running] = field(default_factory=list)
    failure: Failure | None = None
    trouble: Failure | None = None  # what a model may still mend: a step or the check that failed
    aside: dict[str, str] = field(default_factory=dict)  # uploads and their copies, see keeping.set_aside
    asked: int = 0  # questions to the model so far
    deadline: float = 0.0  # of all steps (time.monotonic)

    def fail(self, reason: wire.Reason, detail: str) -> None:
        """Note why the job fails; a later reason does not replace an earlier one."""
        if self.failure is None:
            self.failure = Failure(reason, detail)

    def fail_or_mend(self, reason: wire.Reason, detail: str) -> None:
        """Note what failed: where a model made the plan it is asked to mend it, unless the job was stopped."""
        if self.order.thinks and not self.processes.stopped:
            self.trouble = Failure(reason, detail)
        else:
            self.fail(reason, detail)

    def before_step(self) -> dict[int, int | None]:
        """The processes that go on when the next step ends: of background steps, and spared. Pid → ``began``."""
        there = users_processes().keys() - {self._kernel_pid} if self.background else ()
        return {pid: began(pid) for pid in there} | self.spared

    def spare(self, pids: list[int]) -> dict[int, int | None]:
        """Have processes go on when steps end: what the kernel's libraries count with."""
        self.spared = {pid: began(pid) for pid in pids if pid in users_processes()}
        return self.spared

    def end_step(self, keep: dict[int, int | None]) -> None:
        """Kill what a step left running; the kernel goes on, and so do the processes in ``keep``."""
        if not self.processes.end_step(keep, self._kernel_pid):
            self.lose_kernel()  # what it starts cannot be ended but with it
            self.processes.end_step(keep)

    @property
    def _kernel_pid(self) -> int | None:
        return self.kernel.process.pid if self.kernel else None

    def lose_kernel(self) -> None:
        """Let go of a kernel that has ended, or that must: the next python step gets a fresh one."""
        if self.kernel:
            self.kernel.end()
            self.kernel, self.kernel_lost, self.spared = None, True, {}

    def begin(self) -> None:
        """Start the clock of ``limits.seconds``."""
        self.deadline = time.monotonic() + self.order.seconds

    def next_action(self) -> str:
        """The edge to take when a node is through: the kind of the next step, or one of the graph's other nodes."""
        if self.failure or self.processes.stopped:
            return "package"
        if self.trouble:
            return "analyze"
        if self.remaining:
            return self.remaining[0].kind
        if self.order.check:
            return "check"
        return "review" if self.order.thinks else "package"
