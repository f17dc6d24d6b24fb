"""The base of all kinds of steps: a step runs one command as the job's user and records how the command ended."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from pocketflow import Node

from agent.job import Job, Running
from agent.nodes.failure_hints import hints
from agent.runtime.failing_command import Failed, FailingCommand, one_line
from agent.runtime.output import StepOutput
from agent.runtime.processes import Stopped, exit_code, oom_kills
from protocol import messages

#: Exit code, as in a shell, of a process ended by SIGKILL.
KILLED = 137

#: Signals of a program's crash, by the exit code that a shell gives them.
CRASHES = {134: " (SIGABRT)", 135: " (SIGBUS)", 136: " (SIGFPE)", 139: " (SIGSEGV)"}

#: Hint for a step that reached its time limit.
SERVER_HINT = "A server, or anything that never ends by itself, must run in the background."

#: Processes that a sentence about left ones names, and the hint after them.
LEFT_NAMED = 3
BACKGROUND_HINT = 'A step with "background": true keeps running'

#: The name of the acceptance command in sentences.
CHECK_NAME = "The check"

#: Folder of the steps' sources. It belongs to the agent, so files that a step writes there would be lost.
SOURCES = Path("/run/steps")


@dataclass
class StepOutcome:
    """The end of a command."""

    status: messages.StepStatus
    exit_code: int | None
    detail: str
    output_bytes: int
    reason: messages.Reason | None = None


def run(job: Job, number: int, name: str, command: list[str], text: str, seconds: float, source: str) -> StepOutcome:
    """Run a command to its end with a text as input, and pass its output on. Kill the processes that it leaves."""
    keep, kills, output = job.before_step(), oom_kills(), output_of(job, number)
    deadline, whose = time_limit(job, number, seconds)
    failing = FailingCommand() if command[0] == "bash" else None
    try:
        if failing:
            process = job.processes.start(failing.told_by(command), text, output, (failing.fd,))
        else:
            process = job.processes.start(command, text, output)
    except Stopped:
        return StepOutcome("cancelled", None, f"{name} was not started: the job was stopped.", 0)
    except OSError as error:
        return StepOutcome("failed", None, f"{name} could not be started: {error}", 0, "step_failed")
    in_time = job.processes.wait(process, deadline)
    if in_time:
        end_of_step(job, keep, process, output)
    elif job.outlasts(deadline):
        job.end_step(keep)
        process.wait()
        job.processes.close(process)
        return too_slow(name, whose, output)
    else:
        job.processes.stop("timed_out")
        process.wait()
    job.processes.close(process)
    told = failing.read() if failing else None
    failed = told.within(source) if told else None
    return result_of(job, name, exit_code(process), output, kills, whose, source, failed)


def end_of_step(job: Job, keep: dict[int, int | None], process: Popen[bytes], output: StepOutput) -> None:
    """Kill the processes that a step left running, and name them after the output of its process."""
    left = job.left_running(keep)
    job.end_step(keep)
    if left:
        job.processes.drain(process)
        more = ", …" if len(left) > LEFT_NAMED else ""
        names = ", ".join(f"`{one_line(name)}`" for name in left[:LEFT_NAMED])
        output.note(f"ended with the step that left it running: {names}{more}. {BACKGROUND_HINT}")


def output_of(job: Job, number: int) -> StepOutput:
    """Return a callback that turns a step's output into events."""
    return StepOutput(lambda part: job.outbox.output(number, part), job.budget, job.needles)


def time_limit(job: Job, number: int, seconds: float) -> tuple[float, str]:
    """Return a step's deadline (``time.monotonic``) and the name of the limit."""
    limit = time.monotonic() + seconds
    if number == messages.CHECK or limit <= job.deadline:
        return limit, f"its time limit of {seconds:g} s"
    return job.deadline, f"the job's limit of {job.order.seconds:g} s"


def too_slow(name: str, limit: str, output: StepOutput) -> StepOutcome:
    """Return the outcome of a model's step that reached its own limit while the job has time left.

    The model can repair it.
    """
    detail = _with_last_lines(f"{name} was ended at {limit}", output)
    return StepOutcome("failed", None, f"{detail}\n{SERVER_HINT}", output.size, "step_failed")


def start_background(job: Job, step: messages.PlannedStep, command: list[str], text: str) -> StepOutcome | None:
    """Start a command that runs until packing. Returns a result only if it could not start."""
    output = output_of(job, step.number)
    try:
        process = job.processes.start(command, text, output)
    except (Stopped, OSError) as error:
        return not_started(step, error)
    job.background.append(Running(step, process, output))
    return None


def not_started(step: messages.PlannedStep, error: Exception) -> StepOutcome:
    return StepOutcome("failed", None, f"{describe(step)} could not be started: {error}", 0, "step_failed")


def end_background(job: Job) -> None:
    """Record the ends of background steps. All processes of the job are already dead."""
    for running in job.background:
        process = running.process
        process.wait()
        job.processes.close(process)
        code = exit_code(process)
        name = describe(running.step)
        if code in (0, KILLED):
            result = StepOutcome("completed", code, f"{name} lasted until packaging.", running.output.size)
        else:
            detail = _with_last_lines(f"{name} ended by itself with exit code {code}", running.output)
            result = StepOutcome("failed", code, detail, running.output.size, "step_failed")
        report(job, running.step.number, result)


def report(job: Job, number: int, result: StepOutcome) -> None:
    """Report a step's end. A failed step fails the job."""
    job.outbox.step_ended(number, result.status, result.exit_code, result.detail, result.output_bytes)
    if result.reason:
        job.fail_or_mend(result.reason, result.detail)


def describe(step: messages.PlannedStep) -> str:
    return f'Step {step.number} "{step.title}"'


def result_of(
    job: Job,
    name: str,
    code: int,
    output: StepOutput,
    kills: int,
    limit: str,
    source: str,
    failed: Failed | None = None,
) -> StepOutcome:
    """Return the result of a step with this source and exit code.

    ``kills`` is ``oom_kills`` from before it. ``failed`` is the command that ended its script.
    """
    size = output.size
    stopped = job.processes.stopped
    if stopped == "timed_out":
        return StepOutcome("failed", code, f"{name} was ended at {limit}.", size, "timed_out")
    if stopped:
        return StepOutcome("cancelled", code, f"{name} was ended: the job was {stopped}.", size)
    if code == 0:
        return StepOutcome("completed", 0, "", size)
    out_of_memory = oom_kills() > kills
    if out_of_memory and code == KILLED:
        detail = f"{name} was killed: the container's memory was used up. Raise limits.memory."
        return StepOutcome("failed", code, detail, size, "out_of_memory")
    ended = f"{name} ended with exit code {code}{CRASHES.get(code, '')}{_where(name, source, failed)}"
    detail = _with_last_lines(ended, output)
    if out_of_memory:
        detail += "\nWhile it ran, the kernel killed a process for memory: limits.memory may be too low."
    for hint in hints(source, output.last_lines(40), code, job.order.network, failed, job.processes.path):
        detail += f"\n{hint}"
    return StepOutcome("failed", code, detail, size, "step_failed")


def _where(name: str, source: str, failed: Failed | None) -> str:
    """Return the place of a failed command, except where the step's title already shows it."""
    if failed is None:
        return f" (`{one_line(source)}`)" if name == CHECK_NAME else ""
    codes = f", with exit codes {', '.join(map(str, failed.codes))}" if len(failed.codes) > 1 else ""
    if "\n" in source.strip():
        return f" (line {failed.line}: `{failed.command}`{codes})"
    return f" (`{failed.command}`{codes})" if codes or name == CHECK_NAME or failed.command not in name else ""


#: The end of a JavaScript error, which would hide its message.
STACK = re.compile(r"(\s+at .+|Node\.js v[\d.]+|)$")


def _with_last_lines(sentence: str, output: StepOutput) -> str:
    printed = output.last_lines(40).splitlines()
    while printed and STACK.match(printed[-1]) and len(printed) > 1:
        printed.pop()
    lines = "\n".join(printed[-5:])
    return f"{sentence}. It last printed:\n{lines}" if lines else f"{sentence} and printed nothing."


class StepNode(Node):
    """Runs the first of the remaining steps. Each kind of step is a subclass, with a row in ``nodes/kinds.py``."""

    #: Whether the step only writes the file at its path.
    writes = False

    #: The language of the source for the check before a plan runs, see ``language_of``.
    language = ""

    def prep(self, shared: Job) -> tuple[Job, messages.PlannedStep]:
        step = shared.remaining.pop(0)
        shared.outbox.phase(step.kind)
        shared.outbox.step_started(step)
        return shared, step

    def exec(self, prep_res: tuple[Job, messages.PlannedStep]) -> StepOutcome | None:
        job, step = prep_res
        try:
            command, text = self.command(step)
        except OSError as error:
            return not_started(step, error)
        if step.background:
            return start_background(job, step, command, text)
        return run(job, step.number, describe(step), command, text, step.seconds, step.source)

    def post(self, shared: Job, prep_res: tuple[Job, messages.PlannedStep], exec_res: StepOutcome | None) -> str:
        if exec_res is not None:
            report(shared, prep_res[1].number, exec_res)
        return shared.next_action()

    def command(self, step: messages.PlannedStep) -> tuple[list[str], str]:
        """Return a step's command and standard input. Raises OSError."""
        raise NotImplementedError

    def cell(self, step: messages.PlannedStep) -> str:
        """Return the live notebook's cell that does the same as a step."""
        raise NotImplementedError

    def language_of(self, step: messages.PlannedStep) -> str:
        """Return the source's language for ``children/check_sources.py``: shell, cell, or the suffix of a file."""
        return self.language


def save_source(step: messages.PlannedStep, suffix: str) -> str:
    """Save a step's source as a file, so that tracebacks show its lines. Returns its path. Raises OSError."""
    SOURCES.mkdir(0o755, exist_ok=True)
    path = SOURCES / f"step-{step.number}.{suffix}"
    path.write_text(step.source, "utf-8")
    path.chmod(0o644)
    return str(path)
