"""The JSON of results in the notebook: a kernel, or a job in its place, may send any text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.db.store import Printed
from orchestrator.reports.notebook import Shown


def refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def outputs(kind: str, text: str) -> Any:
    data = {"step": 1, "data": {kind: text, "text/plain": "x"}}
    shown = Shown([Printed(1, "result", data)])
    found = shown.of_steps[1].all()
    return json.loads(json.dumps(found, ensure_ascii=False, indent=1).encode(), parse_constant=refused)


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.plotly.v1+json", "application/geo+json"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": NaN}', {"a": None}),
        ("[Infinity, -Infinity, 1e999, -1e999, 1.5]", [None, None, None, None, 1.5]),
        ('"a"', "a"),
        ("null", None),
    ],
)
def test_numbers_that_json_lacks_are_null(kind: str, text: str, value: Any) -> None:
    assert outputs(kind, text)[0]["data"] == {kind: value, "text/plain": "x"}


@pytest.mark.parametrize("text", ["{", "", '{"a": "\\ud800"}', "[" * 60_000 + "]" * 60_000, "9" * 5000])
def test_json_that_a_notebook_cannot_contain_is_left_out(text: str) -> None:
    assert outputs("application/json", text)[0]["data"] == {"text/plain": "x"}
