"""Review: a model inspects the results, and accepts them or asks for further steps."""

from __future__ import annotations

from pocketflow import Node

from agent import model_client
from agent.job import Job
from agent.nodes import kinds
from agent.workspace import inspection
from protocol import messages


class Review(Node):
    """Asks the model for a review. It cannot accept what the user's check or the required outputs reject."""

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("review")
        return shared

    def exec(self, prep_res: Job) -> messages.Answered:
        pictures = inspection.pictures(prep_res, prep_res.wanted)
        return model_client.ask(prep_res, "review", facts=prep_res.facts, pictures=pictures)

    def post(self, shared: Job, prep_res: Job, exec_res: messages.Answered) -> str:
        model_client.follow(shared, "review", exec_res, kinds.written(exec_res.steps))
        return shared.next_action() if exec_res.state == "planned" else "package"
