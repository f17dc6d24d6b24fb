"""The graph of a job.

        ┌─── a step failed · the model looks at results · facts are missing ───┐
        ▼        ┌──────────────┐                                              │
    analyze ──┬──▶ shell        │                                              │
              ├──▶ python       ├─┬─▶ check ─┬─▶ judge ─┬─▶ review ─┬─▶ package ─▶ end
              ├──▶ other kinds  │ │          │    ▲     │          │     ▲
              │  └──▲──▲────────┘ └──────────┼────┘     └──────────┼─────┤
              │     │  └─────────────────────┼─────────────────────┘     │
              │     one after the other      └── no model planned it ────┤
              └──────────── nothing to do, failed, stopped ──────────────┘

Each node returns the edge to take (``Job.next_action``). PocketFlow silently ends a flow at a missing edge; here that
is an error.
"""

from __future__ import annotations

from pocketflow import BaseNode, Flow, Node

from agent.nodes.analyze import Analyze
from agent.nodes.check import Check
from agent.nodes.judge import Judge
from agent.nodes.kinds import KINDS
from agent.nodes.package import END, Package
from agent.nodes.review import Review


class MissingEdge(Exception):
    """A node returned an edge that the graph does not have."""


class StrictFlow(Flow):
    """A flow that ends only at ``END``."""

    def get_next_node(self, curr: BaseNode, action: str | None) -> BaseNode | None:
        if action == END:
            return None
        following = curr.successors.get(action or "default")
        if following is None:
            known = ", ".join(sorted(curr.successors)) or "none"
            raise MissingEdge(f"{type(curr).__name__} has no edge {action!r}; its edges: {known}")
        return following


def build() -> StrictFlow:
    """Build the graph of a job."""
    analyze, check, judge, review, package = Analyze(), Check(), Judge(), Review(), Package()
    steps = {kind: step() for kind, step in KINDS.items()}
    node: Node
    for node in (analyze, review, *steps.values()):
        for kind, step in steps.items():
            node - kind >> step
        node - "check" >> check
        node - "judge" >> judge
        node - "analyze" >> analyze
        node - "package" >> package
    check - "judge" >> judge
    check - "analyze" >> analyze
    check - "package" >> package
    judge - "analyze" >> analyze
    judge - "review" >> review
    judge - "package" >> package
    return StrictFlow(start=analyze)
