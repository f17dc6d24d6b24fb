"""Judge: checks the files that the job must make, before a model gives a verdict."""

from __future__ import annotations

from pocketflow import Node

from agent.job import Job
from agent.workspace import inspection
from protocol import messages

#: Times that a model is told about missing files. Afterwards the job fails. If the prompt only mentions a file, the
#: model may say that it was not requested; then a review decides. A doubt, such as tests that find no fault, does not
#: fail the job: its detail says so.
TELLS = 2


class Judge(Node):
    """Checks the files that the prompt names and the required outputs.

    The model gets missing files as a task. If a user's check has passed, only required outputs count. If the facts
    settle the result, no review follows.
    """

    def prep(self, shared: Job) -> Job:
        return shared

    def exec(self, prep_res: Job) -> list[messages.Fact]:
        return inspection.facts(prep_res, prep_res.wanted) + inspection.tried(prep_res)

    def post(self, shared: Job, prep_res: Job, exec_res: list[messages.Fact]) -> str:
        job, order = shared, shared.order
        job.facts = exec_res
        if job.processes.stopped:
            return "package"
        job.best.consider(job, through=True)
        checked = bool(order.check) and order.check_given  # it passed; otherwise the graph would not be here
        count = [fact for fact in exec_res if not checked or fact.path in order.required]
        wrong = next((fact.detail for fact in count if not fact.ok), "")
        hard = next((fact.detail for fact in count if not fact.ok and fact.about != "doubt"), "")
        if wrong and not job.disputed and job.told_facts < TELLS:
            job.told_facts += 1
            job.best.finished |= not hard and not job.best.changed
            return "analyze"
        wrong = hard
        firm = any(not fact.ok and (fact.path in order.made or fact.about == "test") for fact in count)
        if wrong and (firm or not job.disputed or order.review == "never"):
            job.fail("check_failed", wrong)
            return "package"
        settled = checked or (bool(exec_res) and not wrong and not job.doubt)
        if order.review == "always" or (order.review == "auto" and not settled):
            job.best.finished = False
            return "review"
        if job.doubt and not checked:
            job.fail("check_failed", job.doubt)
        return "package"
