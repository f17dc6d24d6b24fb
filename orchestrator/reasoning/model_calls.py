"""A model call: its usage, and the job's budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from orchestrator.db.models import Job
from orchestrator.errors import Usage
from orchestrator.llm.prices import cost
from protocol import messages


class Ended(Exception):
    """The job must end, with this reason and sentence. None keeps the reason of the earlier failure."""

    def __init__(self, reason: messages.Reason | None, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass
class Call:
    """A question to the model with its usage."""

    purpose: messages.Purpose
    model: str
    begun: float = field(default_factory=time.time)
    usage: Usage = field(default_factory=Usage)
    error: str | None = None

    @property
    def calls(self) -> int:
        """The number of calls. A call without an answer counts too."""
        return max(1, self.usage.calls)

    @property
    def tokens(self) -> int:
        return self.usage.tokens_in + self.usage.tokens_out

    @property
    def cost(self) -> float | None:
        return cost(self.model, self.usage.tokens_in, self.usage.tokens_out)

    def event(self) -> dict[str, Any]:
        return {
            "purpose": self.purpose,
            "model": self.model,
            "calls": self.calls,
            "seconds": round(time.time() - self.begun, 3),
            "tokens_in": self.usage.tokens_in or None,
            "tokens_out": self.usage.tokens_out or None,
            "cost": self.cost if self.tokens else None,
            "error": self.error,
        }


def dollars(amount: float) -> str:
    """Format an amount with its digits, down to a millionth."""
    return f"{amount:,.6f}".rstrip("0").rstrip(".")


def check_budget(job: Job, *, before: bool) -> None:
    """Raise Ended if the job's budget is used up."""
    if said := used_up(job, before=before):
        raise Ended("budget_exceeded", said)


def used_up(job: Job, *, before: bool) -> str:
    """Return a sentence about the exhausted budget, or an empty text.

    ``before`` a call, reaching a limit is enough; otherwise the limit must be exceeded.
    """
    for used, most, what in (
        (job.calls, job.max_calls, "calls"),
        (job.tokens, job.max_tokens, "tokens"),
        (job.cost, job.max_cost, "cost"),
    ):
        if used > most or (before and used == most):
            shown = f"{dollars(used)} of {dollars(most)} US$" if what == "cost" else f"{used:,} of {most:,} {what}"
            return f"The model's budget is used up: {shown}. Raise limits.{what}."
    return ""
