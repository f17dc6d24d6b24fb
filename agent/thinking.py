"""Asks the model, over the link: the orchestrator puts the question, holds the key, and checks the answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from agent import wire
from agent.job import Failure, Job
from agent.processes import WORKSPACE, memory_file

#: Bytes of what is told of the workspace, and seconds in which it is looked through.
SURVEY_BYTES, SURVEY_SECONDS = 56 * 1024, 10


def ask(job: Job, purpose: wire.Purpose) -> wire.Answered:
    """Put a question and wait for the answer; ``waiting`` is returned only where the job was stopped meanwhile.

    Raises Refused and LinkLost.
    """
    job.asked += 1
    job.outbox.flush()  # the orchestrator tells the model what it knows of the steps
    missing, text = survey(job)
    workspace = job.needles.text(text)[:SURVEY_BYTES]  # marks may be longer than what they stand for
    while True:
        question = wire.Ask(job.asked, purpose, workspace, missing, job.deadline - time.monotonic())
        content = job.link.call("POST", "/ask", question)
        steps = [wire.PlannedStep(**step) for step in content.pop("steps")]
        answer = wire.Answered(steps=steps, **content)
        if answer.state != "waiting" or job.processes.stopped:
            return answer
        if time.monotonic() > job.deadline:
            detail = f"The model had not answered at the job's limit of {job.order.seconds:g} s."
            return wire.Answered("failed", reason="timed_out", detail=detail)


def follow(job: Job, answer: wire.Answered) -> None:
    """Take an answer over into the job."""
    if answer.state == "planned":
        job.trouble = None
        job.remaining = answer.steps
        job.order.outputs, job.order.check = answer.outputs, answer.check
        if not answer.steps:
            job.fail("plan_failed", "The plan has no step.")
    elif answer.state == "failed":
        before = job.trouble or Failure("plan_failed", "")
        job.trouble = None
        job.fail(answer.reason or before.reason, f"{before.detail}\n{answer.detail}".strip())


def survey(job: Job) -> tuple[list[str], str]:
    """The declared outputs that nothing matches, and what the workspace holds, as the job's user sees it.

    Where that cannot be told, nothing is missing, and the text is a sentence that says so.
    """
    order = job.order
    request = {"secrets": order.secrets, "outputs": order.outputs, "uploads": order.uploads}
    command = [sys.executable, "-I", "-m", "agent.survey", WORKSPACE, str(SURVEY_BYTES)]
    try:
        with memory_file(json.dumps(request)) as stdin:
            child = job.processes.spawn(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        told, _ = child.communicate(timeout=SURVEY_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return [], f"(The workspace could not be looked through within {SURVEY_SECONDS} s.)"
    except OSError as error:
        return [], f"(The workspace could not be looked at: {error.strerror}.)"
    numbers, _, text = told.partition(b"\n")
    named = set(numbers.decode("ascii", "replace").split())
    missing = [pattern for number, pattern in enumerate(order.outputs) if str(number) in named]
    return missing, text[:SURVEY_BYTES].decode("utf-8", "replace")
