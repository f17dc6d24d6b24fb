"""Python steps: cells of one notebook, run by one kernel.

A step runs as its own process instead if that makes no visible difference.
"""

from __future__ import annotations

import ast
import sys

from agent.job import Job
from agent.nodes.steps import (
    StepNode,
    StepOutcome,
    describe,
    end_of_step,
    not_started,
    output_of,
    result_of,
    save_source,
    time_limit,
    too_slow,
)
from agent.runtime import kernel
from agent.runtime.kernel import Broken, Kernel
from agent.runtime.output import StepOutput
from agent.runtime.processes import Stopped, exit_code, oom_kills
from protocol import messages

#: Printed first in a replacement kernel.
FRESH = "[… the kernel of the steps before has ended: this one is fresh, without their variables …]\n"

#: Maximum characters of a source that the agent itself parses. It cannot nest deeper than its length, so the parser
#: cannot overflow the agent's stack. The parser takes up to 700 bytes of memory per character.
PARSED_CHARACTERS = 10_000

#: Names that only a kernel defines.
OF_A_KERNEL = {"display", "get_ipython", "In", "Out"}


class PythonStep(StepNode):
    """Code for the kernel, or a script in the workspace."""

    language = "cell"

    def exec(self, prep_res: tuple[Job, messages.PlannedStep]) -> StepOutcome | None:
        job, step = prep_res
        if step.background or step.path or is_script(job, step):
            return super().exec(prep_res)
        return run_cell(job, step)

    def command(self, step: messages.PlannedStep) -> tuple[list[str], str]:
        """Return the command that runs the step as its own process."""
        if step.path:
            return ["python", f"./{step.path}", *step.args], ""
        return ["python", save_source(step, "py")], ""

    def cell(self, step: messages.PlannedStep) -> str:
        return f"!{step.source}" if step.path else step.source


def is_script(job: Job, step: messages.PlannedStep) -> bool:
    """Tell whether a step can be its own process, which starts faster, without a visible difference.

    No other step shares its variables, and the job ends with it, so no viewer can inspect them. It shows nothing: it
    imports only the standard library and does not end with a value.
    """
    steps = job.order.steps
    if job.order.thinks or step is not steps[-1] or sum(one.kind == "python" for one in steps) > 1:
        return False
    if len(step.source) > PARSED_CHARACTERS:
        return False
    try:
        tree = ast.parse(step.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # it may use IPython's syntax: a magic, or await
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not _is_print(last.value):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        elif isinstance(node, ast.Name) and node.id in OF_A_KERNEL:
            return False
        else:
            continue
        if any(name.partition(".")[0] not in sys.stdlib_module_names for name in imported):
            return False
    return True


def _is_print(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def run_cell(job: Job, step: messages.PlannedStep) -> StepOutcome:
    """Run a step in the job's kernel, and start one if necessary."""
    keep, kills, output = job.before_step(), oom_kills(), output_of(job, step.number)
    deadline, whose = time_limit(job, step.number, step.seconds)
    name = describe(step)
    if job.kernel and job.kernel.process.poll() is not None:
        job.lose_kernel()
    fresh = job.kernel is None
    try:
        save_source(step, "py")
        if job.kernel:
            job.processes.listen(job.kernel.process, output)
        else:
            job.kernel = Kernel(job.processes, output, lambda cell: viewed(job, cell))
    except Stopped:
        return StepOutcome("cancelled", None, f"{name} was not started: the job was stopped.", 0)
    except OSError as error:
        return not_started(step, error)
    used = job.kernel
    if job.kernel_lost:
        job.kernel_lost = False
        output.feed(FRESH.encode())
    ended, broken = None, ""
    try:
        ended = used.run(step.number, step.source, Shown(job, step.number, output).show, deadline)
    except Broken as error:
        broken = str(error)
    gone = used.process.poll() is not None
    slow = ended is None and not broken and not gone
    if slow and job.outlasts(deadline):
        job.lose_kernel()
        job.end_step(keep)
        return too_slow(name, whose, output)
    if slow:
        job.processes.stop("timed_out")
    if not job.processes.stopped:
        end_of_step(job, keep | job.spare(ended.spared) if ended else keep, used.process, output)
    if ended is None:
        job.lose_kernel()
        if gone and not fresh and not used.begun and not job.processes.stopped:
            return run_cell(job, step)  # the old kernel ended before the step began
    elif job.kernel is used:
        job.processes.hush(used.process)
    if ended and ended.error and ended.error[0] != "SystemExit":
        job.outbox.result(step.number, {}, error=ended.error)
    if broken and not job.processes.stopped:
        return StepOutcome("failed", None, f"{name} was ended with its kernel: {broken}.", output.size, "step_failed")
    result = result_of(job, name, ended.code if ended else exit_code(used.process), output, kills, whose, step.source)
    if ended is None and result.reason == "step_failed":
        result.detail = f"The kernel's process has ended. {result.detail}"
    return result


def leave_kernel(job: Job) -> None:
    """Let the kernel exit as a script does. If the job was stopped, kill it."""
    if job.kernel is None:
        return
    if job.processes.stopped:
        job.kernel.end()
    else:
        job.kernel.leave(output_of(job, job.kernel.number), job.deadline)
    job.kernel = None


def viewed(job: Job, cell: kernel.Viewed) -> None:
    """Record a viewer's cell. Drop its results or the whole cell if the job's limit is reached."""
    size = sum(len(part) for data in cell.results for part in data.values())
    if size > job.results.left:
        said = f"[… results of {size:,} characters are left out: a job has {messages.RESULTS_JOB:,} together …]"
        cell.results, size = [{"text/plain": said}], 0
    size += len(cell.source) + len(cell.printed)
    if size <= job.results.left:
        job.results.left -= size
        after = job.kernel.number if job.kernel else 0
        job.outbox.viewer_cell(after, cell.source, cell.printed, cell.results, cell.error)


class Shown:
    """The results of a step so far, beside its printed output."""

    def __init__(self, job: Job, number: int, output: StepOutput) -> None:
        self._job, self._number, self._output = job, number, output
        self._count = 0

    def show(self, result: kernel.CellResult) -> None:
        """Pass a result on, in order with the printed output. A note replaces results beyond the limits."""
        self._count += 1
        if self._count > messages.RESULTS_STEP:
            if self._count == messages.RESULTS_STEP + 1:
                self._output.feed(f"\n[… a step has {messages.RESULTS_STEP} results: more are left out …]\n".encode())
            return
        data, budget = result.data, self._job.results
        size = sum(len(part) for part in data.values())
        if size > budget.left:
            said = f"[… a result of {size:,} characters is left out: a job has {messages.RESULTS_JOB:,} together …]"
            data = {"text/plain": said}
        else:
            budget.left -= size
        self._output.flush()
        self._job.outbox.result(self._number, data, result.file, result.display)
