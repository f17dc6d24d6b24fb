"""Analyze: from the order to the steps to run."""

from __future__ import annotations

import http.client

from pocketflow import Node

from agent import thinking, wire
from agent.job import Job
from agent.processes import Stopped

#: Lays the files of a tar stream into the workspace.
UNPACK = ["tar", "--extract", "--file=-", "--no-same-permissions", "--no-same-owner"]


class NotUnpacked(Exception):
    """The files that came with the job could not be laid into the workspace; ``tar`` has printed why."""


class Analyze(Node):
    """Makes the plan, and mends it.

    First it starts the clock and lays the files that came with the job into the workspace. The plan is the order's, or,
    where a model is to think, the model's; it comes here again when a step of a model's plan has failed.
    """

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("analyze")
        return shared

    def exec(self, prep_res: Job) -> wire.Answered:
        job, order = prep_res, prep_res.order
        if job.trouble:
            return thinking.ask(job, "repair")
        job.begin()
        if order.uploads:
            fetch_uploads(job)
        if order.thinks:
            return thinking.ask(job, "plan")
        return wire.Answered("planned", list(order.steps), order.outputs, order.check)

    def post(self, shared: Job, prep_res: Job, exec_res: wire.Answered) -> str:
        thinking.follow(shared, exec_res)
        return shared.next_action()


def fetch_uploads(job: Job) -> None:
    """Lay the files into the workspace, as the job's user; begins anew where the link breaks.

    Raises NotUnpacked, LinkLost and Refused; returns early where the job was stopped.
    """
    retry = job.link.retrying()
    while True:
        try:
            tar = job.processes.feed(UNPACK)
        except Stopped:
            return
        assert tar.stdin  # noqa: S101 - a pipe
        error: Exception | None = None
        try:
            job.link.download("/uploads", tar.stdin.write)
            tar.stdin.close()
        except (OSError, http.client.HTTPException) as broken:
            error = broken
            tar.kill()
        ended = tar.wait()
        if job.processes.stopped or (ended == 0 and error is None):
            return
        if error is None or isinstance(error, BrokenPipeError):
            raise NotUnpacked(f"tar ended with exit code {ended}")
        retry.wait(error)
