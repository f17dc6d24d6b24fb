"""Judge: facts about the files that the job was to make, before any model gives a verdict."""

from __future__ import annotations

from pocketflow import Node

from agent.job import Job
from agent.workspace import inspection
from protocol import messages

#: Times that a model is told what is missing. After that the job fails. If the prompt only mentions the file, the model
#: may say that it was not asked for; then a review decides.
TELLS = 3


class Judge(Node):
    """Looks at the files that the prompt names and at the required outputs.

    What is missing goes back to the model. If a user's check has passed, only required outputs count. If facts settle
    the outcome, no review is asked for.
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
        checked = bool(order.check) and order.check_given  # it has passed, or the job would not be here
        count = [fact for fact in exec_res if not checked or fact.path in order.required]
        wrong = next((fact.detail for fact in count if not fact.ok), "")
        if wrong and not job.disputed and job.told_facts < TELLS:
            job.told_facts += 1
            return "analyze"
        firm = any(not fact.ok and (fact.path in order.made or fact.about == "test") for fact in count)
        if wrong and (firm or not job.disputed or order.review == "never"):
            job.fail("check_failed", wrong)
            return "package"
        settled = checked or (bool(exec_res) and not wrong and not job.doubt)
        if order.review == "always" or (order.review == "auto" and not settled):
            return "review"
        if job.doubt and not checked:
            job.fail("check_failed", job.doubt)
        return "package"
