"""Shared state of the graph's nodes: the order, the tools, and the results of the steps so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from subprocess import Popen

from agent.link.client import Link
from agent.link.outbox import Outbox
from agent.live.transcript import Transcript
from agent.runtime.kernel import Kernel
from agent.runtime.output import Budget, StepOutput
from agent.runtime.processes import Processes, began, users_processes
from agent.workspace.best_attempt import Best
from protocol import messages
from protocol.redaction import Needles


@dataclass
class Failure:
    """Why the job cannot be completed. The first failure counts."""

    reason: messages.Reason
    detail: str


@dataclass
class Running:
    """A step whose process runs, or ran until packing."""

    step: messages.PlannedStep
    process: Popen[bytes]
    output: StepOutput


@dataclass
class Job:
    """The shared store of the graph (PocketFlow's ``shared``)."""

    order: messages.Order
    link: Link
    outbox: Outbox
    processes: Processes
    remaining: list[messages.PlannedStep]
    needles: Needles  # hides the values of the job's secrets
    transcript: Transcript = field(default_factory=Transcript)  # for the desktop's terminal
    budget: Budget = field(default_factory=Budget)
    results: Budget = field(default_factory=lambda: Budget(messages.RESULTS_JOB))
    kernel: Kernel | None = None  # of the python steps, from the first one on
    kernel_lost: bool = False  # a kernel ended and its variables are gone
    # processes that survive the end of steps; pid → ``began``
    spared: dict[int, int | None] = field(default_factory=dict)
    background: list[Running] = field(default_factory=list)
    failure: Failure | None = None
    trouble: Failure | None = None  # the step or check whose failure a model may still repair
    aside: dict[str, str] = field(default_factory=dict)  # uploads that were copied before a step overwrote them; → copy
    asked: int = 0  # questions to the model so far
    done: bool = True  # the model does not need the results of these steps before it goes on
    facts: list[messages.Fact] = field(default_factory=list)  # the last facts about the files that the job must make
    known: set[str] = field(default_factory=set)  # files whose beginnings the model has seen or written
    rewritten: set[str] = field(default_factory=set)  # uploads that a plan overwrote
    told_facts: int = 0  # times that the model got facts
    disputed: bool = False  # the model says that the missing files were not requested
    doubt: str = ""  # evidence against the work that is not a verdict: the model's own check, a step that it disowns
    check_dropped: str = ""  # why the model's own check does not count
    best: Best = field(default_factory=Best)  # the best state so far
    note: str = ""  # sentences for the end of the job, beside its result
    deadline: float = 0.0  # of all steps (time.monotonic)

    def fail(self, reason: messages.Reason, detail: str) -> None:
        """Record why the job fails. A later reason does not replace an earlier one."""
        if self.failure is None:
            self.failure = Failure(reason, detail)

    def fail_or_mend(self, reason: messages.Reason, detail: str) -> None:
        """Record a failure. If a model made the plan, it may repair it, unless the job was stopped."""
        if self.order.thinks and not self.processes.stopped:
            self.trouble = Failure(reason, detail)
        else:
            self.fail(reason, detail)

    def before_step(self) -> dict[int, int | None]:
        """Return the processes that survive the end of the next step: background steps and spared ones. Pid →
        ``began``.
        """
        there = users_processes().keys() - {self._kernel_pid} if self.background else ()
        return {pid: began(pid) for pid in there} | self.spared

    def spare(self, pids: list[int]) -> dict[int, int | None]:
        """Let processes survive the end of steps, because the kernel's libraries compute with them."""
        self.spared = {pid: began(pid) for pid in pids if pid in users_processes()}
        return self.spared

    def left_running(self, keep: dict[int, int | None]) -> list[str]:
        """Return the commands that a step left running. Commands that end by themselves at once do not count."""
        return self.processes.left_running(keep, self._kernel_pid)

    def end_step(self, keep: dict[int, int | None]) -> None:
        """Kill processes that a step left running, except the kernel and the processes in ``keep``."""
        if not self.processes.end_step(keep, self._kernel_pid):
            self.lose_kernel()  # only its own end stops the processes that it starts
            self.processes.end_step(keep)

    @property
    def _kernel_pid(self) -> int | None:
        return self.kernel.process.pid if self.kernel else None

    def lose_kernel(self) -> None:
        """Drop a kernel that ended or must end. The next python step gets a new one."""
        if self.kernel:
            self.kernel.end()
            self.kernel, self.kernel_lost, self.spared = None, True, {}

    @property
    def begun(self) -> bool:
        return self.deadline > 0

    def outlasts(self, deadline: float) -> bool:
        """Return whether a model can repair a step that reached this deadline: the job's own must be later."""
        return self.order.thinks and not self.processes.stopped and deadline < self.deadline

    @property
    def wanted(self) -> list[str]:
        """Return the files that the job must make: files in the prompt, required outputs, and changed uploads."""
        return list(dict.fromkeys([*self.order.named, *self.order.required, *sorted(self.rewritten)]))

    def begin(self) -> None:
        """Start the clock of ``limits.seconds``."""
        self.deadline = time.monotonic() + self.order.seconds

    def next_action(self) -> str:
        """Return the next edge after a node: the kind of the next step, or another node."""
        if self.failure or self.processes.stopped:
            return "package"
        if self.trouble:
            return "analyze"
        if self.remaining:
            return self.remaining[0].kind
        if not self.done:
            return "analyze"
        if self.order.check:
            return "check"
        return "judge" if self.order.thinks else "package"
