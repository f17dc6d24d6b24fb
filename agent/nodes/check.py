"""Check: the acceptance command that came with the job."""

from __future__ import annotations

import time

from pocketflow import Node

from agent import wire
from agent.job import Job
from agent.nodes.steps import Result, report, run


class Check(Node):
    """Runs the command as a step would run, with the job's time limit anew; a non-zero exit fails the job.

    Where a model made the plan, the review sees the result first.
    """

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("check")
        order = shared.order
        shared.outbox.step_started(wire.PlannedStep(wire.CHECK, "shell", "The check", order.check, order.seconds))
        return shared

    def exec(self, prep_res: Job) -> Result:
        order, begun = prep_res.order, time.monotonic()
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", order.check]
        result = run(prep_res, wire.CHECK, "The check", command, "", order.seconds, order.check)
        prep_res.deadline += time.monotonic() - begun  # it has a time of its own
        return result

    def post(self, shared: Job, prep_res: Job, exec_res: Result) -> str:
        if exec_res.reason == "step_failed":
            exec_res.reason = "check_failed"
        report(shared, wire.CHECK, exec_res)
        if shared.failure or shared.processes.stopped or not shared.order.thinks:
            return "package"
        return "review"
