"""Analyze: turns the order into steps."""

from __future__ import annotations

import http.client

from pocketflow import Node

from agent import model_client
from agent.job import Job
from agent.nodes import kinds
from agent.runtime.processes import Stopped
from agent.workspace import inspection, snapshots, source_check
from protocol import messages

#: Times that the model must rewrite a plan whose sources do not parse.
SYNTAX_TRIES = 2

#: Unpacks a tar stream into the workspace.
UNPACK = ["tar", "--extract", "--file=-", "--no-same-permissions", "--no-same-owner"]


class NotUnpacked(Exception):
    """tar could not unpack the uploaded files. It printed the reason."""


class Analyze(Node):
    """Makes and repairs the plan.

    First it starts the clock and unpacks the uploads into the workspace. The plan comes from the order or the model.
    With a model's plan, the graph returns here in three cases: a step fails, the model wants to see results before it
    goes on, or facts show that something is missing.
    """

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("analyze")
        return shared

    def exec(self, prep_res: Job) -> tuple[messages.Purpose, messages.Answered]:
        job, order = prep_res, prep_res.order
        purpose: messages.Purpose = "plan"
        if not job.begun:
            job.begin()
            if order.uploads:
                fetch_uploads(job)
            if not order.thinks:
                return purpose, messages.Answered("planned", list(order.steps), order.outputs, order.check)
        elif job.trouble:
            purpose = "repair"
            job.facts = inspection.facts(job, job.wanted) + inspection.tried(job)
            job.best.consider(job, through=False)
        else:
            purpose = "facts" if job.done else "results"
        return purpose, _parsing(job, model_client.ask(job, purpose, facts=job.facts))

    def post(self, shared: Job, prep_res: Job, exec_res: tuple[messages.Purpose, messages.Answered]) -> str:
        purpose, answer = exec_res
        written = kinds.written(answer.steps)
        model_client.follow(shared, purpose, answer, written)
        if shared.order.thinks and shared.order.uploads:
            _keep_uploads(shared, written & set(shared.order.uploads))
        return shared.next_action()


def _parsing(job: Job, answer: messages.Answered) -> messages.Answered:
    """Ask the model again until its sources parse. This counts as neither a step nor a repair.

    After ``SYNTAX_TRIES`` the plan runs anyway. Its step then fails, and the model repairs it.
    """
    for _ in range(SYNTAX_TRIES):
        if answer.state != "planned" or job.processes.stopped:
            return answer
        _drop_check(job, answer)
        problems = source_check.problems(job, kinds.sources(answer.steps))
        if not problems:
            return answer
        again = model_client.ask(job, "syntax", problems=problems)
        if again.state == "accepted":
            return answer
        again.done = answer.done and again.done
        answer = again
    return answer


def _drop_check(job: Job, answer: messages.Answered) -> None:
    """Drop a model's own check that does not parse."""
    if answer.check and not job.order.check_given:
        check = messages.PlannedStep(messages.CHECK, "shell", "The check", answer.check, 0.0)
        if found := source_check.problems(job, kinds.sources([check])):
            answer.check, job.check_dropped = "", f"It does not parse: {found[0].message}"


def _keep_uploads(job: Job, written: set[str]) -> None:
    """Copy an upload that a plan overwrites, and note it."""
    for name, kept in snapshots.set_aside(job, sorted(written)) if written else ():
        said = f"The upload {name} is kept as {kept}, because the plan wrote a file of that name."
        job.note = f"{job.note} {said}".strip()


def fetch_uploads(job: Job) -> None:
    """Unpack the uploads as the job's user. If the link breaks, start over.

    Raises NotUnpacked, LinkLost and Refused. Returns early if the job was stopped.
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
