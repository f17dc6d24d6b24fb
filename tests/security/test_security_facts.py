"""Attacks through the children that check, save and show files: a job can replace them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.box import CALLS, NOTHING, Box, boxed

#: Starts a program of the job in place of the children.
LIAR = """
inspection.sys.executable = "/workspace/liar"
"""


@pytest.fixture(scope="module")
def box(engine: None) -> Iterator[Box]:
    with boxed() as one:
        yield one


@pytest.mark.parametrize(
    "said",
    [
        "",
        "no JSON",
        "[" * 100_000,
        "[1]",
        '{"path": "a"}',
        '[{"path": "a", "ok": true, "detail": "x", "about": "fine"}]',
        '[{"path": "a", "ok": true, "detail": "x", "about": "empty"}]',
        '[{"path": "a", "ok": 1, "detail": "x", "about": "ok"}]',
        '[{"path": ["a"], "ok": true, "detail": "x", "about": "ok"}]',
        '[{"path": "a", "ok": true, "detail": "x", "about": ["ok"]}]',
        '[{"name": "a", "media_type": "image/png", "data": "no base64!"}]',
        '[{"name": "a", "media_type": "image/png", "data": "AAAA"}]',
        '[{"name": "a", "media_type": ["image/png"], "data": "AAAA"}]',
        '[{"name": "a", "media_type": "text/html", "data": "iVBORw0KGgo="}]',
        '[["up.csv", "../up.original.csv"], ["a", "b"], ["up.csv"], 3]',
        '[["other.csv", "other.original.csv"]]',
    ],
)
def test_an_answer_of_the_wrong_shape_is_dropped(box: Box, said: str) -> None:
    made = f"write('up.csv'); write('said', {said!r}); write('liar', '#!/bin/sh\\ncat /workspace/said')"
    code = f"kept = snapshots.Kept()\nassert kept.save(job, ['up.csv'])\n{LIAR}{CALLS}"
    assert box.do(f"{made}; os.chmod('liar', 0o755)", code, uploads=("up.csv",)) == NOTHING


def test_an_answer_of_the_right_shape_is_cut_and_put_on_one_line(box: Box) -> None:
    fact = {"path": "a\nb\ud800", "ok": False, "detail": "x\n\ty " + "z" * 3_000, "about": "blank"}
    made = f"write('said', {json.dumps([fact])!r}); write('liar', '#!/bin/sh\\ncat /workspace/said')"
    (found,) = box.do(f"{made}; os.chmod('liar', 0o755)", f"{LIAR}answer = inspection.facts(job, ['a'])")
    assert found == {"path": "a b?", "ok": False, "detail": ("x y " + "z" * 3_000)[:500], "about": "blank"}


@pytest.mark.parametrize("does", ["yes", "sleep 60", "sleep 60 & echo []", "exec sleep 60 >&-", "kill -9 $$"])
def test_a_child_that_hangs_or_floods_is_killed_with_its_children(box: Box, does: str) -> None:
    code = f"""
import resource
inspection.SECONDS = 1.0
kept, began = snapshots.Kept(), time.monotonic()
assert kept.save(job, ['up.csv'])
{LIAR}{CALLS}
assert time.monotonic() < began + 10, "it was waited for"
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 80 << 10, "what it says was kept"
deadline = time.monotonic() + 10
while users_processes() and time.monotonic() < deadline:
    time.sleep(0.01)
assert not users_processes(), "a process is left"
"""
    made = f"write('up.csv'); write('liar', '#!/bin/sh\\n{does}'); os.chmod('liar', 0o755)"
    assert box.do(made, code, uploads=("up.csv",)) == NOTHING


def test_a_file_that_exhausts_memory_stops_no_other_check(box: Box) -> None:
    made = "write('a.json', '[' + '[],' * 18_000_000 + '[]]'); write('b.json', '{')"
    found = box.facts(made, "a.json", "b.json")
    assert [(fact["path"], fact["about"]) for fact in found] == [("a.json", "ok"), ("b.json", "invalid")]
