"""Check: runs the acceptance command of the request or of the model."""

from __future__ import annotations

import time

from pocketflow import Node

from agent.job import Job
from agent.nodes.steps import CHECK_NAME, StepOutcome, report, run
from protocol import messages

#: Exit codes of a shell whose command cannot run or does not exist.
CANNOT_RUN = (126, 127)


class Check(Node):
    """Runs the command like a step, with the job's full time limit again.

    A user's check is a verdict: a non-zero exit code fails the job, or the model repairs it. A model's own check is
    evidence: if it fails, a review decides; if it cannot run, it does not count.
    """

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("check")
        order = shared.order
        shared.outbox.step_started(
            messages.PlannedStep(messages.CHECK, "shell", CHECK_NAME, order.check, order.seconds)
        )
        return shared

    def exec(self, prep_res: Job) -> StepOutcome:
        order, begun = prep_res.order, time.monotonic()
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", order.check]
        seconds = order.seconds if order.check_given else min(order.seconds, order.step_seconds)
        result = run(prep_res, messages.CHECK, CHECK_NAME, command, "", seconds, order.check)
        prep_res.deadline += time.monotonic() - begun  # the check has its own time limit
        return result

    def post(self, shared: Job, prep_res: Job, exec_res: StepOutcome) -> str:
        if exec_res.reason == "step_failed":
            exec_res.reason = "check_failed"
        shared.doubt = ""
        if exec_res.reason == "check_failed" and not shared.order.check_given:
            if exec_res.exit_code in CANNOT_RUN:
                shared.check_dropped = f"It could not run. {exec_res.detail}"
            else:
                shared.doubt = exec_res.detail
            exec_res.reason = None
        report(shared, messages.CHECK, exec_res)
        if shared.failure or shared.processes.stopped:
            return "package"
        if shared.trouble:
            return "analyze"
        return "judge" if shared.order.thinks else "package"
