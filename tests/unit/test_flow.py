"""The graph: every edge is there, and one that is not is an error."""

from __future__ import annotations

from typing import get_args

import pytest
from pocketflow import Node

from agent.flow import MissingEdge, StrictFlow, build
from agent.nodes.analyze import Analyze
from agent.nodes.check import Check
from agent.nodes.kinds import KINDS
from agent.nodes.package import END, Package
from protocol import messages


class Says(Node):
    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action

    def post(self, shared: list[str], prep_res: None, exec_res: None) -> str:
        shared.append(self.action)
        return self.action


def test_an_action_without_an_edge_is_an_error() -> None:
    first, second = Says("on"), Says("nowhere")
    first - "on" >> second
    second - "back" >> first
    done: list[str] = []
    with pytest.raises(MissingEdge, match="no edge 'nowhere'; its edges: back"):
        StrictFlow(start=first).run(done)
    assert done == ["on", "nowhere"]


def test_an_action_without_any_edge_is_an_error_too() -> None:
    with pytest.raises(MissingEdge, match="its edges: none"):
        StrictFlow(start=Says("on")).run([])


def test_only_the_end_ends_a_flow() -> None:
    first, second = Says("on"), Says(END)
    first - "on" >> second
    done: list[str] = []
    StrictFlow(start=first).run(done)
    assert done == ["on", END]


def test_every_node_has_an_edge_for_everything_it_may_say() -> None:
    kinds = set(get_args(messages.StepKind))
    flow = build()
    nodes = {type(node).__name__: node for node in _reachable(flow.start_node)}
    assert set(nodes) == {"Analyze", "Check", "Judge", "Review", "Package", *(kind.__name__ for kind in KINDS.values())}
    for name, node in nodes.items():
        edges = set(node.successors)
        match name:
            case "Package":
                assert edges == set()
            case "Check":
                assert edges == {"judge", "analyze", "package"}
            case "Judge":
                assert edges == {"analyze", "review", "package"}
            case _:
                assert edges == kinds | {"check", "judge", "package", "analyze"}
    assert isinstance(flow.start_node, Analyze)
    assert isinstance(nodes["Check"], Check) and isinstance(nodes["Package"], Package)


def _reachable(start: Node) -> list[Node]:
    found = [start]
    for node in found:
        found += [following for following in node.successors.values() if following not in found]
    return found
