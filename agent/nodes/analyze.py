"""Analyze: from the order to the steps to run."""

from __future__ import annotations

import http.client

from pocketflow import Node

from agent.job import Job
from agent.processes import Stopped

#: Lays the files of a tar stream into the workspace.
UNPACK = ["tar", "--extract", "--file=-", "--no-same-permissions", "--no-same-owner"]


class NotUnpacked(Exception):
    """The files that came with the job could not be laid into the workspace; ``tar`` has printed why."""


class Analyze(Node):
    """Starts the clock, lays the files that came with the job into the workspace, and takes the plan of the order."""

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("analyze")
        shared.begin()
        return shared

    def exec(self, prep_res: Job) -> str | None:
        if prep_res.order.uploads:
            fetch_uploads(prep_res)
        return None if prep_res.order.steps else "The plan has no step."

    def post(self, shared: Job, prep_res: Job, exec_res: str | None) -> str:
        if exec_res:
            shared.fail("plan_failed", exec_res)
        shared.remaining = list(shared.order.steps)
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
