"""Analyze: from the order to the steps to run."""

from __future__ import annotations

from pocketflow import Node

from agent.job import Job


class Analyze(Node):
    """Takes the plan that came with the order and starts the clock."""

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("analyze")
        return shared

    def exec(self, prep_res: Job) -> str | None:
        return None if prep_res.order.steps else "The plan has no step."

    def post(self, shared: Job, prep_res: Job, exec_res: str | None) -> str:
        if exec_res:
            shared.fail("plan_failed", exec_res)
        shared.remaining = list(shared.order.steps)
        shared.begin()
        return shared.next_action()
