"""Review: a model looks at what came out, and accepts it or asks for further steps."""

from __future__ import annotations

from pocketflow import Node

from agent import thinking, wire
from agent.job import Job


class Review(Node):
    """The check and the declared outputs outrank the model: what they refuse, it cannot accept."""

    def prep(self, shared: Job) -> Job:
        shared.outbox.phase("review")
        return shared

    def exec(self, prep_res: Job) -> wire.Answered:
        return thinking.ask(prep_res, "review")

    def post(self, shared: Job, prep_res: Job, exec_res: wire.Answered) -> str:
        thinking.follow(shared, exec_res)
        if exec_res.state == "planned":
            return shared.next_action()
        if shared.trouble:
            shared.fail(shared.trouble.reason, shared.trouble.detail)
        return "package"
