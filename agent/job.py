"""What the nodes of the graph share: the order, the tools, and what has come of each step so far."""

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
    """Why the job cannot be completed: the first one counts."""

    reason: messages.Reason
    detail: str


@dataclass
class Running:
    """A step whose process runs, or lasted until packing."""

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
    needles: Needles  # the values of its secrets, which leave it nowhere
    transcript: Transcript = field(default_factory=Transcript)  # for the desktop's terminal
    budget: Budget = field(default_factory=Budget)
    results: Budget = field(default_factory=lambda: Budget(messages.RESULTS_JOB))
    kernel: Kernel | None = None  # of the python steps, from the first on
    kernel_lost: bool = False  # there was one, and its variables are gone
    spared: dict[int, int | None] = field(default_factory=dict)  # processes that no step's end ends; pid → ``began``
    background: list[Running] = field(default_factory=list)
    failure: Failure | None = None
    trouble: Failure | None = None  # what a model may still repair: a step or the check that failed
    aside: dict[str, str] = field(default_factory=dict)  # uploads that were copied before a step wrote to them; → copy
    asked: int = 0  # questions to the model so far
    done: bool = True  # the model does not want to look at the results of these steps before it goes on
    facts: list[messages.Fact] = field(default_factory=list)  # the last look at the files that are to be made
    known: set[str] = field(default_factory=set)  # files whose beginnings the model has seen or written
    rewritten: set[str] = field(default_factory=set)  # uploads that a plan has written over
    told_facts: int = 0  # times that the model was told of facts
    disputed: bool = False  # the model says that what the facts miss was not asked for
    doubt: str = ""  # what speaks against the work and is no verdict: the model's own check, a step that it disowns
    check_dropped: str = ""  # why the model's own check does not count
    best: Best = field(default_factory=Best)  # the best state so far
    note: str = ""  # what is said at the end of the job beside how it ended
    deadline: float = 0.0  # of all steps (time.monotonic)

    def fail(self, reason: messages.Reason, detail: str) -> None:
        """Note why the job fails; a later reason does not replace an earlier one."""
        if self.failure is None:
            self.failure = Failure(reason, detail)

    def fail_or_mend(self, reason: messages.Reason, detail: str) -> None:
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

    @property
    def begun(self) -> bool:
        return self.deadline > 0

    def outlasts(self, deadline: float) -> bool:
        """Whether a model can repair a step that has reached this deadline: the job's own comes later."""
        return self.order.thinks and not self.processes.stopped and deadline < self.deadline

    @property
    def wanted(self) -> list[str]:
        """The files that the job is to make: those that the prompt names, required outputs, and rewritten uploads."""
        return list(dict.fromkeys([*self.order.named, *self.order.required, *sorted(self.rewritten)]))

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
        if not self.done:
            return "analyze"
        if self.order.check:
            return "check"
        return "judge" if self.order.thinks else "package"
