"""Asks the model over the link. The orchestrator writes the prompt, holds the key, and checks the answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from agent.job import Failure, Job
from agent.runtime.processes import WORKSPACE, memory_file
from protocol import messages

#: Maximum bytes of the description of the workspace, and seconds to make it.
SURVEY_BYTES, SURVEY_SECONDS = 32 * 1024, 10


def ask(
    job: Job,
    purpose: messages.Purpose,
    *,
    problems: Sequence[messages.SourceProblem] = (),
    facts: Sequence[messages.Fact] = (),
    pictures: Sequence[messages.Seen] = (),
) -> messages.Answered:
    """Ask a question and wait for the answer. Returns ``waiting`` only if the job was stopped meanwhile.

    Viewers see the model's text as it arrives. Raises Refused and LinkLost.
    """
    job.asked += 1
    job.outbox.flush()  # the orchestrator's question includes the state of the steps
    missing, text = ([], "") if purpose == "syntax" else survey(job, [] if purpose == "plan" else sorted(job.known))
    workspace = job.needles.text(text)[:SURVEY_BYTES]  # marks may be longer than the values
    heard, queued, put = 0, 0.0, False
    while True:
        left = job.deadline - time.monotonic()
        if put:
            content = job.link.call("POST", "/hear", messages.Hear(job.asked, heard, left))
        else:
            parts = list(problems), list(facts), list(pictures)
            content = job.link.call("POST", "/ask", messages.Ask(job.asked, purpose, workspace, missing, left, *parts))
        steps = [messages.PlannedStep(**step) for step in content.pop("steps")]
        answer = messages.Answered(steps=steps, **content)
        put = answer.state != "unknown"
        if not put:
            heard, queued = 0, 0.0
        if answer.queued > queued:  # no limit includes the time in the queue
            job.deadline += answer.queued - queued
            queued = answer.queued
        if answer.text:
            heard += len(answer.text)
            job.transcript.think(answer.text)
        if answer.state not in ("waiting", "unknown") or job.processes.stopped:
            return answer
        if time.monotonic() > job.deadline:
            detail = f"The model had not answered at the job's limit of {job.order.seconds:g} s."
            return messages.Answered("failed", reason="timed_out", detail=detail)


def follow(job: Job, purpose: messages.Purpose, answer: messages.Answered, written: set[str]) -> None:
    """Take an answer over into the job; ``written`` are the files that its steps write."""
    if answer.state == "planned":
        job.trouble, job.disputed, job.doubt = None, False, ""
        job.remaining, job.done, job.best.changed = answer.steps, answer.done, True
        job.order.outputs, job.order.check = answer.outputs, answer.check
        job.known.update(job.order.uploads, written)
        job.rewritten |= written & set(job.order.uploads)
        if not answer.steps:
            job.fail("plan_failed", "The plan has no step.")
    elif answer.state == "accepted":
        job.done = True
        if purpose == "facts":
            job.disputed = True
        elif purpose == "repair" and job.trouble:
            _disown(job, job.trouble)
    elif answer.state == "failed":
        before = job.trouble or Failure("plan_failed", "")
        job.trouble = None
        job.fail(answer.reason or before.reason, f"{before.detail}\n{answer.detail}".strip())


def _disown(job: Job, trouble: Failure) -> None:
    """Apply the model's claim that only the failed step was wrong and its files are right.

    The review judges the claim, and the rest of the plan still runs. A user's check stays a verdict.
    """
    job.trouble = None
    if trouble.reason == "step_failed":
        job.doubt = trouble.detail
    else:
        job.fail(trouble.reason, trouble.detail)


def survey(job: Job, known: Sequence[str] = ()) -> tuple[list[str], str]:
    """Return the declared outputs without a match, and a description of the workspace as the job's user sees it.

    ``known`` are files whose beginnings the model has seen or written. They are listed without their beginnings.

    If this fails, no output counts as missing, and the text is a sentence about the failure.
    """
    order = job.order
    request = {"secrets": order.secrets, "outputs": order.outputs, "uploads": order.uploads, "known": list(known)}
    command = [sys.executable, "-I", "-m", "agent.children.survey", WORKSPACE, str(SURVEY_BYTES)]
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
